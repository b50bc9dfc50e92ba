"""Other people's clients over real sockets: where they find us, with whom they talk, and how they are refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from signaling.app import Access, Limits
from signaling.settings import Settings
from tests.signaling.helpers import ANSWER, CANDIDATE, DEADLINE, OFFER, connections, until
from tests.signaling.tokens import SECRET, token

if TYPE_CHECKING:
    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve

ORIGIN = {"Origin": "https://elsewhere.example"}


class Foreign:
    """A client of another server: JSON in text frames."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws

    async def send(self, kind: str, **fields: Any) -> None:
        await self.ws.send_str(json.dumps({"type": kind, **fields}))

    async def next(self, kind: str) -> Any:
        """The next message, which has to be of this type."""
        async with asyncio.timeout(DEADLINE):
            frame = await self.ws.receive()
        assert frame.type is WSMsgType.TEXT, frame
        message = json.loads(frame.data)
        assert message["type"] == kind, message
        return message

    async def close_code(self) -> int | None:
        async with asyncio.timeout(DEADLINE):
            assert (await self.ws.receive()).type is WSMsgType.CLOSE
        return self.ws.close_code


async def mdn(session: ClientSession, server: Server, name: str, query: str = "") -> Foreign:
    client = Foreign(await session.ws_connect(f"{server.url}/{query}", protocols=["json"]))
    assert client.ws.protocol == "json"
    told = await client.next("id")
    await client.send("username", name=name, id=told["id"], date=1)
    return client


async def peerjs(session: ClientSession, server: Server, peer_id: str, token: str = "t", path: str = "/") -> Foreign:
    address = f"{server.url}{path}peerjs?key=peerjs&id={peer_id}&token={token}&version=1.5.5"
    return Foreign(await session.ws_connect(address))


# MDN


async def test_the_chat_of_mdn_at_the_root(serve: Serve, session: ClientSession, join: Connect) -> None:
    server = await serve()
    alice = await mdn(session, server, "alice")
    assert (await alice.next("userlist"))["users"] == ["alice"]
    second = await mdn(session, server, "alice")
    assert (await second.next("rejectusername"))["name"] == "alice1"
    assert (await second.next("userlist"))["users"] == ["alice", "alice1"]
    assert (await alice.next("username"))["name"] == "alice1"
    assert (await alice.next("userlist"))["users"] == ["alice1", "alice"]
    await second.send("message", text="hello", id=1, date=1)
    assert (await second.next("message"))["text"] == "hello"
    said = await alice.next("message")
    assert (said["name"], said["text"]) == ("alice1", "hello")
    await second.ws.close()
    assert (await alice.next("userlist"))["users"] == ["alice"]
    await alice.ws.close()


