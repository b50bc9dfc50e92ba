"""The outbox: frames as RFC 6455 has them, in order, bounded in bytes, and it says when there is no room."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from signaling.frames import PING, PONG, TEXT
from signaling.outbox import Outbox

if TYPE_CHECKING:
    import asyncio


class Transport:
    """Keeps what it is given, as if nobody read it."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.closing


def outbox(transport: Transport, max_bytes: int = 1 << 20) -> Outbox:
    return Outbox(cast("asyncio.WriteTransport", transport), max_bytes)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frames_say_how_long_they_are(size: int, head: bytes) -> None:
    transport = Transport()
    assert outbox(transport).put(TEXT, b"x" * size)
    assert transport.written == head + b"x" * size


def test_frames_of_other_kinds_and_their_order() -> None:
    transport = Transport()
    made = outbox(transport)
    assert made.put(PING, b"") and made.put(PONG, b"1") and made.put(TEXT, b"{}")
    assert transport.written == b"\x89\x00" + b"\x8a\x011" + b"\x81\x02{}"


def test_what_nobody_reads_is_bounded() -> None:
    transport = Transport()
    made = outbox(transport, 20)
    assert made.put(TEXT, b"x" * 10)
    before = transport.written
    assert not made.put(TEXT, b"x" * 9)
    assert transport.written == before
    assert made.put(TEXT, b"x" * 8)


def test_nothing_is_written_to_who_is_gone() -> None:
    transport = Transport()
    transport.closing = True
    assert outbox(transport).put(TEXT, b"x")
    assert not transport.written
