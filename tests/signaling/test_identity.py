"""A server with keys: who comes in with what, what the token allows there, and what happens when it ends."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSServerHandshakeError

from signaling.app import Access, Settings
from signaling.credentials import LEEWAY, TurnAccess
from signaling.ice_servers import IceServer
from signaling.keys import secret_key
from signaling.operation import Operation
from tests.signaling.helpers import OFFER, hears, hub_of
from tests.signaling.tokens import KEY, SECRET, token

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve
    from tests.signaling.helpers import Client

ACCESS = Access(secrets=(SECRET,))
LISTEN = {"type": "offer", "sdp": "v=0\r\nm=audio 9 X 0\r\na=recvonly\r\n"}
SPEAK = {"type": "offer", "sdp": "v=0\r\nm=audio 9 X 0\r\n"}


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve(access=ACCESS)


async def entered(join: Connect, server: Server, name: str, **claims: Any) -> Client:
    return await (await join(server)).join(name, token=token(name=name, **claims))


async def refusal(client: Client, **fields: Any) -> tuple[str, int | None]:
    """Code and close code of a join that is refused."""
    await client.send(type="join", version=1, **{"room": "lab", "name": "bot"} | fields)
    return await client.error(), await client.close_code()


async def test_nobody_comes_in_without_a_token(server: Server, join: Connect) -> None:
    assert await refusal(await join(server)) == ("token-missing", 4401)
    assert await refusal(await join(server), token="") == ("token-invalid", 4401)
    assert await refusal(await join(server), token="x" * 100_000) == ("token-invalid", 4401)
    stranger = token(secret_key("stranger" * 8))
    assert await refusal(await join(server), token=stranger) == ("token-invalid", 4401)
    assert await refusal(await join(server), token=token(ttl=-40)) == ("token-expired", 4401)
    assert await refusal(await join(server), token=token(room="other")) == ("forbidden", 4403)
    assert await refusal(await join(server), token=token(name="alice")) == ("forbidden", 4403)


async def test_a_token_in_the_first_message_or_in_the_header(server: Server, join: Connect) -> None:
    alice = await entered(join, server, "alice")
    bob = await join(server, "bob", headers={"Authorization": f"Bearer {token(name='bob')}"})
    await alice.next("joined")
    await hears(bob, alice)
    assert bob.welcome["can"] == ["call", "be-called", "publish", "receive"]
    assert bob.welcome["members"] == [{"id": alice.id, "name": "alice", "polite": False, "can": bob.welcome["can"]}]
    carol = await join(server, headers={"Authorization": f"bearer {token(name='bob')}"})
    await carol.join("carol", token=token(name="carol"))


async def test_a_bad_token_in_the_header_is_refused_before_the_socket_opens(
    server: Server, session: ClientSession
) -> None:
    for header, challenge in (("Bearer x", "invalid_token"), (f"Bearer {token(ttl=-40)}", "expired")):
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(f"{server.url}/ws", headers={"Authorization": header})
        assert caught.value.status == 401
        assert caught.value.headers is not None
        assert challenge in caught.value.headers["WWW-Authenticate"]


async def test_a_token_in_the_url_is_none(server: Server, session: ClientSession) -> None:
    async with session.ws_connect(f"{server.url}/ws?token={token()}&access_token={token()}") as ws:
        await ws.send_json({"type": "join", "version": 1, "room": "lab", "name": "bot"})
        assert (await ws.receive_json())["code"] == "token-missing"


async def test_a_server_without_keys_wants_no_token(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice = await (await join(server)).join("alice", token="anything")
    bob = await join(server, "bob", headers={"Authorization": "Bearer anything"})
    assert "can" not in alice.welcome | bob.welcome["members"][0]
    await alice.next("joined")
    await alice.send(type="token", token="anything")
    await alice.send(type="kick", to=bob.id)
    assert await alice.error() == "not-allowed"
    await hears(alice, bob)


async def test_nobody_takes_a_place_over_with_a_token_for_another(server: Server, join: Connect) -> None:
    alice = await (await join(server)).join("alice", token=token(name="alice"), secret="s")
    assert await refusal(await join(server), name="alice", secret="s", token=token(name="bob")) == ("forbidden", 4403)
    assert await refusal(await join(server), name="alice", secret="s") == ("token-missing", 4401)
    bob = await entered(join, server, "bob")
    await alice.next("joined")
    await hears(alice, bob)


async def test_calls_as_the_tokens_say(server: Server, join: Connect) -> None:
    called = await entered(join, server, "called", can=("be-called", "receive"))
    caller = await entered(join, server, "caller", can=("call", "publish"))
    await called.next("joined")
    await called.send(type="description", to=caller.id, session="s1", description=OFFER)
    assert await called.next("error") | {"message": ""} == {
        "type": "error", "code": "not-allowed", "message": "", "to": caller.id, "session": "s1",
    }  # fmt: skip
    await caller.send(type="description", to=called.id, session="s2", description=OFFER)
    assert (await called.next("description"))["session"] == "s2"
    await called.send(type="description", to=caller.id, session="s2", description=LISTEN)
    assert (await caller.next("description"))["description"] == LISTEN
    for client, description in ((called, SPEAK), (caller, LISTEN)):
        other = caller if client is called else called
        await client.send(type="description", to=other.id, session="s2", description=description)
        assert await client.error() == "not-allowed"
    await hears(caller, called)


async def test_a_moderator_sends_somebody_away_for_as_long_as_the_token_lasts(server: Server, join: Connect) -> None:
    chair = await entered(join, server, "chair", can=("moderate",))
    mine = token(name="bob", can=("call", "be-called"))
    bob = await (await join(server)).join("bob", token=mine)
    await chair.next("joined")
    await bob.send(type="kick", to=chair.id)
    assert await bob.error() == "not-allowed"
    await chair.send(type="kick", to="nobody")
    assert await chair.error() == "unknown-target"
    await chair.send(type="kick", to=bob.id, text="be kind")
    error = await bob.next("error")
    assert (error["code"], error["message"]) == ("kicked", "You were sent away from this room: be kind.")
    assert await bob.close_code() == 4403
    assert (await chair.next("left"))["reason"] == "kicked"
    assert await refusal(await join(server), name="bob", token=mine) == ("kicked", 4403)
    await entered(join, server, "bob")


async def test_over_http(server: Server, session: ClientSession, join: Connect) -> None:
    host = await entered(join, server, "bot", can=("be-called", "receive"))
    url = f"{server.url}/rooms/lab/participants/bot/offer"

    async def post(bearer: str | None, **query: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        async with session.post(url, json=SPEAK, headers=headers, params=query) as response:
            assert response.headers.get("WWW-Authenticate", "").startswith("Bearer") == (response.status != 200)
            return response.status, (await response.json()).get("code", "")

    assert await post(None) == (401, "token-missing")
    assert await post("x") == (401, "token-invalid")
    assert await post(token(ttl=-40)) == (401, "token-expired")
    assert await post(token(room="other")) == (403, "forbidden")
    assert await post(token(name="alice"), **{"from": "bob"}) == (403, "forbidden")
    assert await post(token(can=("publish", "receive"))) == (403, "not-allowed")
    assert await post(token(can=("call", "receive"))) == (403, "not-allowed")

    async def answer() -> None:
        offer = await host.next("description")
        assert offer["name"] == "alice"
        for description in (SPEAK, LISTEN):  # it may not send
            answer = description | {"type": "answer"}
            await host.send(type="description", to=offer["from"], session=offer["session"], description=answer)
        assert await host.error() == "not-allowed"

    answering = asyncio.create_task(answer())
    assert await post(token(name="alice")) == (200, "")
    await answering


async def test_nobody_calls_over_http_who_may_not_be_called(
    server: Server, session: ClientSession, join: Connect
) -> None:
    await entered(join, server, "bot", can=("call",))
    headers = {"Authorization": f"Bearer {token()}"}
    async with session.post(f"{server.url}/rooms/lab/participants/bot/offer", json=OFFER, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (403, "not-allowed")


async def test_another_token_renews(server: Server, join: Connect) -> None:
    alice, bob = await entered(join, server, "alice"), await entered(join, server, "bob")
    await alice.next("joined")
    await alice.send(type="token", token=token(ttl=7200, name="alice", can=("call",)))
    taken = await alice.next("token-taken")
    assert taken["can"] == ["call"]
    assert 3630 < taken["seconds"] <= 7230
    await hears(bob, alice)
    await bob.send(type="description", to=alice.id, session="s", description=OFFER)
    assert await bob.error() == "not-allowed"


async def test_a_token_that_ends_without_another_ends_the_connection(server: Server, join: Connect) -> None:
    bob = await entered(join, server, "bob")
    began: float | None = time.time()
    hub_of(server).gate.now = lambda: began or time.time()  # stands still, so that joining takes none of what is left
    alice = await (await join(server)).join("alice", token=token(ttl=0.2 - LEEWAY, name="alice"))
    began = None
    await bob.next("joined")
    assert (await alice.next("token-expiring"))["seconds"] <= 0.2
    assert await alice.error() == "token-expired"
    assert await alice.close_code() == 4401
    assert (await bob.next("left"))["reason"] == "token-expired"


@pytest.mark.parametrize(("claims", "code"), [
    ({"name": "bob"}, "forbidden"),
    ({"room": "other"}, "forbidden"),
    ({"ttl": -40}, "token-expired"),
    ({"key": secret_key("stranger" * 8)}, "token-invalid"),
])  # fmt: skip
async def test_only_a_good_token_renews(server: Server, join: Connect, claims: dict[str, Any], code: str) -> None:
    alice = await entered(join, server, "alice")
    await alice.send(type="token", token=token(**{"key": KEY, "name": "alice"} | claims))
    assert await alice.error() == code
    assert await alice.close_code() in {4401, 4403}


async def test_a_token_before_join_is_refused(server: Server, join: Connect) -> None:
    client = await join(server)
    await client.send(type="token", token=token())
    assert await client.error() == "not-joined"


def test_without_keys_only_this_machine_may_come_in() -> None:
    for host in ("0.0.0.0", "", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ValueError, match="open=True"):
            Settings(host=host)
        assert Settings(host=host, open=True)
        assert Settings(host=host, access=ACCESS)
    for host in ("127.0.0.1", "::1", "localhost"):
        assert Settings(host=host)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(Settings(access=ACCESS))
    assert SECRET not in repr(KEY)


def test_access_needs_a_key() -> None:
    with pytest.raises(ValueError, match="no key"):
        Access()
    with pytest.raises(ValueError, match="leeway"):
        Access(secrets=(SECRET,), leeway=-1)


async def test_turn_passwords_are_each_participants_own_and_given_anew(serve: Serve, join: Connect) -> None:
    stun = IceServer(["stun:s"])
    turn = TurnAccess(urls=("turn:t",), secret="north", ttl=0.1)
    server = await serve(ice_servers=(stun,), turn=turn)
    alice, bob = await join(server, "alice"), await join(server, "bob")
    for client in (alice, bob):
        fixed, own = client.welcome["iceServers"]
        assert (fixed["urls"], own["urls"]) == (["stun:s"], ["turn:t"])
        ends, _, whose = own["username"].partition(":")
        assert (whose, int(ends) > time.time() - 60) == (client.id, True)
    for client in (alice, bob):
        told = [await client.next() for _ in range(4)]
        for fresh in (one["iceServers"] for one in told if one["type"] != "joined"):
            assert [one["urls"] for one in fresh] == [["stun:s"], ["turn:t"]]
            assert fresh[1]["username"].endswith(f":{client.id}")


@pytest.mark.parametrize("secret", ["the secret of a TURN server, long enough", "the administrator's, long enough too"])
async def test_other_secrets_open_no_room(serve: Serve, join: Connect, session: ClientSession, secret: str) -> None:
    turn = TurnAccess(urls=("turn:turn.example.org",), secret="the secret of a TURN server, long enough")
    operation = Operation(admin_secret="the administrator's, long enough too")
    server = await serve(access=ACCESS, turn=turn, operation=operation)
    for forged in (secret, token(secret_key(secret))):
        client = await join(server)
        await client.send(type="join", version=1, room="lab", name="mallory", token=forged)
        assert await client.error() == "token-invalid"
        headers = {"Authorization": f"Bearer {forged}"}
        url = f"{server.url}/rooms/lab/participants/alice/offer"
        async with session.post(url, json={"description": OFFER}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "token-invalid")


async def test_a_token_that_may_everything_in_its_rooms_is_no_administrator(
    serve: Serve, session: ClientSession
) -> None:
    server = await serve(access=ACCESS, operation=Operation(admin_secret="x" * 32))
    rights = ("call", "be-called", "publish", "receive", "moderate")
    headers = {"Authorization": f"Bearer {token(room='*', can=rights)}"}
    for method, path in (("GET", ""), ("GET", "/lab"), ("DELETE", "/lab"), ("DELETE", "/lab/participants/a")):
        async with session.request(method, f"{server.url}/admin/v1/rooms{path}", headers=headers) as answer:
            assert (await answer.json())["code"] == "not-allowed"
