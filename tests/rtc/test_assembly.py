"""Packets in order become frames; which frames cannot be decoded is known without decoding."""

from __future__ import annotations

import pytest

from peer.rtc.assembly import MAX_FRAME_CHUNKS, MAX_READY_FRAMES, AudioAssembler, Counters, VideoAssembler
from peer.rtc.payload import Chunk
from peer.rtc.payload.h264 import H264Depacketiser
from peer.rtc.payload.opus import AudioDepacketiser
from peer.rtc.payload.vp8 import Vp8Depacketiser
from tests.rtc.bad_link import DELTA, KEYFRAME

KEY = Chunk(KEYFRAME, True, True)
FIRST = Chunk(DELTA, True, False)
REST = Chunk(b"rest", False, False)


def video(*, hand_out_broken: bool = False) -> VideoAssembler:
    return VideoAssembler(Vp8Depacketiser(), Counters(), hand_out_broken=hand_out_broken)


def test_frames_end_at_the_marker_or_the_next_timestamp() -> None:
    assembler = video()
    assembler.put(0, KEY, 1.0, marker=False)
    assert assembler.keyframe_since == 1.0
    assembler.put(0, REST, 1.1, marker=True)
    assembler.put(3000, FIRST, 1.2, marker=False)
    assert assembler.keyframe_since is None
    assembler.put(6000, FIRST, 1.3, marker=True)
    frames = assembler.take()
    assert [(frame.timestamp, frame.arrival, frame.keyframe) for frame in frames] == [
        (0, 1.0, True),
        (3000, 1.2, False),
        (6000, 1.3, False),
    ]
    assert assembler.take() == []
    assert not assembler.waiting


def test_a_loss_after_a_frame_makes_the_next_keyframe_the_first_useful_one() -> None:
    assembler = video()
    assembler.put(0, KEY, 0.0, marker=True)
    assembler.lost()
    assert assembler.waiting
    assembler.put(6000, FIRST, 0.1, marker=True)
    assembler.put(9000, KEY, 0.2, marker=True)
    assert [(frame.timestamp, frame.complete_before) for frame in assembler.take()] == [(0, True), (9000, False)]


def test_a_loss_within_a_frame_costs_it_but_not_the_keyframe_that_follows() -> None:
    assembler = video()
    assembler.put(0, KEY, 0.0, marker=False)
    assembler.lost()
    assert assembler.keyframe_since is None
    assembler.put(0, REST, 0.0, marker=False)
    assembler.put(3000, KEY, 0.0, marker=True)
    assert [frame.timestamp for frame in assembler.take()] == [3000]


def test_the_tail_of_a_lost_frame_is_no_frame() -> None:
    assembler = video(hand_out_broken=True)
    assembler.lost()
    assembler.put(0, REST, 0.0, marker=True)
    assert assembler.take() == []
    assembler.put(3000, FIRST, 0.0, marker=True)
    assert [frame.timestamp for frame in assembler.take()] == [3000]


def test_padding_after_a_frame_begins_none() -> None:
    assembler = video()
    assembler.put(0, KEY, 0.0, marker=False)
    assembler.put(3000, None, 0.0, marker=False)
    assert [frame.timestamp for frame in assembler.take()] == [0]
    assembler.put(3000, FIRST, 0.0, marker=False)
    assembler.put(3000, None, 0.0, marker=True)
    assert [frame.timestamp for frame in assembler.take()] == [3000]


def test_a_reset_drops_what_is_open_and_begins_an_epoch() -> None:
    assembler = video()
    assembler.reset()
    assembler.put(9000, KEY, 0.0, marker=True)
    assembler.put(12000, FIRST, 0.0, marker=False)
    assembler.reset()
    assembler.put(5, KEY, 0.0, marker=True)
    frames = assembler.take()
    assert [(frame.timestamp, frame.epoch) for frame in frames] == [(9000, 1), ((1 << 32) + 5, 2)]
    assert not frames[1].complete_before


def test_audio_keeps_order_and_tells_gaps() -> None:
    counters = Counters()
    assembler = AudioAssembler(AudioDepacketiser(), counters, 48000)
    for timestamp, data in ((0, b"a"), (960, b""), (1920, b"c")):
        assembler.put(timestamp, Chunk(data, True, True), timestamp / 48000, marker=False)
    assembler.put(2880, None, 0.06, marker=False)
    assembler.lost()
    assembler.put(4800, Chunk(b"e", True, True), 0.1, marker=False)
    assert [(frame.data, frame.complete_before) for frame in assembler.take()] == [
        (b"a", True),
        (b"c", False),
        (b"e", False),
    ]
    assert (counters.frames, counters.frames_dropped) == (3, 1)
    assert not assembler.waiting


def test_the_audio_target_stays_within_bounds_and_a_reset_is_no_jitter() -> None:
    assembler = AudioAssembler(AudioDepacketiser(), Counters(), 48000)
    assert assembler.target == pytest.approx(0.04)
    assembler.overdue(0.1)
    assert assembler.target == pytest.approx(0.1)
    assembler.overdue(5.0)
    assert assembler.target == pytest.approx(0.2)
    for index in range(200):
        assembler.put(index * 960, None, index * 0.02, marker=False)
    assert assembler.target == pytest.approx(0.02)
    assembler.reset()
    assembler.put(1 << 31, None, 4.5, marker=False)
    assert assembler.target == pytest.approx(0.02)
    assembler.put((1 << 31) + 48000, None, 60.0, marker=False)
    assert assembler.target == pytest.approx(0.02)


def test_what_nobody_takes_makes_room_for_the_newest() -> None:
    counters = Counters()
    assembler = AudioAssembler(AudioDepacketiser(), counters, 48000)
    for index in range(MAX_READY_FRAMES + 1):
        assembler.put(index * 960, Chunk(b"x", True, True), index * 0.02, marker=False)
    (frame,) = assembler.take()
    assert not frame.complete_before
    assert counters.frames_dropped == MAX_READY_FRAMES


def test_bad_frames_are_counted_and_dropped() -> None:
    counters = Counters()
    assembler = VideoAssembler(Vp8Depacketiser(), counters, hand_out_broken=False)
    assembler.put(0, KEY, 0.0, marker=True)
    assembler.put(3000, Chunk(b"", False, False), 0.0, marker=True)
    assembler.put(6000, Chunk(KEYFRAME[:5], True, True), 0.0, marker=True)
    for _ in range(MAX_FRAME_CHUNKS + 1):
        assembler.put(9000, FIRST, 0.0, marker=False)
    assert assembler.size == 0
    assembler.put(9000, REST, 0.0, marker=True)
    assert [frame.timestamp for frame in assembler.take()] == [0]
    assert (counters.malformed, counters.frames_dropped) == (1, 3)
    assert assembler.waiting


def test_a_frame_without_a_picture_is_no_frame_and_no_loss() -> None:
    depacketiser = H264Depacketiser()
    counters = Counters()
    assembler = VideoAssembler(depacketiser, counters, hand_out_broken=True)
    assembler.put(0, depacketiser.parse(b"\x41\x9a"), 0.0, marker=True)
    assembler.put(0, depacketiser.parse(b"\x06\x05\x01\x00\x80"), 0.0, marker=True)
    assembler.put(3000, depacketiser.parse(b"\x41\x9a"), 0.0, marker=True)
    assert [frame.timestamp for frame in assembler.take()] == [0, 3000]
    assert counters.frames_dropped == 0
