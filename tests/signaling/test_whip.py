"""The gateway: each rule of RFC 9725 and of the WHEP draft that a server keeps, and what hostile HTTP comes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from signaling.app import Access, Limits
from signaling.ice_servers import IceServer
from signaling.messages import ByeTo, DescriptionTo, SessionDescription
from signaling.sdpfrag import FRAGMENT, SDP, fragment_of, ice_servers_of
from tests.signaling.helpers import DEADLINE, Client, hub_of, until
from tests.signaling.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve

PWD = "p" * 22


def sdp(direction: str = "sendonly", *, ufrag: str = "user", kinds: tuple[str, ...] = ("audio", "video")) -> str:
    lines = ["v=0", "o=- 7 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
    for mid, kind in enumerate(kinds):
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", f"a=ice-ufrag:{ufrag}"]
        lines += [f"a=ice-pwd:{PWD}", "a=rtcp-mux", "a=rtcp-mux-only"]
        lines += [f"a={direction}"] if direction else []
    return "".join(f"{line}\r\n" for line in lines)


OURS = "candidate:1 1 udp 1 192.0.2.9 9 typ host"
ANSWER = (
    sdp("recvonly", ufrag="host").replace("a=rtcp-mux-only\r\n", "").replace("a=mid:0\r\n", f"a=mid:0\r\na={OURS}\r\n")
)


@dataclass
class Reply:
    status: int
    headers: Any
    text: str

    @property
    def code(self) -> str:
        import json

        return str(json.loads(self.text)["code"])


class Http:
    """A client of the gateway that knows nothing of WHIP."""

    def __init__(self, session: ClientSession, server: Server) -> None:
        self._session = session
        self.url = server.url

    async def __call__(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with asyncio.timeout(DEADLINE):
            options: dict[str, Any] = {"data": body, "headers": named, "allow_redirects": False}
            async with self._session.request(method, self.url + path, **options) as response:
                return Reply(response.status, response.headers, await response.text())

    async def post(self, path: str = "/whip/lab/desk", body: str | None = None, **headers: str) -> Reply:
        return await self("POST", path, body if body is not None else sdp(), **{"Content_Type": SDP, **headers})

    async def patch(self, where: str, body: str, **headers: str) -> Reply:
        return await self("PATCH", where, body, **{"Content_Type": FRAGMENT, **headers})


@dataclass
class Place:
    """A server, somebody called `desk` in its room `lab`, and a client."""

    http: Http
    desk: Client
    server: Server

    @property
    def guests(self) -> int:
        return hub_of(self.server).rooms.guest_count

    async def answered(self, answer: str = ANSWER) -> tuple[dict[str, Any], str]:
        """The desk takes the next call: what rang, and who it is for."""
        ring = await self.desk.next("description")
        to = {"to": ring["from"], "session": ring["session"]}
        await self.desk.send(type="description", description={"type": "answer", "sdp": answer}, **to)
        return ring, ring["from"]

    async def session(self, path: str = "/whip/lab/desk", body: str | None = None) -> tuple[Reply, dict[str, Any]]:
        """A session that is set up."""
        async with asyncio.TaskGroup() as group:
            posting = group.create_task(self.http.post(path, body))
            ring, _ = await self.answered()
        assert posting.result().status == 201
        return posting.result(), ring


@pytest.fixture
async def place(serve: Serve, join: Connect, session: ClientSession) -> AsyncIterator[Place]:
    servers = (IceServer(["stun:192.0.2.1"]), IceServer(["turn:192.0.2.1:3478"], 'us"er', "pa,ss"))
    limits = Limits(answer_timeout=5)
    server = await serve(limits=limits, ice_servers=servers, allowed_origins=("https://studio.example",))
    yield Place(Http(session, server), await join(server, "desk"), server)


def fragment(ufrag: str = "user", *candidates: str, pwd: str = PWD, ended: bool = False) -> str:
    lines = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{pwd}"]
    lines += [f"a={candidate}" for candidate in candidates]
    return "".join(f"{line}\r\n" for line in [*lines, *(["a=end-of-candidates"] if ended else [])])


FIRST = "candidate:1 1 udp 1 192.0.2.7 5000 typ host"
SECOND = "candidate:2 1 udp 1 192.0.2.7 5001 typ host"


async def test_an_offer_makes_a_session(place: Place) -> None:
    reply, ring = await place.session()
    assert (ring["trickle"], ring["name"], ring["description"]["type"]) == (False, "whip", "offer")
    assert ring["description"]["sdp"] == sdp()
    assert reply.headers["Content-Type"] == SDP
    assert reply.headers["Location"].startswith("/whip/lab/desk/")
    assert len(reply.headers["Location"].rsplit("/", 1)[1]) >= 32
    assert reply.headers["ETag"].startswith('"')
    assert fragment_of(reply.text).ufrag == "host"


async def test_the_ids_of_sessions_are_their_own(place: Place) -> None:
    places = [(await place.session())[0].headers["Location"] for _ in range(3)]
    assert len(set(places)) == 3
    assert place.guests == 3


async def test_ice_servers_come_with_the_session(place: Place) -> None:
    reply, _ = await place.session()
    found = ice_servers_of(reply.headers.getall("Link"))
    assert found == [IceServer(["stun:192.0.2.1"]), IceServer(["turn:192.0.2.1:3478"], 'us"er', "pa,ss")]


async def test_an_answer_says_mux_only_if_the_offer_did(place: Place) -> None:
    reply, _ = await place.session()
    assert reply.text.count("a=rtcp-mux-only") == 2
    reply, _ = await place.session(body=sdp().replace("a=rtcp-mux-only\r\n", ""))
    assert "a=rtcp-mux-only" not in reply.text


@pytest.mark.parametrize(
    ("path", "said", "passed_on"),
    [
        ("/whip/lab/desk", "sendonly", "sendonly"),
        ("/whip/lab/desk", "sendrecv", "sendonly"),
        ("/whip/lab/desk", "", "sendonly"),
        ("/whep/lab/desk", "recvonly", "recvonly"),
        ("/whep/lab/desk", "sendrecv", "recvonly"),
    ],
)
async def test_media_goes_one_way(place: Place, path: str, said: str, passed_on: str) -> None:
    _, ring = await place.session(path, sdp(said))
    text = ring["description"]["sdp"]
    assert (text.count(f"a={passed_on}"), text.count("a=sendrecv")) == (2, 0)


@pytest.mark.parametrize(
    ("path", "offer"),
    [
        ("/whip/lab/desk", sdp("recvonly")),
        ("/whip/lab/desk", sdp("inactive")),
        ("/whep/lab/desk", sdp("sendonly")),
        ("/whep/lab/desk", sdp("inactive")),
        ("/whip/lab/desk", sdp(kinds=("audio", "audio"))),
        ("/whip/lab/desk", sdp(kinds=("application",))),
    ],
)
async def test_an_offer_that_the_protocol_does_not_allow(place: Place, path: str, offer: str) -> None:
    reply = await place.http.post(path, offer)
    assert (reply.status, reply.code) == (422, "unprocessable")
    assert place.guests == 0


@pytest.mark.parametrize("offer", ["", "v=0\r\n", "garbage", "v=0\r\nm=audio\r\n", sdp().replace("a=ice-pwd:", "a=x:")])
async def test_a_body_that_is_no_offer(place: Place, offer: str) -> None:
    reply = await place.http.post(body=offer)
    assert (reply.status, reply.code) == (400, "bad-message")


async def test_a_body_of_another_type(place: Place) -> None:
    reply = await place.http.post(Content_Type="application/json")
    assert (reply.status, reply.code) == (415, "bad-content-type")
    made, _ = await place.session()
    reply = await place.http.patch(made.headers["Location"], fragment(), Content_Type=SDP, If_Match="*")
    assert (reply.status, reply.code) == (415, "bad-content-type")


async def test_a_body_over_the_limit(place: Place) -> None:
    reply = await place.http.post(body="v=0\r\n" + "a" * 200_000)
    assert (reply.status, reply.code) == (413, "too-large")


async def test_nobody_there(place: Place) -> None:
    for path in ("/whip/lab/nobody", "/whep/other/desk"):
        reply = await place.http.post(path, sdp("sendonly" if "whip" in path else "recvonly"))
        assert (reply.status, reply.code) == (404, "unknown-target")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_methods_that_an_endpoint_does_not_have(place: Place, method: str) -> None:
    reply = await place.http(method, "/whip/lab/desk")
    assert reply.status == 405
    assert "POST" in reply.headers["Allow"]


async def test_methods_that_a_session_does_not_have(place: Place) -> None:
    made, _ = await place.session()
    reply = await place.http.post(made.headers["Location"])
    assert (reply.status, reply.code) == (405, "bad-method")
    assert "PATCH" in reply.headers["Allow"]


async def test_to_get_is_no_mistake(place: Place) -> None:
    made, _ = await place.session()
    for path in ("/whip/lab/desk", "/whep/lab/desk", made.headers["Location"]):
        reply = await place.http("GET", path)
        assert (reply.status, reply.text) == (204, "")


async def test_options_say_what_is_taken(place: Place) -> None:
    reply = await place.http("OPTIONS", "/whip/lab/desk")
    assert (reply.status, reply.headers["Accept-Post"]) == (200, SDP)
    assert len(ice_servers_of(reply.headers.getall("Link"))) == 2
    reply = await place.http("OPTIONS", "/whip/lab/desk", Access_Control_Request_Method="POST")
    assert (reply.status, reply.headers["Accept-Post"], "Link" in reply.headers) == (200, SDP, False)
    made, _ = await place.session()
    reply = await place.http("OPTIONS", made.headers["Location"])
    assert (reply.status, reply.headers["Accept-Patch"]) == (200, FRAGMENT)


async def test_pages_of_allowed_origins_see_what_they_need(place: Place) -> None:
    asked = {"Origin": "https://studio.example", "Access_Control_Request_Method": "POST"}
    reply = await place.http("OPTIONS", "/whip/lab/desk", **asked)
    assert reply.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "Content-Type", "If-Match"} <= set(
        reply.headers["Access-Control-Allow-Headers"].split(", ")
    )
    refused = await place.http.post("/whip/lab/nobody", Origin="https://studio.example")
    assert refused.status == 404  # refusals can be read too
    assert refused.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    assert {"Location", "ETag", "Link"} <= set(refused.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Origin" in refused.headers["Vary"]


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_pages_of_other_origins_may_not(place: Place, method: str) -> None:
    reply = await place.http(method, "/whip/lab/desk", Origin="https://evil.example")
    assert (reply.status, reply.code) == (403, "bad-origin")
    assert "Access-Control-Allow-Origin" not in reply.headers


# Trickle ICE


async def test_candidates_are_passed_on(place: Place) -> None:
    made, ring = await place.session()
    body = fragment("user", FIRST, SECOND, ended=True)
    reply = await place.http.patch(made.headers["Location"], body, If_Match=made.headers["ETag"])
    assert (reply.status, reply.text) == (204, "")
    assert "ETag" not in reply.headers
    for text in (FIRST, SECOND):
        message = await place.desk.next("candidate")
        assert (message["from"], message["session"]) == (ring["from"], ring["session"])
        assert (message["candidate"]["candidate"], message["candidate"]["sdpMid"]) == (text, "0")
        assert message["candidate"]["usernameFragment"] == "user"
    assert (await place.desk.next("candidate"))["candidate"] is None


async def test_a_fragment_needs_no_credentials(place: Place) -> None:
    made, _ = await place.session()
    reply = await place.http.patch(made.headers["Location"], f"a={FIRST}\n", If_Match=made.headers["ETag"])
    assert reply.status == 204
    assert (await place.desk.next("candidate"))["candidate"]["sdpMid"] == "0"


async def test_a_patch_needs_the_etag(place: Place) -> None:
    made, _ = await place.session()
    where, body = made.headers["Location"], fragment("user", FIRST)
    assert (await place.http.patch(where, body)).code == "precondition-required"
    assert (await place.http.patch(where, body)).status == 428
    reply = await place.http.patch(where, body, If_Match='"another"')
    assert (reply.status, reply.code) == (412, "precondition-failed")
    weak = await place.http.patch(where, body, If_Match=f"W/{made.headers['ETag']}")
    assert weak.status == 412  # RFC 9110 section 13.1.1: strong comparison
    several = await place.http.patch(where, body, If_Match=f'"another", {made.headers["ETag"]}')
    assert several.status == 204


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "a=ice-ufrag:user\r\n",
        fragment("user", pwd="short"),
        fragment("user", *[f"candidate:{n}" for n in range(101)]),
    ],
    ids=["empty", "text", "half", "short", "many"],
)
async def test_a_fragment_that_is_none(place: Place, body: str) -> None:
    made, _ = await place.session()
    reply = await place.http.patch(made.headers["Location"], body, If_Match="*")
    assert (reply.status, reply.code) == (400, "bad-message")
    assert place.guests == 1


# ICE restarts


async def test_ice_restarts(place: Place) -> None:
    made, ring = await place.session()
    async with asyncio.TaskGroup() as group:
        patching = group.create_task(
            place.http.patch(made.headers["Location"], fragment("next", FIRST, pwd="n" * 22), If_Match="*")
        )
        again, _ = await place.answered(ANSWER.replace("a=ice-ufrag:host", "a=ice-ufrag:anew"))
    assert (again["from"], again["session"], again["trickle"]) == (ring["from"], ring["session"], False)
    offered = fragment_of(again["description"]["sdp"])
    assert (offered.ufrag, offered.pwd, offered.candidates) == ("next", "n" * 22, (FIRST,))
    assert "o=- 7 3 IN IP4" in again["description"]["sdp"]
    reply = patching.result()
    assert (reply.status, reply.headers["Content-Type"]) == (200, FRAGMENT)
    assert reply.headers["ETag"] != made.headers["ETag"]
    assert "a=ice-ufrag:anew\r\n" in reply.text
    assert f"a={OURS}\r\n" in reply.text
    # What belongs to the ICE session before no longer counts, what belongs to this one does.
    stale = await place.http.patch(made.headers["Location"], fragment("user", FIRST), If_Match=made.headers["ETag"])
    assert stale.status == 412
    fresh = fragment("next", SECOND, pwd="n" * 22)
    assert (await place.http.patch(made.headers["Location"], fresh, If_Match=reply.headers["ETag"])).status == 204
    assert (await place.desk.next("candidate"))["candidate"]["usernameFragment"] == "next"


@pytest.mark.virtual_time
async def test_a_restart_that_fails_ends_nothing(place: Place) -> None:
    made, ring = await place.session()
    where = made.headers["Location"]
    reply = await place.http.patch(where, fragment("next"), If_Match='"*"')
    assert (reply.status, reply.code) == (504, "no-answer")
    await place.desk.next("description")
    reply = await place.http.patch(where, fragment("user", FIRST), If_Match=made.headers["ETag"])
    assert reply.status == 204
    assert (await place.desk.next("candidate"))["session"] == ring["session"]


async def test_restarts_are_bounded(place: Place) -> None:
    made, _ = await place.session()
    async with asyncio.TaskGroup() as group:
        tries = [
            group.create_task(place.http.patch(made.headers["Location"], fragment(f"next{n}"), If_Match="*"))
            for n in range(6)
        ]
        for _ in range(4):
            await place.answered()
    assert sorted(each.result().status for each in tries) == [200, 200, 200, 200, 429, 429]
    refused = next(each.result() for each in tries if each.result().status == 429)
    assert refused.headers["Retry-After"] == "1"


async def test_candidates_are_bounded(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(messages_per_second=1, burst=5))
    place = Place(Http(session, server), await join(server, "desk"), server)
    made, _ = await place.session()
    many = fragment("user", *[f"candidate:{n} 1 udp 1 192.0.2.7 5000 typ host" for n in range(20)])
    reply = await place.http.patch(made.headers["Location"], many, If_Match="*")
    assert (reply.status, reply.code) == (429, "rate-limited")
    for _ in range(4):
        await place.desk.next("candidate")
    assert place.guests == 1


# The end


async def test_the_client_ends_the_session(place: Place) -> None:
    made, ring = await place.session()
    where = made.headers["Location"]
    assert (await place.http("DELETE", where, If_Match='"whatever"')).status == 200
    bye = await place.desk.next("bye")
    assert (bye["from"], bye["session"], bye["reason"]) == (ring["from"], ring["session"], "hung-up")
    for method in ("DELETE", "PATCH", "GET"):
        reply = await place.http(method, where)
        assert (reply.status, "unknown-session" in reply.text or method == "HEAD") == (404, True)
    assert place.guests == 0


async def test_the_participant_ends_the_session(place: Place) -> None:
    made, ring = await place.session()
    await place.desk.send(type="bye", to=ring["from"], session=ring["session"], reason="hung-up")
    await until(lambda: place.guests == 0)
    assert (await place.http("DELETE", made.headers["Location"])).status == 404


async def test_a_participant_that_takes_its_answer_back_makes_no_session(place: Place) -> None:
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(place.http.post())
        ring = await place.desk.next("description")
        to = {"to": ring["from"], "session": ring["session"]}
        hub = hub_of(place.server)
        for message in (
            DescriptionTo(**to, description=SessionDescription("answer", ANSWER)),
            ByeTo(**to, reason="declined"),
        ):
            hub.relay(place.desk.id, message)  # both at once, before the request looks again
    assert (posting.result().status, posting.result().code) == (409, "rejected")
    assert place.guests == 0


async def test_a_participant_that_leaves_ends_the_session(place: Place) -> None:
    made, _ = await place.session()
    await place.desk.close()
    await until(lambda: place.guests == 0)
    assert (await place.http("DELETE", made.headers["Location"])).status == 404


async def test_a_bye_of_another_session_ends_nothing(place: Place) -> None:
    made, ring = await place.session()
    await place.desk.send(type="bye", to=ring["from"], session="another", reason="hung-up")
    assert (await place.http.patch(made.headers["Location"], fragment("user", FIRST), If_Match="*")).status == 204


@pytest.mark.virtual_time
async def test_a_session_of_which_nothing_is_heard_is_forgotten(
    serve: Serve, join: Connect, session: ClientSession
) -> None:
    server = await serve(limits=Limits(session_timeout=100, heartbeat=1000))
    place = Place(Http(session, server), await join(server, "desk"), server)
    made, _ = await place.session()
    await asyncio.sleep(60)
    assert (await place.http.patch(made.headers["Location"], fragment("user", FIRST), If_Match="*")).status == 204
    await asyncio.sleep(60)
    assert place.guests == 1
    await asyncio.sleep(60)
    assert place.guests == 0


@pytest.mark.virtual_time
async def test_a_server_that_goes_ends_its_sessions(place: Place) -> None:
    await place.session()
    hub = hub_of(place.server)
    await place.server.close()
    assert hub.rooms.guest_count == 0


# What the participant does instead of answering


@pytest.mark.parametrize(
    ("reason", "status", "wait"),
    [("declined", 409, None), ("busy", 409, "5"), ("failed", 406, None), ("error", 409, None)],
)
async def test_the_participant_says_no(place: Place, reason: str, status: int, wait: str | None) -> None:
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(place.http.post())
        ring = await place.desk.next("description")
        await place.desk.send(type="bye", to=ring["from"], session=ring["session"], reason=reason)
    assert (posting.result().status, posting.result().headers.get("Retry-After")) == (status, wait)
    assert place.guests == 0


@pytest.mark.parametrize("answer", [ANSWER.replace("m=video 9", "m=video 0"), "garbage", "v=0\r\nm=audio 9 x 0\r\n"])
async def test_an_answer_that_leaves_something_out(place: Place, answer: str) -> None:
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(place.http.post())
        await place.answered(answer)
    assert (posting.result().status, posting.result().code) == (406, "not-acceptable")
    assert (await place.desk.next("bye"))["reason"] == "failed"
    assert place.guests == 0


@pytest.mark.virtual_time
async def test_no_answer(place: Place) -> None:
    reply = await place.http.post()
    assert (reply.status, reply.code) == (504, "no-answer")
    assert place.guests == 0


async def test_a_client_that_goes_away_cancels(place: Place, session: ClientSession) -> None:
    posting = asyncio.create_task(place.http.post())
    await place.desk.next("description")
    posting.cancel()
    assert (await place.desk.next("bye"))["reason"] == "cancelled"
    await until(lambda: place.guests == 0)
    assert posting.cancelled()


async def test_a_full_server(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(exchanges=1))
    place = Place(Http(session, server), await join(server, "desk"), server)
    await place.session()
    reply = await place.http.post()
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "server-full", "5")


async def test_too_many_for_one_participant(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(messages_per_second=1, burst=3))
    place = Place(Http(session, server), await join(server, "desk"), server)
    gone = [asyncio.create_task(place.http.post()) for _ in range(3)]
    for _ in gone:
        await place.desk.next("description")
    reply = await place.http.post()
    for each in gone:
        each.cancel()
    await asyncio.wait(gone)
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (429, "rate-limited", "1")


# Rights, and odd requests


@pytest.fixture
async def guarded(serve: Serve, join: Connect, session: ClientSession) -> Place:
    """A server with keys."""
    servers = (IceServer(["stun:192.0.2.1"]),)
    server = await serve(access=Access(secrets=(SECRET,)), ice_servers=servers, limits=Limits(heartbeat=1000))
    desk = await (await join(server)).join("desk", token=token(name="desk"))
    return Place(Http(session, server), desk, server)


async def test_who_needs_a_token_is_told_so(guarded: Place) -> None:
    for method in ("POST", "GET", "PATCH", "OPTIONS"):
        reply = await guarded.http(method, "/whip/lab/desk", Content_Type=SDP)
        assert reply.status == (405 if method == "PATCH" else 401)
        assert reply.headers.get("WWW-Authenticate", "Bearer") == "Bearer"
    reply = await guarded.http.post(Authorization="Bearer x")
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    preflight = await guarded.http("OPTIONS", "/whip/lab/desk", Access_Control_Request_Method="POST")
    assert (preflight.status, "Link" in preflight.headers) == (200, False)  # it has no token
    allowed = await guarded.http("OPTIONS", "/whip/lab/desk", Authorization=f"Bearer {token()}")
    assert (allowed.status, "Link" in allowed.headers) == (200, True)


@pytest.mark.parametrize(
    ("claims", "path", "code"),
    [
        ({"room": "other"}, "/whip/lab/desk", "forbidden"),
        ({"can": ("receive", "call")}, "/whip/lab/desk", "not-allowed"),
        ({"can": ("publish", "call")}, "/whep/lab/desk", "not-allowed"),
        ({"can": ("publish",)}, "/whip/lab/desk", "not-allowed"),
        ({"name": "studio"}, "/whip/lab/desk?from=other", "forbidden"),
    ],
)
async def test_a_token_allows_what_it_says(guarded: Place, claims: dict[str, Any], path: str, code: str) -> None:
    offer = sdp("sendonly" if "whip" in path else "recvonly")
    reply = await guarded.http.post(path, offer, Authorization=f"Bearer {token(**claims)}")
    assert (reply.status, reply.code) == (403, code)
    assert guarded.guests == 0


async def begun(place: Place, bearer: str) -> tuple[str, dict[str, Any]]:
    """A session that is set up with this token: its address, and what rang."""
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(place.http.post(Authorization=bearer))
        ring, _ = await place.answered()
    assert posting.result().status == 201
    return posting.result().headers["Location"], ring


async def test_a_session_wants_a_token_as_good_as_the_first(guarded: Place) -> None:
    bearer = f"Bearer {token(name='studio')}"
    where, ring = await begun(guarded, bearer)
    assert ring["name"] == "studio"
    body = fragment("user", FIRST)
    assert (await guarded.http.patch(where, body, If_Match="*")).status == 401
    assert (await guarded.http("DELETE", where)).status == 401
    another = f"Bearer {token(name='else')}"
    assert (await guarded.http("DELETE", where, Authorization=another)).status == 403
    assert (await guarded.http.patch(where, body, If_Match="*", Authorization=bearer)).status == 204
    assert (await guarded.http("DELETE", where, Authorization=bearer)).status == 200


@pytest.mark.virtual_time
async def test_a_session_ends_with_its_token(guarded: Place) -> None:
    first, last = token(name="studio", ttl=30), token(name="studio", ttl=3600)
    where, _ = await begun(guarded, f"Bearer {first}")
    body = fragment("user", FIRST)
    assert (await guarded.http.patch(where, body, If_Match="*", Authorization=f"Bearer {last}")).status == 204
    await guarded.desk.next("candidate")
    await asyncio.sleep(120)
    assert guarded.guests == 1
    again, ring = await begun(guarded, f"Bearer {first}")
    await asyncio.sleep(120)
    bye = await guarded.desk.next("bye")
    assert (bye["session"], bye["reason"]) == (ring["session"], "left")
    assert (guarded.guests, again != where) == (1, True)


@pytest.mark.parametrize("path", ["/whip", "/whip/lab", "/whip/lab/", "/wham/lab/desk", "/whip/lab/desk/a/b"])
async def test_what_is_no_endpoint(place: Place, path: str) -> None:
    assert (await place.http.post(path)).status == 404


async def test_ids_are_not_guessed(place: Place) -> None:
    made, _ = await place.session()
    where = made.headers["Location"]
    for path in (
        where[:-1],
        where + "x",
        where.replace("/whip/", "/whep/"),
        "/whip/lab/desk/%00",
        "/whip/lab/desk/" + "x" * 5000,
    ):
        assert (await place.http("DELETE", path)).status == 404
    assert place.guests == 1


async def test_bodies_that_are_no_text(place: Place) -> None:
    assert (await place.http("POST", "/whip/lab/desk", b"v=0\r\n\xff\xfe", Content_Type=SDP)).code == "bad-message"
    made, _ = await place.session()
    reply = await place.http("PATCH", made.headers["Location"], b"\xff\xfe", Content_Type=FRAGMENT, If_Match="*")
    assert (reply.status, reply.code) == (400, "bad-message")


async def test_lines_cannot_be_smuggled_into_headers_or_offers(place: Place) -> None:
    made, _ = await place.session()
    body = fragment("user", "candidate:1 1 udp 1 192.0.2.7 5000 typ host\u2028a=x", FIRST)
    reply = await place.http.patch(made.headers["Location"], body, If_Match="*")
    assert (reply.status, reply.code) == (400, "bad-message")


async def test_a_caller_may_name_itself(place: Place) -> None:
    _, ring = await place.session("/whip/lab/desk?from=studio")
    assert ring["name"] == "studio"
    reply = await place.http.post("/whip/lab/desk?from=" + "x" * 65)
    assert (reply.status, reply.code) == (400, "bad-message")
