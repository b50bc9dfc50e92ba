"""Servers are found by name without blocking, and their failures say what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice.lookup import MAX_PER_FAMILY, ServerFailed, lookup, refused
from peer.rtc.ice.servers import IceSettings, parse_server_url

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER = parse_server_url("stun:stun.example:3478")
BOTH = IceSettings()


def answers(monkeypatch: pytest.MonkeyPatch, *hosts: str, error: Exception | None = None, seconds: float = 0) -> None:
    """What the system's resolver says from now on."""

    async def getaddrinfo(host: str, port: int, **_: object) -> Sequence[Any]:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return [(0, 0, 0, "", (host, port)) for host in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def found(settings: IceSettings = BOTH) -> list[str]:
    return [host for host, port in await lookup(SERVER, settings, soon()) if port == 3478]


async def test_both_families_are_found_in_the_order_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "2001:db8::1", "192.0.2.1", "192.0.2.1", "fe80::1%eth0")
    assert await found() == ["2001:db8::1", "192.0.2.1"]
    assert await found(IceSettings(ipv6=False)) == ["192.0.2.1"]
    answers(monkeypatch, "192.0.2.1", "2001:db8::1")
    assert await found() == ["192.0.2.1", "2001:db8::1"]


async def test_of_many_addresses_some_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, *(f"192.0.2.{number}" for number in range(1, 20)), "2001:db8::1")
    assert await found() == [*(f"192.0.2.{number}" for number in range(1, 1 + MAX_PER_FAMILY)), "2001:db8::1"]


async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, error=AssertionError())
    assert await lookup(parse_server_url("stun:[2001:db8::1]"), BOTH, soon()) == [("2001:db8::1", 3478)]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
async def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    answers(monkeypatch, error=error)
    with pytest.raises(ServerFailed, match="the name is not found") as caught:
        await found()
    assert caught.value.code == 701 and caught.value.advice


@pytest.mark.virtual_time
async def test_a_name_service_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "192.0.2.1", seconds=30)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ServerFailed, match="could not be looked up in time"):
        await found()
    assert asyncio.get_running_loop().time() - began == 5


async def test_the_only_family_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "192.0.2.1")
    with pytest.raises(ServerFailed, match="only IPv4 addresses, which are switched off") as caught:
        await found(IceSettings(ipv4=False))
    assert caught.value.advice == "switch IPv4 on"


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (401, "Unauthorized", "wrong user or password (Unauthorized)"),
        (403, "", "forbidden"),
        (437, "Mismatch", "allocation mismatch (Mismatch)"),
        (442, "", "transport not supported"),
        (486, "Quota", "allocation quota reached (Quota)"),
        (508, "", "insufficient capacity"),
        (599, "\x1b[2Jodd\r\nreason" + "x" * 200, "refused ([2Jodd  reason" + "x" * 105 + ")"),
    ],
)
def test_a_refusal_in_words(code: int, reason: str, text: str) -> None:
    failure = refused(code, reason)
    assert (failure.code, failure.text) == (code, text)
    assert failure.advice
    assert failure.error("turn:x").error_text == text
