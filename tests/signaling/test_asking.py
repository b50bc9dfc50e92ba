"""Behind a proxy and for pages elsewhere: addresses for limits, hosts for the Origin check, CORS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import WSServerHandshakeError

from signaling.app import Access, Limits
from signaling.forwarded import network
from signaling.operation import Operation
from tests.signaling import tokens
from tests.signaling.helpers import OFFER, hub_of, until

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.signaling.conftest import Connect, Serve

BEHIND = Operation(trusted_proxies=(network("127.0.0.0/8"),))
OFFERS = "/rooms/lab/participants/bot/offer"


async def test_the_origin_is_held_against_the_host_that_the_proxy_was_asked_for(serve: Serve, join: Connect) -> None:
    page = {"Origin": "https://example.org"}
    forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "example.org"}
    behind, alone = await serve(operation=BEHIND), await serve()
    await join(behind, "alice", headers=page | forwarded)
    for server, headers in ((behind, page), (alone, page | forwarded)):
        with pytest.raises(WSServerHandshakeError) as caught:
            await join(server, "alice", headers=headers)
        assert caught.value.status == 403


async def test_connections_are_counted_by_the_address_behind_the_proxy(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(caller_connections=1), operation=BEHIND)
    alice = await join(server, "alice", headers={"X-Forwarded-For": "203.0.113.7"})
    with pytest.raises(WSServerHandshakeError) as caught:
        await join(server, "bob", headers={"X-Forwarded-For": "203.0.113.7"})
    assert caught.value.status == 429 and caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "10"
    await join(server, "carol", headers={"X-Forwarded-For": "203.0.113.8"})
    await alice.close()
    await join(server, "bob", headers={"X-Forwarded-For": "203.0.113.7"})


async def test_joins_too_often_are_closed_with_the_time_to_wait(serve: Serve, join: Connect) -> None:
    server = await serve(limits=Limits(room_joins=0.1, room_joins_burst=1))
    await join(server, "alice")
    bob = await join(server)
    await bob.send(type="join", version=1, room="lab", name="bob")
    message = await bob.next("error")
    assert (message["code"], message["retryAfter"]) == ("rate-limited", 10)
    assert await bob.close_code() == 4429


async def test_offers_too_often_are_429(serve: Serve, session: ClientSession) -> None:
    server = await serve(limits=Limits(caller_offers=0.1, caller_offers_burst=1), operation=BEHIND)
    statuses = []
    for address in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
        headers = {"X-Forwarded-For": address}
        async with session.post(f"{server.url}{OFFERS}", json=OFFER, headers=headers) as response:
            statuses.append((response.status, response.headers.get("Retry-After")))
    assert statuses == [(404, None), (429, "10"), (404, None)]


async def test_a_token_is_counted_wherever_it_comes_from(serve: Serve, join: Connect, session: ClientSession) -> None:
    limits = Limits(caller_connections=2, caller_offers=0.1, caller_offers_burst=1)
    server = await serve(limits=limits, access=Access(secrets=(tokens.SECRET,)))
    hers, his = tokens.token(jti="hers", room="*"), tokens.token(jti="his", room="*")
    alice = await (await join(server)).join("alice", token=hers)
    await (await join(server)).join("alice 2", token=hers)
    third = await join(server)
    await third.send(type="join", version=1, room="lab", name="alice 3", token=hers)
    assert (await third.error(), await third.close_code()) == ("too-many", 4429)
    await (await join(server)).join("bob", token=his)
    await alice.close()
    await until(lambda: hub_of(server).rooms.member_count == 2)
    await (await join(server)).join("alice 3", token=hers)
    codes = []
    for token in (hers, hers, his):
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(f"{server.url}{OFFERS}", json=OFFER, headers=headers) as response:
            codes.append(response.status)
    assert codes == [404, 429, 404]


async def test_a_page_elsewhere_may_read_answers_if_it_is_allowed(serve: Serve, session: ClientSession) -> None:
    server = await serve(allowed_origins=("https://page.example",))
    url = f"{server.url}{OFFERS}"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with session.options(url, headers=asked | {"Origin": "https://page.example"}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert response.headers["Access-Control-Allow-Methods"] == "POST"
        assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
    async with session.options(url, headers=asked | {"Origin": "https://evil.example"}) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
    async with session.post(url, json=OFFER, headers={"Origin": "https://page.example"}) as response:
        assert (response.status, response.headers["Vary"]) == (404, "Origin")
        assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


async def test_files_are_not_shared(serve: Serve, session: ClientSession) -> None:
    server = await serve(allowed_origins=("*",))
    async with session.get(server.url, headers={"Origin": "https://page.example"}) as response:
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers
    async with session.options(f"{server.url}{OFFERS}") as response:  # no page asks
        assert response.status == 405
