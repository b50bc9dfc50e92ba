"""The administrator's API: who may use it, what it tells, and whom it sends away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from signaling.app import Access
from signaling.operation import Operation
from tests.signaling import tokens

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve

SECRET = "correct horse battery"
OPERATION = Operation(admin_secret=SECRET)
ADMIN = {"Authorization": f"Bearer {SECRET}"}


async def ask(
    session: ClientSession, server: Server, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and body of an answer."""
    url = f"{server.url}/admin/v1{path}"
    async with session.request(method, url, headers=ADMIN if headers is None else headers) as response:
        return response.status, await response.json() if response.content_type == "application/json" else None


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": SECRET}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {SECRET}"},
    {"Authorization": f"Bearer {SECRET}x"}, {"Authorization": "Bearer \u00e4"},
])  # fmt: skip
async def test_only_the_administrator_may(serve: Serve, session: ClientSession, headers: dict[str, str]) -> None:
    server = await serve(operation=OPERATION)
    for method, path in (("GET", "/rooms"), ("GET", "/rooms/a"), ("DELETE", "/rooms/a"),
                         ("DELETE", "/rooms/a/participants/b")):  # fmt: skip
        status, body = await ask(session, server, path, method, headers)
        assert (status, body["code"]) == (401, "no-admin")
        assert SECRET not in body["message"]


async def test_with_a_token_the_rooms_that_it_is_for(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(access=Access(secrets=(tokens.SECRET,)), operation=OPERATION)
    for room in ("team-a", "team-b", "lab"):
        await (await join(server)).join("alice", room=room, token=tokens.token(room=room))
    admin = {"Authorization": f"Bearer {tokens.token(room='team-*', can=('admin',))}"}
    found = (await ask(session, server, "/rooms", headers=admin))[1]["rooms"]
    assert [room["name"] for room in found] == ["team-a", "team-b"]
    assert (await ask(session, server, "/rooms/team-a", "DELETE", admin))[0] == 204
    assert (await ask(session, server, "/rooms/lab", headers=admin))[1]["code"] == "forbidden"
    assert (await ask(session, server, "/rooms/lab"))[0] == 200  # the secret opens everything
    for headers, code in (
        ({}, "token-missing"),
        ({"Authorization": "Bearer x"}, "token-invalid"),
        ({"Authorization": f"Bearer {tokens.token(room='*')}"}, "not-allowed"),
    ):
        assert (await ask(session, server, "/rooms", headers=headers))[1]["code"] == code


async def test_who_was_sent_away_with_a_token_does_not_come_back_under_another_name(
    serve: Serve, join: Connect, session: ClientSession
) -> None:
    server = await serve(access=Access(secrets=(tokens.SECRET,)), operation=OPERATION)
    token = tokens.token()
    eve = await (await join(server)).join("eve", token=token)
    assert (await ask(session, server, "/rooms/lab/participants/eve?seconds=0", "DELETE"))[0] == 204
    assert await eve.close_code() == 4403
    again = await join(server)
    await again.send(type="join", version=1, room="lab", name="mallory", token=token)
    assert await again.error() == "kicked"


async def test_without_a_secret_nobody_may(serve: Serve, session: ClientSession) -> None:
    status, body = await ask(session, await serve(), "/rooms")
    assert (status, body["code"]) == (401, "no-admin")


async def test_a_page_elsewhere_may_not_even_with_the_secret(serve: Serve, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    assert (await ask(session, server, "/rooms", headers=ADMIN | {"Origin": "https://evil.example"}))[0] == 403


async def test_rooms_by_the_page(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    for room in ("c", "a", "b/d ä"):
        await (await join(server)).join("alice", room=room)
    assert await ask(session, server, "/rooms?limit=2") == (
        200,
        {"rooms": [{"name": "a", "participants": 1}, {"name": "b/d ä", "participants": 1}], "next": "b/d ä"},
    )
    rest = await ask(session, server, "/rooms?after=b/d%20%C3%A4")
    assert rest == (200, {"rooms": [{"name": "c", "participants": 1}]})
    for wrong in ("0", "1001", "x", "-1", "9" * 20):
        assert (await ask(session, server, f"/rooms?limit={wrong}"))[1]["code"] == "bad-message"


async def test_who_is_in_a_room(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    alice = await (await join(server)).join("alice", room="b/d ä")
    status, body = await ask(session, server, "/rooms/b%2Fd%20%C3%A4")
    assert (status, body["name"]) == (200, "b/d ä")
    assert body["participants"] == [{"id": alice.id, "name": "alice", "polite": False}]
    assert (await ask(session, server, "/rooms/nowhere"))[0] == 404


async def test_somebody_is_sent_away_for_a_while(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    alice, eve = await join(server, "alice"), await join(server, "eve")
    await alice.next("joined")
    assert await ask(session, server, "/rooms/lab/participants/eve?seconds=600", "DELETE") == (204, None)
    assert (await eve.error(), await eve.close_code()) == ("kicked", 4403)
    assert (await alice.next("left"))["reason"] == "kicked"
    again = await join(server)
    await again.send(type="join", version=1, room="lab", name="eve")
    assert (await again.next("error"))["retryAfter"] > 500
    assert await again.close_code() == 4403
    assert (await ask(session, server, "/rooms/lab/participants/eve", "DELETE"))[0] == 404


async def test_somebody_is_sent_away_and_may_come_back(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    eve = await join(server, "eve")
    assert (await ask(session, server, "/rooms/lab/participants/eve?seconds=0", "DELETE"))[0] == 204
    assert await eve.close_code() == 4403
    await join(server, "eve")


async def test_a_room_is_closed_for_a_while(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    clients = [await join(server, name) for name in ("alice", "bob")]
    elsewhere = await (await join(server)).join("carol", room="lobby")
    assert await ask(session, server, "/rooms/lab", "DELETE") == (204, None)
    assert [await client.close_code() for client in clients] == [4410, 4410]
    assert (await ask(session, server, "/rooms"))[1] == {"rooms": [{"name": "lobby", "participants": 1}]}
    assert (await ask(session, server, "/rooms/lab", "DELETE"))[0] == 404
    late = await join(server)
    await late.send(type="join", version=1, room="lab", name="dave")
    message = await late.next("error")
    assert (message["code"], message["retryAfter"], await late.close_code()) == ("room-closed", 60, 4410)
    assert not elsewhere.ws.closed


async def test_a_room_is_closed_and_opened_anew(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    alice = await join(server, "alice")
    assert await ask(session, server, "/rooms/lab?seconds=0", "DELETE") == (204, None)
    assert await alice.close_code() == 4410
    await join(server, "alice")
    assert (await ask(session, server, "/rooms/lab?seconds=x", "DELETE"))[0] == 400


async def test_how_long_somebody_may_be_kept_out(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=OPERATION)
    await join(server, "eve")
    for path in ("/rooms/lab", "/rooms/lab/participants/eve"):
        assert (await ask(session, server, f"{path}?seconds=86401", "DELETE"))[1]["code"] == "bad-message"
    assert (await ask(session, server, "/rooms/lab?seconds=86400", "DELETE"))[0] == 204
