"""The pipe sends a flight of a handshake again until another follows."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from peer.rtc import icepipe
from peer.rtc.icepipe import IcePipe

HELLO, FINISHED, DATA = b"\x16hello", b"\x14finished", b"\x17data"


class Sent:
    """Stands for ICE, keeps what is sent."""

    role = state = ""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def send_all(self, packets: list[bytes]) -> None:
        for data in packets:
            self.packets.append(data)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    monkeypatch.setattr(icepipe, "REPEATS", (0.0, 0.0))
    return Sent()


async def _repeated() -> None:
    """Timers that are due at once have run, each of which may have made the next."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_flight_is_sent_again_and_again_but_not_for_ever(sent: Sent) -> None:
    pipe = IcePipe(cast("Any", sent))
    await pipe._send(HELLO)
    await pipe._send(FINISHED)
    await _repeated()
    assert sent.packets == [HELLO, FINISHED] * 3


async def test_the_next_flight_takes_its_place(sent: Sent) -> None:
    pipe = IcePipe(cast("Any", sent))
    await pipe._send(HELLO)
    pipe.push(HELLO)
    await pipe._send(FINISHED)
    await _repeated()
    assert sent.packets == [HELLO, FINISHED, FINISHED, FINISHED]


@pytest.mark.parametrize("end", ["end_flight", "give_kept", "close"])
async def test_an_ended_flight_is_not_sent_again(sent: Sent, end: str) -> None:
    pipe = IcePipe(cast("Any", sent))
    await pipe._send(HELLO)
    getattr(pipe, end)()
    await _repeated()
    assert sent.packets == [HELLO]


async def test_data_is_not_repeated(sent: Sent) -> None:
    pipe = IcePipe(cast("Any", sent))
    await pipe._send(DATA)
    await _repeated()
    assert sent.packets == [DATA]
