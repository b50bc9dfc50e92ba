"""Access tokens on our side: where they are from, renewed in time, and what a room is after a refusal for good."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, web

from peer import calling, recordall
from peer.errors import Rejected, SignalingError, UsageError
from peer.events import SignalingRestored
from peer.joining import join
from peer.tokens import TokenFile, lasting, token_of
from peer.websocket import WebSocketConnect
from signaling.app import Access, Server, Settings
from signaling.messages import Kick, Member, Token, TokenExpiring, Welcome, encode, parse_client
from tests.rooms import SMALL, connect, soon, until
from tests.signaling.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from peer.room import Room

WELCOME = encode(Welcome(1, "id", "lab", "alice", [Member("b", "bob")], []))


@pytest.fixture
async def keyed() -> AsyncIterator[str]:
    """The URL of a server with keys."""
    async with Server(Settings(port=0, access=Access(secrets=(SECRET,)))) as server:
        yield server.url


@contextlib.asynccontextmanager
async def scripted(*texts: str) -> AsyncIterator[tuple[str, asyncio.Queue[Any]]]:
    """A server that says this to whoever joins, and writes down what it gets."""
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        got.put_nowait(parse_client((await socket.receive()).data))
        for text in texts:
            await socket.send_str(text)
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            got.put_nowait(parse_client(message.data))
        return socket

    application = web.Application()
    application.router.add_get("/ws", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        await runner.cleanup()


class Source:
    """Gives what it is told to, or raises it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def __call__(self) -> str:
        answer: Any = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


async def test_tokens_are_from_a_text_a_file_or_a_coroutine(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" abc \n")
    assert [await token_of(source) for source in (None, "t", TokenFile(file), Source("s"))] == [None, "t", "abc", "s"]
    file.write_text("def")
    assert await token_of(TokenFile(file)) == "def"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
async def test_a_file_without_a_token(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="token"):
        await token_of(TokenFile(file))


async def test_what_is_to_get_a_token_may_fail() -> None:
    with pytest.raises(SignalingError, match="no access token could be had .*KeyError") as caught:
        await token_of(Source(KeyError("x")))
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(UsageError, match="gave int"):
        await token_of(Source(7))


def test_which_refusals_last() -> None:
    for code in ("kicked", "forbidden", "room-closed"):
        assert lasting(code, Source()) and lasting(code, "t")
    for code in ("token-expired", "token-invalid", "token-missing"):
        assert lasting(code, "t") and lasting(code, None) and not lasting(code, Source())
    assert not lasting("name-taken", "t")


async def test_a_room_is_joined_with_a_token(keyed: str) -> None:
    async with join(keyed, room="lab", name="alice", token=token(name="alice")) as room:
        assert room.may("publish") and not room.may("moderate")
    for bad, code in ((None, "token-missing"), ("x", "token-invalid"), (token(name="bob"), "forbidden")):
        with pytest.raises(SignalingError) as caught:
            await join(keyed, room="lab", name="alice", token=bad)
        assert (caught.value.code, caught.value.exit_code) == (code, 3)
        assert ("--token" in str(caught.value)) == (code == "token-missing")


async def test_a_fresh_token_is_handed_in_when_the_old_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.websocket.RENEW_AGAIN", 0.01)
    source = Source("first", OSError("not now"), "second")
    async with scripted(WELCOME, encode(TokenExpiring(30))) as (url, got):
        channel = await soon(WebSocketConnect(url, token=source)("lab", "alice"))
        assert (await soon(got.get())).token == "first"
        assert isinstance(await soon(channel.receive()), TokenExpiring)
        assert await soon(got.get()) == Token("second")
        await channel.close()
    assert source.answers == []


async def test_a_token_that_cannot_be_renewed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(WELCOME, encode(TokenExpiring(30))) as (url, _):
        channel = await soon(WebSocketConnect(url, token="eyJ")("lab", "alice"))
        await soon(channel.receive())
        await channel.close()
    assert "the access token ends in 30 s" in caplog.text
    assert "eyJ" not in caplog.text


