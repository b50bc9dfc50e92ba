"""Servers are found by name without blocking, and their failures say what to do."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice import lookup
from peer.rtc.ice.lookup import MAX_LOOKUPS, MAX_PER_FAMILY, Names, ServerFailed, refused, system_lookup
from peer.rtc.ice.servers import IceSettings, parse_server_url

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = parse_server_url("stun:stun.example:3478")
BOTH = IceSettings()


def answers(
    monkeypatch: pytest.MonkeyPatch, *hosts: str, error: Exception | None = None, seconds: float = 0
) -> list[str]:
    """What the system's resolver says from now on; the list tells what it was asked."""
    asked: list[str] = []

    async def system_lookup(name: str) -> list[str]:
        asked.append(name)
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return list(hosts)

    monkeypatch.setattr(lookup, "system_lookup", system_lookup)
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
    answers(monkeypatch, "2001:db8::1", "192.0.2.1", "192.0.2.1")
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


# The system's resolver


class Resolver:
    """Stands where `socket.getaddrinfo` is; `hang` makes it wait until `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.hang = False
        self.asked: list[str] = []

    def __call__(self, name: str, *_: object, **__: object) -> list[Any]:
        self.asked.append(name)
        if self.hang:
            self.go.wait()
        if name == "nobody.example":
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (host, 0)) for host in ("192.0.2.1", "fe80::1%eth0", "2001:db8::1")]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.go.set()


async def test_the_system_is_asked_on_a_thread_once_for_many(resolver: Resolver) -> None:
    found = await asyncio.gather(*(system_lookup("a.example") for _ in range(5)), system_lookup("b.example"))
    assert found == [["192.0.2.1", "2001:db8::1"]] * 6 and sorted(resolver.asked) == ["a.example", "b.example"]
    with pytest.raises(socket.gaierror):
        await system_lookup("nobody.example")
    assert await system_lookup("a.example") and len(resolver.asked) == 4


async def test_threads_that_hang_are_bounded_and_counted_until_they_are_over(resolver: Resolver) -> None:
    resolver.hang = True
    waiting = [asyncio.create_task(system_lookup(f"{number}.example")) for number in range(3 * MAX_LOOKUPS)]
    twice = asyncio.create_task(system_lookup(f"{3 * MAX_LOOKUPS - 1}.example"))
    for _ in range(5):
        await asyncio.sleep(0)
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("look up")]
    assert len(hanging) == MAX_LOOKUPS and all(thread.daemon for thread in hanging)
    for task in waiting[:MAX_LOOKUPS]:
        task.cancel()
    resolver.go.set()
    assert await asyncio.gather(*waiting[MAX_LOOKUPS:]) and await twice
    assert len(set(resolver.asked)) == 3 * MAX_LOOKUPS


def test_a_dead_name_service_does_not_hold_up_the_end(resolver: Resolver) -> None:
    resolver.hang = True

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await system_lookup("a.example")

    asyncio.run(give_up())  # waits for the threads of the default executor, if there are any
    assert not resolver.go.is_set() and resolver.asked == ["a.example"]


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
