"""The jitter buffer under what it should not get: malformed and hostile packets, restarts, floods, bad links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.frames import Codec
from peer.rtc.jitter import MAX_HELD_PACKETS, JitterBuffer
from tests.harness.examples import examples
from tests.rtc.bad_link import (
    DELTA,
    KEYFRAME,
    OPUS,
    QUIET,
    VP8,
    Call,
    Link,
    Packet,
    put,
    put_all,
    started,
    vp8_frame,
)

# Malformed, padding


def test_padding_fills_its_place() -> None:
    buffer = started()
    first, second = vp8_frame(1, 3000, 2)
    assert put(buffer, Packet(1, 0, b""), 0.0) == []
    assert put(buffer, Packet(2, 3000, first.payload), 0.0) == []
    assert put(buffer, Packet(3, 3000, b""), 0.0) == []
    assert put(buffer, Packet(5, 4000, b""), 0.0) == []
    assert put(buffer, Packet(4, 3000, second.payload, True), 0.0) == [3000]
    assert buffer.feedback(1.0) == QUIET
    audio = JitterBuffer(OPUS)
    assert put_all(audio, [Packet(0, 0, b"a"), Packet(1, 960, b""), Packet(2, 960, b"b")], 0.0) == [0, 960]


def test_a_malformed_packet_costs_its_frame() -> None:
    buffer = started()
    assert put(buffer, Packet(1, 3000, b"\x90", True), 0.0) == []
    assert buffer.counters.malformed == buffer.counters.frames_dropped == 1
    assert buffer.feedback(0.0).pli


def test_a_malformed_frame_is_dropped() -> None:
    buffer = started()
    assert put(buffer, Packet(1, 3000, b"\x10\x10\x00\x00not a keyframe", True), 0.0) == []
    assert buffer.counters.malformed == buffer.counters.frames_dropped == 1
    assert buffer.feedback(0.0).pli


# Restarts


def test_one_stray_packet_changes_nothing() -> None:
    buffer = started()
    assert put(buffer, Packet(40000, 1, b"\x10" + DELTA, True), 0.0) == []
    assert put_all(buffer, vp8_frame(1, 3000), 0.03) == [3000]
    assert put(buffer, Packet(40001, 1, b"\x10" + DELTA, True), 0.0) == []
    assert put_all(buffer, vp8_frame(2, 6000), 0.06) == [6000]
    assert buffer.counters.resets == 0


@pytest.mark.parametrize("number", [30000, 60000])
def test_two_in_a_row_start_anew(number: int) -> None:
    buffer = started()
    put(buffer, vp8_frame(2, 6000)[0], 0.5)  # a gap and half a frame are open
    put(buffer, vp8_frame(3, 9000, 2)[0], 0.5)
    packets = vp8_frame(number, 77, 3, keyframe=True)
    assert put_all(buffer, packets[:2], 1.0) == []
    buffer.add(packets[2].number, 77, packets[2].payload, 1.0, marker=True)
    (frame,) = buffer.frames(1.0)
    assert (frame.timestamp, frame.epoch, frame.complete_before) == (77, 1, False)
    assert (buffer.counters.resets, buffer.counters.received) == (1, 6)
    assert buffer.next_wakeup(1.0) is None


def test_reset_begins_with_any_packet() -> None:
    buffer = JitterBuffer(OPUS)
    put(buffer, Packet(0, 5000, b"a"), 0.0)
    put(buffer, Packet(2, 6920, b"c"), 0.0)
    buffer.reset()
    assert put(buffer, Packet(500, 100, b"x"), 0.1) == [6920, 0x100000000 + 100]


# Bounds


def test_a_gap_too_big_to_be_mended_is_given_up_at_once() -> None:
    buffer = started()
    assert put_all(buffer, vp8_frame(2, 6000), 1.0) == []
    assert put_all(buffer, vp8_frame(2900, 9000, keyframe=True), 1.0) == [9000]
    assert buffer.counters.lost_given_up == 2898
    assert buffer.next_wakeup(1.0) is None


def test_packets_behind_a_gap_are_bounded() -> None:
    buffer = started()
    buffer.add(1, 3000, b"\x10" + DELTA, 1.0)
    for number in range(3, 3 + MAX_HELD_PACKETS + 10):
        buffer.add(number, number * 3000, b"\x10" + DELTA, 1.0, marker=True)
    assert buffer.counters.lost_given_up == 1
    assert buffer.frames(1.0) == []
    buffer = started()
    for number in range(2, 40):
        buffer.add(number, number * 3000, b"\x10" + DELTA + bytes(60000), 1.0, marker=True)
    assert buffer.counters.lost_given_up == 1


@pytest.mark.parametrize("size", [0, 60000])
def test_a_frame_that_never_ends_is_dropped(size: int) -> None:
    buffer = started()
    buffer.add(1, 3000, b"\x10" + DELTA, 1.0)
    for number in range(2, 2100):
        buffer.add(number, 3000, b"\x00x" + bytes(size), 1.0)
    assert buffer.feedback(1.0).pli
    assert put_all(buffer, vp8_frame(2100, 6000, keyframe=True), 1.0) == [6000]


@pytest.mark.parametrize("size", [1, 60000])
def test_frames_that_nobody_takes_are_dropped(size: int) -> None:
    buffer = JitterBuffer(OPUS)
    for index in range(5000):
        buffer.add(index, index * 960, bytes(size), index * 0.02)
    frames = buffer.frames(100.0)
    assert sum(len(frame.data) for frame in frames) < 4 << 20
    assert len(frames) <= 2048
    assert not frames[0].complete_before
    assert frames[-1].timestamp == 4999 * 960
    assert buffer.counters.frames_dropped + len(frames) == 5000


HOSTILE = st.tuples(
    st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF)),
    st.one_of(st.integers(0, 10).map(lambda index: index * 3000), st.integers(0, 0xFFFFFFFF)),
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\x10" + KEYFRAME, b"\x10" + DELTA, b"\x00x", b"\x65\x80", b"\x41\x80"]),
    ),
    st.floats(0, 0.3),
    st.booleans(),
)


@examples(60)
@given(st.sampled_from(["VP8", "H264", "VP9", "AV1", "opus", "G722"]), st.booleans(), st.lists(HOSTILE, max_size=60))
def test_whatever_comes_order_and_bounds_hold(
    name: str, flag: bool, packets: list[tuple[int, int, bytes, float, bool]]
) -> None:
    buffer = JitterBuffer(Codec(name, 90000), retransmission=flag, hand_out_broken=flag)
    now = 0.0
    frames = 0
    for number, timestamp, payload, pause, marker in packets:
        now += pause
        buffer.add(number, timestamp, payload, now, marker=marker)
        out = buffer.frames(now)
        frames += len(out)
        assert all(frame.data for frame in out)
        assert all(0 <= wanted <= 0xFFFF for wanted in buffer.feedback(now).nack)
        wakeup = buffer.next_wakeup(now)
        assert wakeup is None or now <= wakeup <= now + 1
    now += 1
    buffer.frames(now)
    assert not buffer.feedback(now).nack
    counters = buffer.counters
    assert counters.received == len(packets)
    assert frames <= counters.frames


# Over a link


def check_order(call: Call) -> None:
    timestamps = [handed.frame.timestamp for handed in call.handed]
    assert timestamps == sorted(set(timestamps))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("rtt", "loss", "whole"), [(0.02, 0.05, 1.0), (0.02, 0.2, 0.97), (0.1, 0.05, 0.99)])
def test_video_with_loss_is_mended(rtt: float, loss: float, whole: float, seed: int) -> None:
    link = Link(rtt=rtt, loss=loss, feedback_loss=loss, duplicates=0.02, seed=seed)
    call = Call(link, JitterBuffer(VP8)).run()
    check_order(call)
    assert len(call.handed) >= whole * call.sent_frames
    assert call.latency(0, 10) <= rtt / 2 + call.buffer.deadline + 0.05


def test_lost_frames_are_told() -> None:
    call = Call(Link(rtt=0.02, loss=0.02, seed=5), JitterBuffer(VP8), answers_nack=False, packets_per_frame=1).run()
    check_order(call)
    previous = -3000
    for handed in call.handed:
        assert handed.frame.complete_before == (handed.frame.timestamp == previous + 3000)
        previous = handed.frame.timestamp
    assert call.buffer.counters.lost_given_up > 0
    assert len(call.plis) >= call.buffer.counters.keyframes - 1 > 0


def test_audio_with_loss_is_mended_when_negotiated() -> None:
    link = Link(rtt=0.04, loss=0.05, feedback_loss=0.05)
    call = Call(link, JitterBuffer(OPUS, retransmission=True), frame_interval=0.02).run()
    check_order(call)
    assert len(call.handed) >= 0.99 * call.sent_frames
    assert call.latency(2, 10) <= 0.02 + 0.13


@pytest.mark.parametrize(("codec", "interval"), [(VP8, 1 / 30), (OPUS, 0.02)])
@pytest.mark.parametrize("outage", [0.3, 1.0, 3.0, 12.0])
def test_after_an_outage_the_latency_is_what_it_was(codec: Codec, interval: float, outage: float) -> None:
    link = Link(rtt=0.06, broken=((2.0, 2.0 + outage),))
    call = Call(link, JitterBuffer(codec), frame_interval=interval, seconds=outage + 4).run()
    check_order(call)
    before = call.latency(0, 2.0)
    assert call.latency(outage + 3.0, outage + 4.0) == pytest.approx(before, abs=0.001)
    assert call.longest_gap() <= outage + 0.4


def test_jitter_alone_loses_no_audio() -> None:
    call = Call(Link(rtt=0.05, jitter=0.03, duplicates=0.1), JitterBuffer(OPUS), frame_interval=0.02).run()
    check_order(call)
    assert len(call.handed) == call.sent_frames
    assert call.buffer.counters.lost_given_up == 0


def test_bursts_do_not_ratchet_the_latency_up() -> None:
    broken = tuple((float(second), second + 0.15) for second in range(1, 9))
    call = Call(Link(rtt=0.05, broken=broken), JitterBuffer(VP8), answers_nack=False).run()
    assert call.latency(9.5, 10) == pytest.approx(call.latency(0, 0.9), abs=0.001)
