"""Datagrams in a stream (RFC 4571), however TCP cuts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice.framing import FrameError, FrameReader, frame


@given(st.lists(st.binary(max_size=300), max_size=10), st.lists(st.integers(1, 400), max_size=20))
def test_what_goes_in_comes_out(datagrams: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(frame, datagrams))
    reader, found = FrameReader(), []
    for size in [*sizes, len(stream)]:
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert found == [datagram for datagram in datagrams if datagram]


def test_the_longest_datagram_fits() -> None:
    assert FrameReader().feed(frame(bytes(65535))) == [bytes(65535)]


def test_a_frame_beyond_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(FrameError):
        FrameReader(100).feed(b"\x00\x65")


def test_what_is_kept_is_one_frame_at_most() -> None:
    reader = FrameReader(100)
    for _ in range(1000):
        reader.feed(frame(bytes(100)) * 3 + b"\x00\x64" + bytes(50))
        reader.feed(bytes(50))
    assert len(reader._buffer) == 0
