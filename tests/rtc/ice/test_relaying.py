"""An allocation is got by way of whichever address works, and where the server sends us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice import relaying, turn
from peer.rtc.ice.lookup import NoRoute, ServerFailed
from peer.rtc.ice.relay import Refused, Relay, RelayOptions
from peer.rtc.ice.relaying import MAX_REDIRECTS, NEXT_ADDRESS, first_relay, open_relay
from peer.rtc.ice.servers import parse_server_url
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from peer.rtc.ice.bases import Address

SERVER = parse_server_url("turn:turn.example", "user", "password")
OPTIONS = RelayOptions("frag", 65535)


class Attempts:
    """Replaces what opens a relay; `outcome` is awaited with the address and the number of the attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: Callable[[Address, int], Awaitable[Any]]) -> None:
        self.addresses: list[str] = []
        self.relays: list[Relay] = []
        self.aborted: list[Relay] = []
        attempts = self
        abort = Relay.abort

        async def open_(relay: Relay, address: Address) -> None:
            attempts.addresses.append(address[0])
            attempts.relays.append(relay)
            await outcome(address, len(attempts.addresses))

        def abort_(relay: Relay) -> None:
            attempts.aborted.append(relay)
            abort(relay)

        monkeypatch.setattr(relaying.Relay, "open", open_)
        monkeypatch.setattr(relaying.Relay, "abort", abort_)


def refusal(code: int, alternate: Address | None = None) -> Refused:
    return Refused(turn.AllocationFailed(code, "", alternate))


async def test_the_server_may_send_us_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def outcome(address: Address, attempt: int) -> None:
        if attempt <= MAX_REDIRECTS:
            raise refusal(300, (f"192.0.2.{attempt}", 3478))

    attempts = Attempts(monkeypatch, outcome)
    relay = await open_relay(SERVER, ("192.0.2.100", 3478), OPTIONS, Recorder())
    assert attempts.addresses == ["192.0.2.100", "192.0.2.1", "192.0.2.2"]
    assert attempts.aborted == attempts.relays[:-1]
    relay.abort()


@pytest.mark.parametrize(("code", "expected"), [(300, 1 + MAX_REDIRECTS), (437, 2), (486, 1)])
async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch, code: int, expected: int) -> None:
    async def outcome(address: Address, attempt: int) -> None:
        raise refusal(code, ("192.0.2.1", 3478) if code == 300 else None)

    attempts = Attempts(monkeypatch, outcome)
    with pytest.raises(ServerFailed) as caught:
        await open_relay(SERVER, ("192.0.2.100", 3478), OPTIONS, Recorder())
    assert caught.value.code == code
    assert len(attempts.addresses) == expected
    assert attempts.aborted == attempts.relays


@pytest.mark.virtual_time
async def test_an_address_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def outcome(address: Address, attempt: int) -> None:
        if attempt == 1:
            await asyncio.sleep(100)

    attempts = Attempts(monkeypatch, outcome)
    began = asyncio.get_running_loop().time()
    relay = await first_relay(SERVER, [("192.0.2.1", 3478), ("192.0.2.2", 3478)], OPTIONS, Recorder())
    assert asyncio.get_running_loop().time() - began == pytest.approx(NEXT_ADDRESS)
    assert relay is attempts.relays[1]
    assert attempts.aborted == attempts.relays[:1]
    relay.abort()


@pytest.mark.virtual_time
async def test_of_two_that_are_as_fast_one_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    until = asyncio.get_running_loop().create_future()

    async def outcome(address: Address, attempt: int) -> None:
        await asyncio.shield(until)

    attempts = Attempts(monkeypatch, outcome)
    asyncio.get_running_loop().call_later(2 * NEXT_ADDRESS, until.set_result, None)
    relay = await first_relay(SERVER, [("192.0.2.1", 3478), ("192.0.2.2", 3478)], OPTIONS, Recorder())
    assert [each for each in attempts.relays if each is not relay] == attempts.aborted
    relay.abort()


async def test_when_none_works_what_the_server_says_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def outcome(address: Address, attempt: int) -> None:
        raise (refusal(486), ServerFailed(701, "connection refused"))[attempt - 1]

    Attempts(monkeypatch, outcome)
    with pytest.raises(ServerFailed) as caught:
        await first_relay(SERVER, [("192.0.2.1", 3478), ("192.0.2.2", 3478)], OPTIONS, Recorder())
    assert caught.value.code == 486


@pytest.mark.parametrize("first", [0, 1])
async def test_an_address_of_the_other_family_hides_nothing(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    failures = [NoRoute(701, "no route to it from here"), ServerFailed(701, "its certificate is not trusted")]

    async def outcome(address: Address, attempt: int) -> None:
        raise failures[(first + attempt - 1) % 2]

    Attempts(monkeypatch, outcome)
    with pytest.raises(ServerFailed) as caught:
        await first_relay(SERVER, [("2001:db8::1", 3478), ("192.0.2.2", 3478)], OPTIONS, Recorder())
    assert caught.value.text == "its certificate is not trusted"


async def test_giving_up_ends_every_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def outcome(address: Address, attempt: int) -> None:
        await asyncio.sleep(100)

    attempts = Attempts(monkeypatch, outcome)
    task = asyncio.create_task(first_relay(SERVER, [("192.0.2.1", 3478)], OPTIONS, Recorder()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts.aborted == attempts.relays
