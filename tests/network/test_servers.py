"""What real TURN servers answer is told with URL, code and text; each failure costs nothing but its own candidate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.network.nat import Kind
from tests.network.rows import Party
from tests.network.schedule import EVERYTHING, laboratory
from tests.network.servers import DEAD, PASSWORD, USER, ice_servers

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(120)]

GATHERED_SECONDS = 20.0

Found = tuple[list[str], dict[str, tuple[int, str]]]


async def gathered(servers: list[dict[str, Any]], *, trusted: bool = True) -> Found:
    """The types of the candidates that a host behind a NAT gets, and what failed: URL -> code and text."""
    async with laboratory() as (lab, running):
        party = Party(await lab.site(Kind.PORT_RESTRICTED), "ice")
        try:
            await party.open()
            settings = {"ca_file": str(running.ca_file)} if trusted else {}
            options = {"engine": "ice", "offers": True, "servers": servers, "settings": settings}
            party.tell({"do": "start", "options": options})
            gathered = await party.until(lambda: party.find(event="candidate", candidate=None), GATHERED_SECONDS)
            assert gathered
        finally:
            await party.close()
    lines = [event["candidate"] for event in party.events if event["event"] == "candidate" and event["candidate"]]
    errors = [event for event in party.events if event["event"] == "candidate error"]
    types = [line.partition(" typ ")[2].partition(" ")[0] for line in lines]
    return types, {error["url"]: (error["error_code"], error["error_text"]) for error in errors}


def test_every_server_gives_its_candidate() -> None:
    types, errors = asyncio.run(gathered(ice_servers(EVERYTHING)))
    assert errors == {}
    assert types.count("host") == 1
    assert types.count("srflx") == 1
    assert types.count("relay") >= 3


def test_a_wrong_password_a_dead_server_and_a_name_that_is_not_found() -> None:
    wrong = {"urls": ["turn:turn.lab:3478"], "username": USER, "credential": PASSWORD + "?"}
    types, errors = asyncio.run(gathered([wrong, *DEAD, *ice_servers(EVERYTHING)]))
    assert errors["turn:turn.lab:3478"][0] == 401
    assert set(errors) == {"turn:turn.lab:3478", *(url for entry in DEAD for url in entry["urls"])}
    assert {code for url, (code, _) in errors.items() if url != "turn:turn.lab:3478"} == {701}
    assert all(text for _, text in errors.values())
    assert {"host", "srflx", "relay"} <= set(types)


def test_a_certificate_that_is_not_trusted() -> None:
    url = "turns:turn.lab:443?transport=tcp"
    servers = [{"urls": [url], "username": USER, "credential": PASSWORD}]
    types, errors = asyncio.run(gathered(servers, trusted=False))
    assert errors[url][0] == 701
    assert "certificate" in errors[url][1]
    assert types == ["host"]
