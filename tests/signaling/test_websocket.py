"""A connection over a real socket: what it may do, how it is refused, how it ends, and that nobody else notices."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from signaling.app import Limits
from signaling.ice_servers import IceServer
from tests.signaling.helpers import ANSWER, CANDIDATE, OFFER, connections, hears, hub_of, until

if TYPE_CHECKING:
    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve
    from tests.signaling.helpers import Client


async def test_welcome_tells_id_members_and_ice_servers(serve: Serve, join: Connect) -> None:
    server = await serve(ice_servers=(IceServer(["turn:h:1"], "u", "c"),))
    first = await join(server, "first")
    second = await join(server)
    await second.join("second", polite=True)
    assert second.welcome == {
        "type": "welcome",
        "version": 1,
        "id": second.id,
        "room": "lab",
        "name": "second",
        "members": [{"id": first.id, "name": "first", "polite": False}],
        "iceServers": [{"urls": ["turn:h:1"], "username": "u", "credential": "c"}],
    }
    assert await first.next() == {"type": "joined", "member": {"id": second.id, "name": "second", "polite": True}}


RELAYED: list[dict[str, Any]] = [
    {"type": "description", "session": "s", "description": OFFER},
    {"type": "description", "session": "s", "description": OFFER, "about": {"any": ["json", None]}},
    {"type": "description", "session": "s", "description": ANSWER},
    {"type": "candidate", "session": "s", "candidate": {**CANDIDATE, "usernameFragment": "u"}},
    {"type": "candidate", "session": "s", "candidate": None},
    {"type": "bye", "session": "s", "reason": "busy", "text": "later"},
    {"type": "bye", "session": "s", "reason": "hung-up"},
    {"type": "message", "data": {"any": ["json", 1, None, 1.5, "\u00e4"]}},
    {"type": "message", "data": None},
]  # fmt: skip


async def test_relays_to_the_target_only_as_sent(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob, carol = [await join(server, name) for name in ("alice", "bob", "carol")]
    for client in (alice, alice, bob):
        await client.next("joined")
    for body in RELAYED:
        await alice.send(to=bob.id, **body)
        assert await bob.next() == {"from": alice.id, **body}
    await hears(bob, carol)  # the first thing that carol gets


BAD_INPUT = [
    ("", "bad-json"),
    ("hello", "bad-json"),
    ("{", "bad-json"),
    ("[" * 5000, "bad-message"),
    ("[]", "bad-message"),
    ("1", "bad-message"),
    ("{}", "bad-message"),
    ('{"type":"dance"}', "bad-message"),
    ('{"type":7}', "bad-message"),
    ('{"type":"bye","to":"x"}', "bad-message"),
    ('{"type":"bye","to":1,"session":"s","reason":"busy"}', "bad-message"),
    ('{"type":"description","to":"x","session":"s","description":{"type":"rollback","sdp":""}}', "bad-message"),
    ('{"type":"message","to":"nobody","data":1}', "unknown-target"),
    ('{"type":"join","version":1,"room":"lab","name":"again"}', "already-joined"),
    ('{"type":"message","to":"x","data":"\\ud800"}', "bad-json"),
]  # fmt: skip


async def test_bad_input_is_answered_and_changes_nothing(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    for text, code in BAD_INPUT:
        await bob.text(text)
        assert (text, await bob.error()) == (text, code)
        await hears(bob, alice)
        await hears(alice, bob)


async def test_an_error_names_the_target_and_the_session(serve: Serve, join: Connect) -> None:
    alice = await join(await serve(), "alice")
    await alice.send(type="candidate", to="gone", session="s1", candidate=None)
    error = await alice.next("error")
    assert (error["code"], error["to"], error["session"]) == ("unknown-target", "gone", "s1")


async def test_a_binary_frame_is_refused(serve: Serve, join: Connect) -> None:
    alice = await join(await serve(), "alice")
    await alice.ws.send_bytes(b'{"type":"leave"}')
    assert await alice.error() == "bad-message"


async def test_the_first_message_has_to_be_join(serve: Serve, join: Connect) -> None:
    client = await join(await serve())
    await client.send(type="message", to="x", data=1)
    assert await client.error() == "not-joined"
    await client.join("late")


async def test_a_name_is_taken_once(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, second = await join(server, "alice"), await join(server)
    await second.send(type="join", version=1, room="lab", name="alice")
    assert await second.error() == "name-taken"
    assert await second.close_code() == 4409
    await alice.text("?")
    assert await alice.error() == "bad-json"  # the first that she hears: nobody told her of the other


async def test_a_room_is_full(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(room_size=1))
    await join(server, "alice")
    second = await join(server)
    await second.send(type="join", version=1, room="lab", name="bob")
    assert await second.error() == "room-full"
    assert await second.close_code() == 4503


async def test_another_version_is_refused(serve: Serve, join: Connect) -> None:
    client = await join(await serve())
    await client.send(type="join", version=2, strange=True)
    assert await client.error() == "unsupported-version"
    assert await client.close_code() == 4400


@pytest.mark.parametrize("size", [1001, 3000, 100_000])
async def test_too_large_a_message_closes(serve: Serve, join: Connect, size: int) -> None:
    server = await serve(limits=Limits(message_bytes=1000))
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    await bob.text("x" * size)
    if size < 4000:  # beyond that the frame is not read at all
        assert await bob.error() == "too-large"
    assert await bob.close_code() == 1009
    assert (await alice.next("left"))["reason"] == "too-large"


async def test_the_largest_message_is_relayed(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    head = json.dumps({"type": "message", "to": bob.id, "data": ""})
    await alice.next("joined")
    await alice.text(head[:-2] + "x" * (128 * 1024 - len(head)) + head[-2:])
    assert len((await bob.next("message"))["data"]) == 128 * 1024 - len(head)


async def test_too_many_messages_are_dropped_then_the_connection(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(messages_per_second=50, burst=20))
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    for number in range(200):
        await bob.send(type="message", to=alice.id, data=number)
    assert await bob.error() == "rate-limited"
    assert await bob.close_code() == 4429
    heard = [await alice.next()]
    while heard[-1]["type"] == "message":
        heard.append(await alice.next())
    assert (heard[-1]["type"], heard[-1]["reason"]) == ("left", "rate-limited")
    assert 18 <= len(heard) - 1 < 100


@pytest.mark.virtual_time
async def test_the_limit_is_over_when_the_client_slows_down(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(messages_per_second=10, burst=5))
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    for _ in range(8):
        await bob.send(type="message", to=alice.id, data=1)
    assert await bob.error() == "rate-limited"
    for _ in range(4):
        await alice.next("message")
    await asyncio.sleep(2)
    await hears(bob, alice)


async def test_a_client_that_does_not_read_is_closed(serve: Serve, join: Connect) -> None:
    server = await serve(
        limits=Limits(outbox_bytes=1 << 20, close_timeout=0.1, messages_per_second=10_000, burst=10_000)
    )
    alice, bob, slow = [await join(server, name) for name in ("alice", "bob", "slow")]
    transport = slow.transport
    transport.pause_reading()
    for client in (alice, alice, bob):
        await client.next("joined")
    sent = 0
    while True:
        await alice.send(type="message", to=slow.id, data="x" * 100_000)
        await hears(alice, bob, sent)  # stays as fast as ever
        sent += 1
        assert sent < 1000
        if hub_of(server).rooms.member_count == 2:
            break
    assert (await bob.next("left"))["reason"] == "slow-client"
    await until(lambda: connections(server) == 2)  # nothing of it is kept, although it never took the goodbye
    transport.abort()


@pytest.mark.virtual_time
async def test_a_client_that_vanished_is_noticed_within_30_s(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, gone = await join(server, "alice"), await join(server, "gone", autoping=False)
    await alice.next("joined")
    before = asyncio.get_running_loop().time()
    async with asyncio.timeout(30):
        frame = await alice.ws.receive()
    assert json.loads(frame.data) == {
        "type": "left",
        "member": {"id": gone.id, "name": "gone", "polite": False},
        "reason": "silent",
    }
    assert asyncio.get_running_loop().time() - before >= 10
    await hears(alice, await _joined(alice, join, server))


async def _joined(first: Client, join: Connect, server: Server) -> Client:
    """Another member, of whose coming the first one has heard."""
    client = await join(server, "another")
    await first.next("joined")
    return client


async def test_a_broken_connection_is_lost_at_once(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    bob.transport.abort()
    assert (await alice.next("left"))["reason"] == "lost"


@pytest.mark.parametrize("how", ["close", "leave"])
async def test_a_goodbye_is_told(serve: Serve, join: Connect, how: str) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    if how == "close":
        await bob.close()
    else:
        await bob.send(type="leave")
        assert await bob.close_code() == 1000
    assert await alice.next() == {
        "type": "left",
        "member": {"id": bob.id, "name": "bob", "polite": False},
        "reason": "left",
    }
    await join(server, "bob")


async def resumable(join: Connect, server: Server, name: str) -> Client:
    client = await join(server)
    return await client.join(name, secret=f"secret of {name}", resume=True)


async def resume(client: Client, before: Client, got: int) -> None:
    secret = f"secret of {before.welcome['name']}"
    await client.send(type="resume", version=1, room="lab", id=before.id, secret=secret, got=got)


async def test_a_client_comes_back_to_its_place(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob = await resumable(join, server, "alice"), await join(server, "bob")
    assert (alice.welcome["n"], alice.welcome["grace"]) == (1, 30.0)
    assert (await alice.next("joined"))["n"] == 2
    alice.transport.abort()
    member = {"id": alice.id, "name": "alice", "polite": False}
    assert await bob.next() == {"type": "away", "member": member, "reason": "lost"}
    await bob.send(type="message", to=alice.id, data="missed")
    again = await join(server)
    await resume(again, alice, got=2)
    assert await again.next() == {"type": "resumed", "got": 0}
    assert await again.next() == {"n": 3, "type": "message", "from": bob.id, "data": "missed"}
    assert await bob.next() == {"type": "back", "member": member}
    third = await join(server)  # before the server noticed that the second is dead
    await resume(third, alice, got=3)
    assert await third.next() == {"type": "resumed", "got": 0}
    assert await again.error() == "replaced"
    assert await again.close_code() == 4410
    await third.send(type="message", to=bob.id, data="same id", n=1)
    assert await bob.next() == {"type": "message", "from": alice.id, "data": "same id"}


async def test_who_cannot_come_back_joins_over_the_same_connection(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, again = await resumable(join, server, "alice"), await join(server)
    await resume(again, alice, got=7)
    assert await again.error() == "cannot-resume"
    await again.join("alice", secret="secret of alice", resume=True)
    assert await alice.error() == "replaced"
    await resume(again, again, got=1)
    assert await again.error() == "already-joined"


@pytest.mark.virtual_time
async def test_nobody_who_is_gone_stays_after_the_grace(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(heartbeat=1000))
    bob, alice = await join(server, "bob"), await resumable(join, server, "alice")
    carol = await resumable(join, server, "carol")
    for _ in range(2):
        await bob.next("joined")
    began = asyncio.get_running_loop().time()
    alice.transport.abort()
    await bob.next("away")
    await asyncio.sleep(10)
    carol.transport.abort()
    await bob.next("away")
    for name, after in (("alice", 30), ("carol", 40)):
        async with asyncio.timeout(60):
            left = json.loads((await bob.ws.receive()).data)
        assert (left["type"], left["member"]["name"], left["reason"]) == ("left", name, "lost")
        assert asyncio.get_running_loop().time() - began == pytest.approx(after, abs=0.1)
    assert hub_of(server).rooms.member_count == 1
    assert set(hub_of(server)._calls) == {bob.id}


@pytest.mark.parametrize("how", ["close", "leave"])
async def test_a_goodbye_keeps_no_place(serve: Serve, join: Connect, how: str) -> None:
    server = await serve()
    bob, alice = await join(server, "bob"), await resumable(join, server, "alice")
    await bob.next("joined")
    await (alice.close() if how == "close" else alice.send(type="leave"))
    assert (await bob.next("left"))["reason"] == "left"


@pytest.mark.virtual_time
async def test_a_client_that_never_joins_is_closed(serve: Serve, join: Connect) -> None:
    client = await join(await serve(limits=Limits(join_timeout=5)))
    assert await client.error() == "join-timeout"
    assert await client.close_code() == 4408


async def test_pings_of_the_client_are_answered(serve: Serve, join: Connect) -> None:
    client = await join(await serve(), "alice", autoping=False)
    await client.ws.ping(b"hello")
    frame = await client.ws.receive()
    assert (frame.type, frame.data) == (WSMsgType.PONG, b"hello")


async def test_the_server_is_full(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(connections=1))
    first = await join(server, "alice")
    with pytest.raises(WSServerHandshakeError) as refused:
        await join(server)
    assert refused.value.status == 503
    await first.close()
    await until(lambda: connections(server) == 0)
    await join(server, "bob")


async def test_pages_of_elsewhere_may_not_connect(serve: Serve, join: Connect) -> None:
    server = await serve(allowed_origins=("https://good.example",))
    with pytest.raises(WSServerHandshakeError) as refused:
        await join(server, headers={"Origin": "https://evil.example"})
    assert refused.value.status == 403
    for origin in ("https://good.example", server.url, "http://localhost:3000"):
        await join(server, origin.replace("/", "_"), headers={"Origin": origin})


async def test_a_mistake_of_the_server_ends_one_connection_only(
    serve: Serve, join: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    relay = hub_of(server).relay

    def broken(member_id: str, message: Any) -> None:
        if member_id == bob.id:
            raise ZeroDivisionError
        relay(member_id, message)

    monkeypatch.setattr(hub_of(server), "relay", broken)
    await bob.send(type="message", to=alice.id, data=1)
    assert await bob.error() == "internal-error"
    assert await bob.close_code() == 1011
    assert (await alice.next("left"))["reason"] == "internal-error"
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
