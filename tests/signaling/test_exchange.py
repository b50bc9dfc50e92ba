"""The plain exchange: an offer by HTTP, answered, rejected, unanswered or given up, any number at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from signaling.app import Limits
from tests.signaling.helpers import ANSWER, CANDIDATE, DEADLINE, OFFER, Client, hears, hub_of, until

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve


class Post:
    """An offer under way, for `bot` in the room `lab`."""

    def __init__(self, session: ClientSession, server: Server, query: str = "", name: str = "bot") -> None:
        self._session = session
        self._url = f"{server.url}/rooms/lab/participants/{name}/offer{query}"

    async def send(self, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the response; the body is the offer unless told otherwise."""
        options = options or {"json": OFFER}
        async with asyncio.timeout(DEADLINE), self._session.post(self._url, **options) as response:
            return response.status, await response.json()


async def test_an_offer_is_answered(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server, "?from=curl").send())
        ring = await bot.next("description")
        assert ring["from"].startswith("http-")
        assert (ring["name"], ring["trickle"], ring["description"]) == ("curl", False, OFFER)
        to = {"to": ring["from"], "session": ring["session"]}
        await bot.send(type="candidate", candidate=CANDIDATE, **to)
        await bot.send(type="description", description=ANSWER, **to)
    assert post.result() == (200, ANSWER)
    # What belongs to the call after its answer is dropped without a word; a second answer is refused.
    await bot.send(type="candidate", candidate=None, **to)
    await bot.send(type="bye", reason="hung-up", **to)
    await bot.send(type="description", description=ANSWER, **to)
    error = await bot.next("error")
    assert (error["code"], error["session"]) == ("unknown-target", ring["session"])
    assert hub_of(server).rooms.guest_count == 0


async def test_any_number_at_once(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(Post(session, server, f"?from=n{number}").send()) for number in range(20)]
        rings = [await bot.next("description") for _ in posts]
        assert len({ring["session"] for ring in rings}) == len({ring["from"] for ring in rings}) == 20
        for ring in reversed(rings):
            answer = {"type": "answer", "sdp": ring["name"]}
            await bot.send(type="description", to=ring["from"], session=ring["session"], description=answer)
    assert [post.result()[1]["sdp"] for post in posts] == [f"n{number}" for number in range(20)]


async def test_a_rejection_is_told(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server).send())
        ring = await bot.next("description")
        assert ring["name"] == "http"
        await bot.send(type="bye", to=ring["from"], session="another one", reason="error")
        await bot.send(type="bye", to=ring["from"], session=ring["session"], reason="busy", text="not now")
    status, body = post.result()
    assert status == 409
    assert (body["code"], body["reason"], body["text"]) == ("rejected", "busy", "not now")
    await _hears_nothing_more(bot)


async def _hears_nothing_more(bot: Client) -> None:
    await bot.text("?")
    assert await bot.error() == "bad-json"


async def test_nobody_there(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    for name in ("bot", "x" * 300, "%00", "..%2f"):
        status, body = await Post(session, server, name=name).send()
        assert (status, body["code"]) == (404, "unknown-target")


async def test_names_with_odd_characters_are_found(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "a/b ?\u00e4")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server, name="a%2Fb%20%3F%C3%A4").send())
        ring = await bot.next("description")
        await bot.send(type="description", to=ring["from"], session=ring["session"], description=ANSWER)
    assert post.result() == (200, ANSWER)


@pytest.mark.virtual_time
async def test_no_answer_in_time(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(answer_timeout=5))
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server).send())
        ring = await bot.next("description")
        bye = await bot.next("bye")
    assert (bye["from"], bye["session"], bye["reason"]) == (ring["from"], ring["session"], "no-answer")
    assert (post.result()[0], post.result()[1]["code"]) == (504, "no-answer")


async def test_a_caller_that_goes_away_cancels(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot, alice = await join(server, "bot"), await join(server, "alice")
    await bot.next("joined")
    post = asyncio.create_task(Post(session, server).send())
    ring = await bot.next("description")
    post.cancel()
    bye = await bot.next("bye")
    assert (bye["from"], bye["session"], bye["reason"]) == (ring["from"], ring["session"], "cancelled")
    await until(lambda: hub_of(server).rooms.guest_count == 0)
    await hears(alice, bot)


async def test_the_participant_leaves_before_it_answers(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server).send())
        await bot.next("description")
        await bot.send(type="leave")
    assert (post.result()[0], post.result()[1]["code"]) == (404, "unknown-target")


