"""A call over WHIP or WHEP: what its channel makes of messages, and whole calls with a participant of our server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

import peer
from peer.errors import NotHere, SignalingError, Unreachable, UsageError
from peer.whip import ENDPOINT, WhipConnect, direction_of, endpoint_name
from peer.whiphttp import Unable
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    IceCandidate,
    IceServer,
    Leave,
    MessageTo,
    SessionDescription,
)
from signaling.sdpfrag import FRAGMENT, Fragment, fragment_of, media_of, parse_fragment
from tests.endpoints import CANDIDATE, PWD, SMALL, Endpoint, created, desk, endpoint, sdp
from tests.rooms import soon
from tests.signaling.helpers import hub_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.channel import Connect, SignalingChannel
    from signaling.app import Server


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.example/whip/lab/desk", "desk"),
        ("http://a.example/whip/lab/a%20b/", "a b"),
        ("http://a.example", "a.example"),
        ("http://a.example/%00%1b", "a.example"),
        ("http://a.example/" + "x" * 100, "x" * 64),
    ],
)
def test_the_name_of_an_endpoint(url: str, name: str) -> None:
    assert endpoint_name(url) == name


@pytest.mark.parametrize(
    ("url", "direction"),
    [
        ("http://localhost:8080/whip/lab/desk", "sendonly"),
        ("http://localhost:8080/WHEP/lab/desk", "recvonly"),
        ("http://whip.example.org/", None),
        ("http://localhost:8080", None),
        ("localhost", None),
    ],
)
def test_which_protocol_a_url_is_of(url: str, direction: str | None) -> None:
    assert direction_of(url) == direction


@asynccontextmanager
async def channel(there: Endpoint, direction: str = "sendonly") -> AsyncIterator[SignalingChannel]:
    connect: Connect = WhipConnect(f"{there.url}/whip/lab/desk", direction=direction, token="secret")
    made = await soon(connect("whip", "publisher"))
    try:
        yield made
    finally:
        await made.close()


def offer(session: str = "s", text: str | None = None, **more: str) -> DescriptionTo:
    return DescriptionTo(ENDPOINT, session, SessionDescription("offer", text or sdp()), **more)  # type: ignore[arg-type]


def candidate(number: int = 1) -> IceCandidate:
    return IceCandidate(f"candidate:{number} 1 udp 1 192.0.2.7 5000 typ host", "0", 0, "ours")


async def answered(there: Endpoint, made: SignalingChannel) -> None:
    there.will("POST", created())
    await soon(made.send(offer()))
    assert await soon(made.receive()) == DescriptionFrom(ENDPOINT, "s", SessionDescription("answer", sdp("theirs")))


async def patched(there: Endpoint, number: int) -> list[Fragment]:
    async with asyncio.timeout(10):
        while len(there.requests("PATCH")) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [parse_fragment(each.body) for each in there.requests("PATCH")]


@pytest.fixture
async def there() -> AsyncIterator[Endpoint]:
    async with endpoint() as found:
        yield found


async def test_an_endpoint_is_a_room_with_one_member(there: Endpoint) -> None:
    there.will("OPTIONS", web.Response(headers={"Link": '<stun:192.0.2.1>; rel="ice-server"'}))
    async with channel(there, "recvonly") as made:
        assert [(each.id, each.name) for each in made.welcome.members] == [(ENDPOINT, "desk")]
        assert made.welcome.ice_servers == [IceServer(["stun:192.0.2.1"])]
        assert made.direction == "recvonly"


async def test_an_offer_a_session_and_its_end(there: Endpoint) -> None:
    async with channel(there) as made:
        await answered(there, made)
        await soon(made.send(ByeTo(ENDPOINT, "s", "hung-up")))
        await soon(made.send(ByeTo(ENDPOINT, "s", "hung-up")))
    assert [(each.method, each.path) for each in there.asked] == [
        ("OPTIONS", "/whip/lab/desk"),
        ("POST", "/whip/lab/desk"),
        ("DELETE", "/session"),
    ]


async def test_leaving_ends_the_session(there: Endpoint) -> None:
    async with channel(there) as made:
        await answered(there, made)
        await soon(made.send(Leave()))
        with pytest.raises(Unreachable):
            await soon(made.receive())
        with pytest.raises(Unreachable):
            await soon(made.send(offer()))
    assert len(there.requests("DELETE")) == 1


@pytest.mark.virtual_time
async def test_leaving_takes_no_longer_than_a_second(there: Endpoint) -> None:
    there.will("DELETE", there.silence)
    async with channel(there) as made:
        await answered(there, made)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 2


async def test_whoever_waits_learns_of_the_end(there: Endpoint) -> None:
    async with channel(there) as made:
        waiting = asyncio.create_task(made.receive())
        await asyncio.sleep(0)
    with pytest.raises(Unreachable):
        await soon(waiting)


async def test_ice_servers_of_the_answer_are_for_the_next_connection(there: Endpoint) -> None:
    answer = created()
    answer.headers["Link"] = '<stun:192.0.2.1>; rel="ice-server"'
    there.will("POST", answer)
    async with channel(there) as made:
        await soon(made.send(offer()))
        assert made.welcome.ice_servers == [IceServer(["stun:192.0.2.1"])]


async def test_what_is_no_call_is_refused(there: Endpoint) -> None:
    async with channel(there) as made:
        with pytest.raises(SignalingError, match="MessageTo cannot be sent"):
            await soon(made.send(MessageTo(ENDPOINT, "hello")))
        made.abort()  # harmless


# Trickle ICE


async def test_candidates_go_in_one_patch(there: Endpoint) -> None:
    there.will("PATCH", *(web.Response(status=204) for _ in range(3)))
    async with channel(there) as made:
        await answered(there, made)
        for number in (1, 2):
            await made.send(CandidateTo(ENDPOINT, "s", candidate(number)))
        (first,) = await patched(there, 1)
        await made.send(CandidateTo(ENDPOINT, "s", candidate(3)))
        await made.send(CandidateTo(ENDPOINT, "s", None))
        _, second = await patched(there, 2)
    assert (first.ufrag, first.pwd, first.mid, len(first.candidates), first.ended) == ("ours", PWD, "0", 2, False)
    assert (second.candidates, second.ended) == ((candidate(3).candidate,), True)
    assert {each.headers["if-match"] for each in there.requests("PATCH")} == {'"one"'}


async def test_what_the_offer_said_is_not_said_again(there: Endpoint) -> None:
    there.will("POST", created())
    async with channel(there) as made:
        await soon(made.send(offer(text=sdp("ours", f"a={CANDIDATE}", "a=end-of-candidates"))))
        await made.send(CandidateTo(ENDPOINT, "s", None))
        await made.send(CandidateTo(ENDPOINT, "unknown", candidate()))
        await asyncio.sleep(0.1)
    assert there.requests("PATCH") == []


@pytest.mark.parametrize("status", [405, 404])
async def test_a_server_without_trickle_is_not_bothered_again(there: Endpoint, status: int) -> None:
    there.will("PATCH", web.Response(status=status))
    async with channel(there) as made:
        await answered(there, made)
        await made.send(CandidateTo(ENDPOINT, "s", candidate()))
        await patched(there, 1)
        await asyncio.sleep(0.05)
        await made.send(CandidateTo(ENDPOINT, "s", candidate(2)))
        await asyncio.sleep(0.1)
    assert len(there.requests("PATCH")) == 1


async def test_a_patch_that_fails_once_ends_nothing(there: Endpoint) -> None:
    there.will("PATCH", web.Response(status=500), web.Response(status=204))
    async with channel(there) as made:
        await answered(there, made)
        for number in (1, 2):
            await made.send(CandidateTo(ENDPOINT, "s", candidate(number)))
            await patched(there, number)
            await asyncio.sleep(0.05)


async def test_a_session_without_an_address_is_not_patched(there: Endpoint) -> None:
    there.will("POST", created(None))
    async with channel(there) as made:
        await soon(made.send(offer()))
        await made.send(CandidateTo(ENDPOINT, "s", candidate()))
        with pytest.raises(Unable):
            await soon(made.send(offer(text=sdp("next"))))
    assert {each.method for each in there.asked} == {"OPTIONS", "POST"}


# ICE restarts


def restart(ufrag: str = "anew", etag: str = '"two"') -> web.Response:
    return web.Response(text=str(Fragment(ufrag, "q" * 22)), content_type=FRAGMENT, headers={"ETag": etag})


async def test_an_offer_with_other_credentials_restarts_ice(there: Endpoint) -> None:
    there.will("PATCH", restart(), web.Response(status=204))
    async with channel(there) as made:
        await answered(there, made)
        await soon(made.send(offer(text=sdp("next", f"a={CANDIDATE}"))))
        message = await soon(made.receive())
        assert isinstance(message, DescriptionFrom)
        found = fragment_of(message.description.sdp)
        assert (found.ufrag, found.pwd, "o=- 1 2 IN" in message.description.sdp) == ("anew", "q" * 22, True)
        await made.send(CandidateTo(ENDPOINT, "s", candidate()))
        first, second = await patched(there, 2)
    assert (first.ufrag, first.candidates, second.ufrag) == ("next", (CANDIDATE,), "next")
    assert [each.headers["if-match"] for each in there.requests("PATCH")] == ["*", '"two"']


async def test_a_server_that_names_no_candidates_is_where_it_was(there: Endpoint) -> None:
    there.will("PATCH", restart())
    there.will("POST", created(body=sdp("theirs", f"a={CANDIDATE}")))
    async with channel(there) as made:
        for text in (sdp(), sdp("next")):
            await soon(made.send(offer(text=text)))
            message = await soon(made.receive())
            assert isinstance(message, DescriptionFrom)
            assert fragment_of(message.description.sdp).candidates == (CANDIDATE,)


async def test_anything_else_is_not_negotiated_again(there: Endpoint) -> None:
    async with channel(there) as made:
        await answered(there, made)
        await soon(made.send(offer(text=sdp("ours", "a=record:on"))))
        message = await soon(made.receive())
        assert isinstance(message, DescriptionFrom) and message.description.sdp == sdp("theirs")
    assert len(there.requests("POST", "PATCH")) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=405), "takes no such change"),
        (lambda: web.Response(status=204), "did not restart"),
        (lambda: web.Response(text="x", content_type=FRAGMENT), "cannot be used"),
        (lambda: web.Response(status=500), "fails"),
    ],
)
async def test_a_restart_that_fails_leaves_the_session(there: Endpoint, answer: type, kind: str) -> None:
    there.will("PATCH", answer(), restart())
    async with channel(there) as made:
        await answered(there, made)
        with pytest.raises(peer.Error, match=kind):
            await soon(made.send(offer(text=sdp("next"))))
        await soon(made.send(offer(text=sdp("more"))))
        assert isinstance(await soon(made.receive()), DescriptionFrom)


async def test_a_session_that_is_gone_is_over(there: Endpoint) -> None:
    there.will("PATCH", web.Response(status=404))
    async with channel(there) as made:
        await answered(there, made)
        with pytest.raises(SignalingError, match="no longer knows"):
            await soon(made.send(offer(text=sdp("next"))))
        message = await soon(made.receive())
        assert isinstance(message, ByeFrom) and message.session == "s"
    assert there.requests("DELETE") == []


async def test_another_connection_is_another_session(there: Endpoint) -> None:
    async with channel(there) as made:
        await answered(there, made)
        there.will("POST", created("/another"))
        await soon(made.send(offer("t", replaces="s")))
        assert [(each.method, each.path) for each in there.asked[2:]] == [
            ("DELETE", "/session"),
            ("POST", "/whip/lab/desk"),
        ]
    assert there.asked[-1].path == "/another"


# Whole calls


async def test_publishing_to_our_server() -> None:
    async with desk() as (server, room), asyncio.timeout(20):
        async with peer.publish(f"{server.url}/whip/lab/desk", video=SMALL) as call:
            (theirs,) = room.calls
            assert theirs.name == "whip"
            picture = await theirs.picture()
            assert (picture.width, picture.height) == (160, 120)
            media = media_of(_offer_at(server))
            assert [(each.kind, each.direction) for each in media] == [("video", "sendonly")]
            with pytest.raises(peer.Error, match="no data channel"):
                await call.write("hello")
        ended = await theirs.ended()
        assert (ended.by, ended.reason) == ("whip", "hung up")


def _offer_at(server: Server) -> str:
    """The offer of the session that is there, as it was passed on."""
    return next(each.offer for each in hub_of(server)._recipients.values() if hasattr(each, "offer"))


async def test_pulling_from_our_server() -> None:
    async with desk() as (server, room), asyncio.timeout(20):
        async with peer.pull(f"{server.url}/whep/lab/desk") as call:
            await call.flowing()
            assert (await call.picture()).width == 160
            (theirs,) = room.calls
            assert theirs.remote.tracks == []
        assert (await theirs.ended()).reason == "hung up"
        assert hub_of(server).rooms.guest_count == 0


async def test_ice_restarts_over_our_server() -> None:
    async with desk() as (server, room), asyncio.timeout(20):
        async with peer.publish(f"{server.url}/whip/lab/desk", video=SMALL) as call:
            call._connection.restart()
            while not (call._connection.restarts and room.calls[0]._connection.restarts):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await room.calls[0].picture()
            assert call.open


async def test_a_participant_that_hangs_up_ends_the_call() -> None:
    async with desk() as (server, room), asyncio.timeout(20):
        async with peer.publish(f"{server.url}/whip/lab/desk", audio="test") as call:
            await room.calls[0].hang_up()
            assert (await call.ended()).by == "desk"
            with pytest.raises(peer.CallEnded):
                call.play("x.opus")
    assert hub_of(server).rooms.guest_count == 0


async def test_nobody_there() -> None:
    async with desk() as (server, _):
        with pytest.raises(NotHere, match="nobody is at /whip/lab/nobody"):
            async with peer.publish(f"{server.url}/whip/lab/nobody", audio="test"):
                pass


async def test_what_is_no_url() -> None:
    with pytest.raises(UsageError):
        async with peer.pull("ftp://a.example"):
            pass