async def test_closing_ends_the_wait_for_a_token() -> None:
    asked = asyncio.Event()
    answers = ["first"]

    async def source() -> str:
        if answers:
            return answers.pop()
        asked.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with scripted(WELCOME, encode(TokenExpiring(3600))) as (url, _):
        channel = await soon(WebSocketConnect(url, token=source)("lab", "alice"))
        await soon(channel.receive())
        await soon(asked.wait())
        await channel.close()  # the guard of every test would find a task that is left


async def test_a_connection_made_again_asks_for_a_token_again(keyed: str) -> None:
    source = Source(*(token(name="alice") for _ in range(2)))
    async with join(keyed, room="lab", name="alice", token=source) as room:
        events = room.events()
        room.network_changed()
        await until(events, SignalingRestored)
    assert source.answers == []


async def sent_away(keyed: str, name: str, room: Room) -> None:
    await soon(room.wait_for(name))
    await room.send(Kick(room.find(name).id, "be kind"))


def chair(keyed: str) -> Any:
    return join(keyed, room="lab", name="chair", token=token(name="chair", can=("moderate",)))


async def test_who_is_sent_away_has_left_and_knows_why(keyed: str, caplog: pytest.LogCaptureFixture) -> None:
    async with chair(keyed) as room, join(keyed, room="lab", name="bob", token=token(name="bob")) as bob:
        events = bob.events()
        await sent_away(keyed, "bob", room)
        async with asyncio.timeout(20):
            async for _ in events:
                pass  # they end with the room
        assert bob.refusal is not None and bob.refusal.code == "kicked"
        with pytest.raises(SignalingError, match="sent away"):
            await bob.wait_for("nobody")
    assert "the room lab is over" in caplog.text


async def test_the_commands_end_when_they_are_sent_away(keyed: str, tmp_path: Path) -> None:
    call = calling.Plan(url=keyed, room="lab", name="bob", video="none", audio="none", token=token(name="bob"))
    record = recordall.Plan(url=keyed, room="lab", name="tape", output=tmp_path, token=token(name="tape"))
    async with chair(keyed) as room:
        running = [asyncio.create_task(calling.call(call)), asyncio.create_task(recordall.record(record))]
        for name in ("bob", "tape"):
            await sent_away(keyed, name, room)
        for outcome in await soon(asyncio.gather(*running)):
            assert isinstance(outcome.error, SignalingError)
            assert (outcome.error.code, outcome.error.exit_code) == ("kicked", 3)


async def test_who_may_not_publish_listens(keyed: str) -> None:
    watcher = token(name="watcher", can=("call", "be-called", "receive"))
    async with (
        join(keyed, room="lab", name="alice", video=SMALL, token=token(name="alice")) as alice,
        join(keyed, room="lab", name="watcher", video=SMALL, audio="test", token=watcher) as watching,
    ):
        for caller, callee in ((alice, watching), (watching, alice)):
            await soon(caller.wait_for(callee.name))
            outgoing, incoming = await connect(caller, callee)
            mine = outgoing if caller is watching else incoming
            await soon(mine.flowing("video"))
            assert mine._connection.silent
            with pytest.raises(UsageError, match="does not let us send"):
                await mine.show(SMALL)
            with pytest.raises(UsageError, match="does not let us send"):
                mine.play("tone.opus")
            await outgoing.hang_up()
            await soon(incoming.ended())


async def test_whom_one_may_not_call_rejects(keyed: str) -> None:
    called = token(name="alice", can=("be-called", "publish", "receive"))
    async with (
        join(keyed, room="lab", name="alice", token=called) as alice,
        join(keyed, room="lab", name="bob", token=token(name="bob", can=("call", "publish"))) as bob,
    ):
        await soon(alice.wait_for("bob"))
        assert not alice.may_call("bob") and bob.may_call("alice")
        with pytest.raises(Rejected, match="do not let us call bob"):
            await alice.call("bob")