async def test_the_server_ends_before_the_answer(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(close_timeout=0.1))
    bot = await join(server, "bot")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server).send())
        await bot.next("description")
        await server.close()
    assert (post.result()[0], post.result()[1]["code"]) == (503, "shutting-down")


async def test_another_member_cannot_answer(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot, eve = await join(server, "bot"), await join(server, "eve")
    await bot.next("joined")
    async with asyncio.TaskGroup() as group:
        post = group.create_task(Post(session, server).send())
        ring = await bot.next("description")
        to = {"to": ring["from"], "session": ring["session"]}
        await eve.send(type="description", description={"type": "answer", "sdp": "evil"}, **to)
        assert await eve.error() == "unknown-target"
        await bot.send(type="description", description=OFFER, **to)  # no answer, so it is not taken for one
        await bot.send(type="description", description=ANSWER, **to)
    assert post.result() == (200, ANSWER)


JSON = {"Content-Type": "application/json"}


BAD_REQUESTS: list[tuple[dict[str, Any], int, str]] = [
    ({"data": b"{", "headers": JSON}, 400, "bad-json"),
    ({"data": b"\xff\xfe", "headers": JSON}, 400, "bad-json"),
    ({"data": b"[" * 5000, "headers": JSON}, 400, "bad-message"),
    ({"data": b"", "headers": JSON}, 400, "bad-json"),
    ({"json": []}, 400, "bad-message"),
    ({"json": {"type": "offer"}}, 400, "bad-message"),
    ({"json": {"type": "offer", "sdp": 1}}, 400, "bad-message"),
    ({"json": {"type": "answer", "sdp": "v=0"}}, 400, "bad-message"),
    ({"json": {"type": "rollback", "sdp": ""}}, 400, "bad-message"),
    ({"json": OFFER, "params": {"from": "x" * 65}}, 400, "bad-message"),
    ({"json": OFFER, "params": {"from": "\u202e"}}, 400, "bad-message"),
    ({"data": b"v=0", "headers": {"Content-Type": "application/sdp"}}, 415, "bad-content-type"),
    ({"json": {"type": "offer", "sdp": "x" * 200_000}}, 413, "too-large"),
    ({"json": OFFER, "headers": {"Origin": "https://evil.example"}}, 403, "bad-origin"),
]  # fmt: skip


async def test_bad_requests(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    bot = await join(server, "bot")
    for options, status, code in BAD_REQUESTS:
        got, body = await Post(session, server).send(**options)
        assert (options, got, body["code"]) == (options, status, code)
        assert body["message"].endswith(".")
    await _hears_nothing_more(bot)


async def test_too_many_exchanges(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(exchanges=1))
    bot = await join(server, "bot")
    first = asyncio.create_task(Post(session, server).send())
    ring = await bot.next("description")
    status, body = await Post(session, server).send()
    assert (status, body["code"]) == (503, "server-full")
    await bot.send(type="bye", to=ring["from"], session=ring["session"], reason="busy")
    assert (await first)[0] == 409


async def test_too_many_offers_for_one_participant(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(messages_per_second=1, burst=2))
    bot = await join(server, "bot")
    for _ in range(2):
        post = asyncio.create_task(Post(session, server).send())
        ring = await bot.next("description")
        post.cancel()
        assert (await bot.next("bye"))["from"] == ring["from"]
    status, body = await Post(session, server).send()
    assert (status, body["code"]) == (429, "rate-limited")


@pytest.mark.virtual_time
async def test_a_body_that_never_comes(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(join_timeout=3))
    await join(server, "bot")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /rooms/lab/participants/bot/offer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 10\r\n\r\n".encode())
    assert b" 408 " in await reader.readline()
    await reader.read()  # to the end, which the server makes
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_breaks_off(serve: Serve, join: Connect) -> None:
    server = await serve()
    bot = await join(server, "bot")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /rooms/lab/participants/bot/offer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n12".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await _hears_nothing_more(bot)
