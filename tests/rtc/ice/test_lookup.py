"""Servers are found by name without blocking, and their failures say what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice.lookup import MAX_PER_FAMILY, Names, ServerFailed, refused
from peer.rtc.ice.servers import IceSettings, parse_server_url

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER = parse_server_url("stun:stun.example:3478")
BOTH = IceSettings()


def answers(
    monkeypatch: pytest.MonkeyPatch, *hosts: str, error: Exception | None = None, seconds: float = 0
) -> list[str]:
    """What the system's resolver says from now on; the list tells what it was asked."""
    asked: list[str] = []

    async def getaddrinfo(name: str, port: None, **_: object) -> Sequence[Any]:
        asked.append(name)
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return [(0, 0, 0, "", (host, port)) for host in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def found(settings: IceSettings = BOTH) -> list[str]:
    names = Names(settings)
    try:
        return [host for host, port in await names.lookup(SERVER, soon()) if port == 3478]
    finally:
        await names.close()


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
    assert await Names(BOTH).lookup(parse_server_url("stun:[2001:db8::1]"), soon()) == [("2001:db8::1", 3478)]


async def test_a_name_is_looked_up_once_for_all_its_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "192.0.2.1", seconds=0.01)
    names = Names(BOTH)
    texts = ("stun:a.example:1", "turn:a.example:2", "turns:b.example")
    urls = [parse_server_url(text, "user", "password") for text in texts]
    found = await asyncio.gather(*(names.lookup(url, soon()) for url in urls))
    assert found == [[("192.0.2.1", 1)], [("192.0.2.1", 2)], [("192.0.2.1", 5349)]]
    assert asked == ["a.example", "b.example"]
    await names.close()


async def test_one_that_gives_up_does_not_end_the_lookup_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "192.0.2.1", seconds=0.05)
    names = Names(BOTH)
    hasty = asyncio.create_task(names.lookup(SERVER, soon()))
    patient = asyncio.create_task(names.lookup(SERVER, soon()))
    await asyncio.sleep(0)
    hasty.cancel()
    assert await patient == [("192.0.2.1", 3478)]
    await names.close()


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
