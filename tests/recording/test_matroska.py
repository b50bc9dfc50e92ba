"""The elements are as RFC 9559 and RFC 8794 say: read back by a parser that knows nothing of the writer."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording import matroska
from peer.recording.formats import VideoFormat
from tests.recording.synthetic import G722, H264, OPUS, PCMA, PCMU, VP8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.frames import Codec

UNKNOWN = -1


def parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(identifier, content) of the elements in `data`; an unknown size reaches to the end."""
    at = 0
    while at < len(data):
        length = 9 - data[at].bit_length()
        identifier = int.from_bytes(data[at : at + length], "big")
        at += length
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
        at += length
        if size == (1 << (7 * length)) - 1:
            size = len(data) - at
        assert at + size <= len(data)
        yield identifier, data[at : at + size]
        at += size


@given(st.sampled_from((0xEC, 0x4489, 0x1F43B675)), st.integers(0, 20_000))
def test_sizes(identifier: int, length: int) -> None:
    data = matroska.element(identifier, bytes(length)) + matroska.element(0xEC, b"x")
    assert list(parse(data)) == [(identifier, bytes(length)), (0xEC, b"x")]


@pytest.mark.parametrize("length", [126, 127, 128, 16382, 16383, 16384, 1 << 21])
def test_sizes_at_the_edges(length: int) -> None:
    assert list(parse(matroska.element(0xEC, bytes(length)))) == [(0xEC, bytes(length))]


@pytest.mark.parametrize("video", [None, VideoFormat(VP8, 640, 480), VideoFormat(H264, 640, 360, b"\1private")])
@pytest.mark.parametrize("audio", [None, OPUS, PCMU, PCMA, G722])
def test_a_header_and_its_ending_fit_together(video: VideoFormat | None, audio: Codec | None) -> None:
    start = matroska.header(video, audio, 1_700_000_000.0)
    assert [identifier for identifier, _ in parse(start.data)] == [0x1A45DFA3, 0x18538067]
    index = matroska.cues([(0, 500), (1000, 90_000)], 1)
    data = bytearray(start.data + index)
    for position, patch in matroska.ending(start, len(data), 12.5, len(start.data)):
        data[position : position + len(patch)] = patch
    segment = dict(parse(bytes(data)))[0x18538067]
    elements = list(parse(segment))
    assert [identifier for identifier, _ in elements] == [0x114D9B74, 0xEC, 0x1549A966, 0x1654AE6B, 0x1C53BB6B]
    info = dict(parse(elements[2][1]))
    assert struct.unpack(">d", info[0x4489]) == (12.5 * matroska.TICKS,)
    assert int.from_bytes(info[0x4461], "big") == (1_700_000_000 - 978_307_200) * 10**9
    for _, seek in parse(elements[0][1]):
        entry = dict(parse(seek))
        position = int.from_bytes(entry[0x53AC], "big")
        assert segment[position:].startswith(entry[0x53AB])
    assert len(list(parse(elements[3][1]))) == (video is not None) + (audio is not None)


def test_a_cluster_holds_its_blocks() -> None:
    blocks = [part for i in range(3) for part in matroska.simple_block(2, i * 20, bytes([i]) * 10, keyframe=i == 0)]
    data = matroska.cluster(70_000, blocks, sum(map(len, blocks)))
    ((identifier, content),) = parse(data)
    assert identifier == 0x1F43B675
    (time_id, time), *rest = parse(content)
    assert (time_id, int.from_bytes(time, "big")) == (0xE7, 70_000)
    assert [struct.unpack(">BhB", block[:4]) for _, block in rest] == [(0x82, 0, 0x80), (0x82, 20, 0), (0x82, 40, 0)]


def test_a_block_may_lie_before_its_cluster() -> None:
    head, _ = matroska.simple_block(1, -40, b"x", keyframe=False)
    assert struct.unpack(">BhB", head[-4:]) == (0x81, -40, 0)