async def test_who_asks_for_no_websocket_gets_the_page(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    async with session.get(server.url) as response:
        assert response.status == 200
        assert "<html" in await response.text()
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


async def test_a_call_between_the_chat_and_a_member(serve: Serve, session: ClientSession, join: Connect) -> None:
    server = await serve()
    bot = await (await join(server)).join("bot", room="lab")
    alice = await mdn(session, server, "alice", "?room=lab")
    assert (await alice.next("userlist"))["users"] == ["bot", "alice"]
    member = (await bot.next("joined"))["member"]
    assert (member["name"], member["polite"]) == ("alice", False)

    await alice.send("video-offer", name="alice", target="bot", sdp=OFFER)
    offer = await bot.next("description")
    assert (offer["from"], offer["description"]) == (member["id"], OFFER)
    await alice.send("new-ice-candidate", target="bot", candidate=CANDIDATE)
    assert (await bot.next("candidate"))["candidate"] == CANDIDATE | {"usernameFragment": None}
    await bot.send(type="description", to=member["id"], session=offer["session"], description=ANSWER)
    assert (await alice.next("video-answer"))["sdp"] == ANSWER
    await bot.send(type="message", to=member["id"], data={"text": "hi"})
    assert (await alice.next("message"))["text"] == "hi"
    await bot.send(type="bye", to=member["id"], session=offer["session"], reason="hung-up")
    assert (await alice.next("hang-up"))["name"] == "bot"
    await alice.ws.close()


async def test_a_third_hears_busy_and_http_is_declined(serve: Serve, session: ClientSession, join: Connect) -> None:
    server = await serve()
    alice = await mdn(session, server, "alice", "?room=lab")
    await alice.next("userlist")
    first, second = await join(server, "first"), await join(server, "second")
    (member,) = first.welcome["members"]
    await first.next("joined")
    await first.send(type="description", to=member["id"], session="s1", description=OFFER)
    await second.send(type="description", to=member["id"], session="s2", description=OFFER)
    bye = await second.next("bye")
    assert (bye["session"], bye["reason"]) == ("s2", "busy")
    async with session.post(f"{server.url}/rooms/lab/participants/alice/offer", json=OFFER) as response:
        assert response.status == 409
    await alice.ws.close()


@pytest.mark.parametrize("protocols", [[], ["xmpp"]])
async def test_a_websocket_of_another_kind_is_refused(
    serve: Serve, session: ClientSession, protocols: list[str]
) -> None:
    server = await serve()
    with pytest.raises(WSServerHandshakeError) as refused:
        await session.ws_connect(server.url, protocols=protocols)
    assert refused.value.status == 400
    with pytest.raises(WSServerHandshakeError) as refused:
        await session.ws_connect(f"{server.url}/?room=%0A", protocols=["json"])
    assert refused.value.status == 400
    assert connections(server) == 0


async def test_bad_messages_of_the_chat_are_answered_and_change_nothing(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    alice = await mdn(session, server, "alice")
    await alice.next("userlist")
    for text, code in (("{", "bad-json"), ('{"type":"join"}', "bad-message"), ('{"type":"message"}', "bad-message")):
        await alice.ws.send_str(text)
        assert (await alice.next("error"))["code"] == code
    await alice.ws.send_bytes(b"{}")
    assert (await alice.next("error"))["code"] == "bad-message"
    await alice.send("message", text="still here")
    assert (await alice.next("message"))["text"] == "still here"
    await alice.ws.close()


async def test_limits_are_the_same_as_for_everybody(serve: Serve, session: ClientSession) -> None:
    server = await serve(limits=Limits(room_size=1, message_bytes=1000))
    alice = await mdn(session, server, "alice")
    await alice.next("userlist")
    second = await mdn(session, server, "bob")
    assert (await second.next("error"))["code"] == "room-full"
    assert await second.close_code() == 4503
    await alice.send("message", text="x" * 2000)
    assert (await alice.next("error"))["code"] == "too-large"
    assert await alice.close_code() == 1009


async def test_who_says_no_name_is_sent_away(serve: Serve, session: ClientSession) -> None:
    server = await serve(limits=Limits(join_timeout=0.01))
    silent = Foreign(await session.ws_connect(server.url, protocols=["json"]))
    await silent.next("id")
    assert (await silent.next("error"))["code"] == "join-timeout"
    assert await silent.close_code() == 4408


# PeerJS


async def test_the_broker_of_peerjs(serve: Serve, session: ClientSession, join: Connect) -> None:
    server = await serve()
    bot = await (await join(server)).join("bot", room="peerjs")
    alice = await peerjs(session, server, "alice")
    await alice.next("OPEN")
    member = (await bot.next("joined"))["member"]
    await alice.send("HEARTBEAT")
    payload = {"sdp": OFFER, "type": "media", "connectionId": "mc_1", "metadata": {"a": 1}}
    await alice.send("OFFER", dst="bot", payload=payload)
    offer = await bot.next("description")
    assert (offer["session"], offer["description"]) == ("mc_1", OFFER)
    assert offer["about"] == {"peerjs": {"type": "media", "metadata": {"a": 1}}}
    await bot.send(type="description", to=member["id"], session="mc_1", description=ANSWER)
    assert (await alice.next("ANSWER"))["payload"]["sdp"] == ANSWER
    await bot.send(type="description", to=member["id"], session="s2", description=OFFER)
    await alice.next("OFFER")
    await bot.send(type="bye", to=member["id"], session="s2", reason="cancelled")
    await bot.send(type="bye", to=member["id"], session="mc_1", reason="hung-up")
    await alice.send("OFFER", dst="nobody", payload=payload)
    assert (await alice.next("EXPIRE"))["src"] == "nobody"
    await alice.send("LEAVE")
    assert await alice.close_code() == 1000


async def test_an_id_is_taken_once_but_the_same_client_may_come_again(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    alice = await peerjs(session, server, "alice", "mine")
    await alice.next("OPEN")
    stranger = await peerjs(session, server, "alice", "other")
    await stranger.next("ID-TAKEN")
    assert await stranger.close_code() == 4409
    again = await peerjs(session, server, "alice", "mine")
    await again.next("OPEN")
    await alice.next("ERROR")
    assert await alice.close_code() == 4410
    await again.ws.close()


@pytest.mark.parametrize(
    ("query", "told"),
    [("key=peerjs&id=a", "ERROR"), ("", "ERROR"), (f"key={'k' * 65}&id=a&token=t", "INVALID-KEY")],
)
async def test_an_address_that_cannot_be_is_told_and_closed(
    serve: Serve, session: ClientSession, query: str, told: str
) -> None:
    server = await serve()
    client = Foreign(await session.ws_connect(f"{server.url}/peerjs?{query}"))
    await client.next(told)
    assert await client.close_code() == 1008
    await until(lambda: connections(server) == 0)


async def test_ids_and_no_lists(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    ids = set()
    for key in ("peerjs", "a%20key"):
        async with session.get(f"{server.url}/{key}/id?ts=1&version=1") as response:
            assert response.status == 200
            ids.add(await response.text())
    assert len(ids) == 2 and all(len(each) == 36 for each in ids)
    async with session.get(f"{server.url}/peerjs/peers") as response:
        assert response.status == 401


@pytest.mark.parametrize("path", ["/my/app/", "/my/app", "my/app"])
async def test_below_another_path(serve: Serve, session: ClientSession, path: str) -> None:
    server = await serve(peerjs_path=path)
    alice = await peerjs(session, server, "alice", path="/my/app/")
    await alice.next("OPEN")
    await alice.ws.close()
    async with session.get(f"{server.url}/my/app/peerjs/id") as response:
        assert response.status == 200
    async with session.get(f"{server.url}/peerjs/id") as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["//", "/{x}/", "/a b/", "/my//app", "/x" * 10, "/?x"])
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(ValueError, match="no path for PeerJS"):
        Settings(peerjs_path=path)


async def test_pages_of_other_origins_come_in_when_they_may(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    for address in ("/peerjs?key=peerjs&id=a&token=t", "/"):
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect(server.url + address, headers=ORIGIN, protocols=["json"])
        assert refused.value.status == 403
    async with session.get(f"{server.url}/peerjs/id", headers=ORIGIN) as response:
        assert response.status == 403
    open_server = await serve(allowed_origins=(ORIGIN["Origin"],))
    async with session.get(f"{open_server.url}/peerjs/id", headers=ORIGIN) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]


# One room for all of them


async def test_a_chat_of_mdn_calls_a_page_of_peerjs(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    page = await peerjs(session, server, "page")
    await page.next("OPEN")
    alice = await mdn(session, server, "alice", "?room=peerjs")
    await alice.next("userlist")
    await alice.send("video-offer", target="page", sdp=OFFER | {"sdp": "v=0\r\nm=audio 9 x 0\r\n"})
    offer = await page.next("OFFER")
    assert (offer["src"], offer["payload"]["type"]) == ("alice", "media")
    answer = {"sdp": ANSWER, "type": "media", "connectionId": offer["payload"]["connectionId"]}
    await page.send("ANSWER", dst="alice", payload=answer)
    assert (await alice.next("video-answer"))["name"] == "page"
    await page.ws.close()
    assert (await alice.next("hang-up"))["name"] == "page"
    await alice.ws.close()


async def test_a_server_with_keys_takes_the_token_of_peerjs_and_no_chat(serve: Serve, session: ClientSession) -> None:
    server = await serve(access=Access(secrets=(SECRET,)))
    alice = await peerjs(session, server, "alice", token(room="peerjs", name="alice"))
    await alice.next("OPEN")
    stranger = await peerjs(session, server, "eve", "made-up")
    await stranger.next("ERROR")
    assert await stranger.close_code() == 4401
    elsewhere = await peerjs(session, server, "bob", token(room="other", name="bob"))
    await elsewhere.next("INVALID-KEY")
    assert await elsewhere.close_code() == 4403
    chat = await mdn(session, server, "alice")
    assert (await chat.next("error"))["code"] == "token-missing"
    assert await chat.close_code() == 4401
    await alice.ws.close()
