"""Packets come in as a bad network brings them; frames come out in order, soon, and what is missing is asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.rtc.frames import Codec
from peer.rtc.jitter import MAX_HELD_PACKETS, Feedback, JitterBuffer
from tests.rtc.bad_link import DELTA, KEYFRAME, OPUS, VP8, Call, Link, Packet, vp8_frame

QUIET = Feedback([], False)


def video(*, hand_out_broken: bool = False) -> JitterBuffer:
    buffer = JitterBuffer(VP8, hand_out_broken=hand_out_broken)
    buffer.set_rtt(0.05)
    return buffer


def put(buffer: JitterBuffer, packet: Packet, now: float) -> list[int]:
    """Add one packet; the timestamps of the frames that come out."""
    buffer.add(packet.number, packet.timestamp, packet.payload, now, marker=packet.marker)
    return [frame.timestamp for frame in buffer.frames(now)]


def put_all(buffer: JitterBuffer, packets: list[Packet], now: float) -> list[int]:
    return [timestamp for packet in packets for timestamp in put(buffer, packet, now)]


def started(*, hand_out_broken: bool = False) -> JitterBuffer:
    """A buffer that has had the keyframe 0 (timestamp 0) and asks for nothing."""
    buffer = video(hand_out_broken=hand_out_broken)
    assert put_all(buffer, vp8_frame(0, 0, keyframe=True), 0.0) == [0]
    assert buffer.feedback(0.0) == QUIET
    assert buffer.next_wakeup(0.0) is None
    return buffer


# The everyday case


def test_a_frame_comes_out_with_its_marker_not_one_frame_later() -> None:
    buffer = video()
    packets = vp8_frame(65534, 0xFFFFFFFF, 3, keyframe=True)
    assert put_all(buffer, packets[:2], 1.0) == []
    buffer.add(packets[2].number, packets[2].timestamp, packets[2].payload, 1.5, marker=True)
    (frame,) = buffer.frames(1.5)
    assert frame.data.startswith(KEYFRAME)
    assert frame.data.endswith(b"/2;")
    assert (frame.keyframe, frame.width, frame.height) == (True, 640, 360)
    assert (frame.timestamp, frame.arrival, frame.complete_before, frame.epoch) == (0xFFFFFFFF, 1.0, True, 0)
    assert buffer.frames(1.5) == []
    assert put_all(buffer, vp8_frame(1, 2999), 1.6) == [0x100000000 + 2999]


def test_without_a_marker_the_next_timestamp_ends_a_frame() -> None:
    buffer = started()
    (first,) = vp8_frame(1, 3000)
    assert put(buffer, Packet(1, 3000, first.payload), 0.03) == []
    assert put(buffer, vp8_frame(2, 6000)[0], 0.06) == [3000, 6000]


def test_audio_packets_are_frames() -> None:
    buffer = JitterBuffer(OPUS)
    for index in range(5):
        assert put(buffer, Packet((65534 + index) & 0xFFFF, index * 960, b"x"), index * 0.02) == [index * 960]
    assert buffer.counters.frames == buffer.counters.keyframes == buffer.counters.received == 5
    assert buffer.next_wakeup(1.0) is None
    assert buffer.feedback(1.0) == QUIET


def test_a_codec_without_a_payload_format_is_refused() -> None:
    with pytest.raises(ValueError, match="AV1"):
        JitterBuffer(Codec("AV1", 90000))


# Reordering and duplicates


def test_reordered_packets_are_put_in_order_and_not_asked_for() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 4)
    assert put_all(buffer, [packets[0], packets[2], packets[1]], 0.03) == []
    assert buffer.feedback(0.03) == QUIET
    assert put(buffer, packets[3], 0.03) == [3000]
    assert buffer.counters.reordered == 1
    assert buffer.next_wakeup(0.03) is None


def test_holes_fill_in_any_order() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3) + vp8_frame(4, 6000, 3)
    out = put_all(buffer, [packets[index] for index in (5, 1, 3, 2, 4, 0)], 0.03)
    assert out == [3000, 6000]
    assert buffer.counters.frames_dropped == 0


def test_duplicates_are_dropped() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3)
    assert put_all(buffer, [packets[0], packets[0], packets[2], packets[2], packets[1], packets[1]], 0.03) == [3000]
    assert buffer.counters.duplicates == 3
    assert put_all(buffer, vp8_frame(0, 0, keyframe=True), 0.03) == []


# Asking again


def test_a_missing_packet_is_asked_for_after_a_moment_and_then_each_round_trip() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3)
    put(buffer, packets[0], 1.0)
    put(buffer, packets[2], 1.0)
    assert buffer.feedback(1.0) == QUIET
    asked = []
    now = buffer.next_wakeup(1.0)
    while now is not None and now < 1.2:
        asked.append((round(now, 3), buffer.feedback(now).nack))
        now = buffer.next_wakeup(now)
    assert asked == [(1.01, [2]), (1.06, [2]), (1.11, [2]), (1.16, [2])]
    assert put(buffer, packets[1], 1.2) == [3000]
    assert (buffer.counters.recovered, buffer.counters.nacks) == (1, 4)


def test_two_packets_more_after_the_gap_end_the_patience() -> None:
    buffer = started()
    packets = vp8_frame(0xFFFF, 3000, 6)
    buffer = video()
    put_all(buffer, vp8_frame(0xFFFE, 0, keyframe=True), 0.0)
    put_all(buffer, [packets[0], packets[3]], 1.0)
    assert buffer.feedback(1.0) == QUIET
    put(buffer, packets[4], 1.0)
    assert buffer.next_wakeup(1.0) == 1.0
    assert buffer.feedback(1.0).nack == [0, 1]
    assert buffer.feedback(1.0) == QUIET


def test_tries_are_bounded() -> None:
    buffer = started()
    buffer.set_rtt(0.0)
    put(buffer, vp8_frame(2, 6000)[0], 1.0)
    for step in range(199):
        buffer.feedback(1.0 + step / 1000)
    assert buffer.counters.nacks == 10


def test_the_round_trip_is_learnt_from_answers() -> None:
    buffer = JitterBuffer(VP8)
    put_all(buffer, vp8_frame(0, 0, keyframe=True), 0.0)
    assert buffer.rtt == 0.1
    for index, (delay, learnt) in enumerate(((0.02, 0.02), (0.04, 0.025), (0.009, 0.024))):
        now = float(index + 1)
        put(buffer, vp8_frame(2 * index + 2, 6000 * index + 6000)[0], now)
        assert buffer.feedback(now + 0.01).nack == [2 * index + 1]
        put(buffer, vp8_frame(2 * index + 1, 6000 * index + 3000)[0], now + 0.01 + delay)
        assert buffer.rtt == pytest.approx(learnt)


def test_an_answer_after_several_requests_counts_only_while_nothing_is_known() -> None:
    buffer = JitterBuffer(VP8)
    put_all(buffer, vp8_frame(0, 0, keyframe=True), 0.0)
    for number, now, answered in ((2, 1.0, 1.2), (4, 2.0, 2.35)):
        put(buffer, vp8_frame(number, number * 3000)[0], now)
        requests = [buffer.feedback(now + step).nack for step in (0.01, 0.11, 0.21, 0.31) if now + step < answered]
        assert sum(map(len, requests)) == 2
        put(buffer, vp8_frame(number - 1, number * 3000 - 3000)[0], answered)
        assert buffer.rtt == pytest.approx(0.19)


def test_even_an_answer_that_comes_too_late_says_how_far_the_sender_is() -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    put(buffer, Packet(0, 0, b"a"), 0.0)
    put(buffer, Packet(2, 1920, b"c"), 0.04)
    assert buffer.feedback(0.05).nack == [1]
    assert put(buffer, Packet(3, 2880, b"d"), 0.3) == [1920, 2880]
    put(buffer, Packet(1, 960, b"b"), 0.35)
    assert buffer.counters.late == 1
    assert buffer.rtt == pytest.approx(0.3)


def test_a_round_trip_that_was_set_stays() -> None:
    buffer = started()
    put(buffer, vp8_frame(2, 6000)[0], 1.0)
    buffer.feedback(1.01)
    put(buffer, vp8_frame(1, 3000)[0], 1.011)
    assert buffer.rtt == 0.05
    buffer.set_rtt(99.0)
    assert buffer.rtt == 1.0


@pytest.mark.parametrize(("rtt", "deadline"), [(0.0, 0.2), (0.05, 0.25), (0.1, 0.4), (0.5, 0.4)])
def test_the_deadline_for_video_follows_the_round_trip(rtt: float, deadline: float) -> None:
    buffer = video()
    buffer.set_rtt(rtt)
    assert buffer.deadline == pytest.approx(deadline)


@pytest.mark.parametrize(("rtt", "deadline"), [(0.0, 0.04), (0.04, 0.108), (0.06, 0.12), (0.15, 0.18), (0.5, 0.2)])
def test_the_deadline_for_audio_leaves_time_for_an_answer(rtt: float, deadline: float) -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    buffer.set_rtt(rtt)
    assert buffer.deadline == pytest.approx(deadline)
    assert JitterBuffer(OPUS).deadline == pytest.approx(0.04)


# Giving up


def test_a_frame_with_a_hole_is_given_up_at_the_deadline_and_a_keyframe_asked_for_at_once() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3)
    put_all(buffer, [packets[0], packets[2]], 1.0)
    assert put_all(buffer, vp8_frame(4, 6000), 1.1) == []
    assert buffer.frames(1.249) == []
    assert not buffer.feedback(1.249).pli
    assert buffer.frames(1.25) == []
    assert buffer.feedback(1.25).pli
    counters = buffer.counters
    assert (counters.lost_given_up, counters.frames_dropped, counters.plis) == (1, 2, 1)
    assert put_all(buffer, vp8_frame(5, 9000), 1.3) == []
    buffer.add(6, 12000, b"\x10" + KEYFRAME, 1.4, marker=True)
    (frame,) = buffer.frames(1.4)
    assert (frame.timestamp, frame.complete_before) == (12000, False)
    buffer.add(7, 15000, b"\x10" + DELTA, 1.43, marker=True)
    (frame,) = buffer.frames(1.43)
    assert frame.complete_before
    assert buffer.next_wakeup(1.43) is None
    assert put(buffer, packets[1], 1.5) == []
    assert counters.late == 1


def test_feedback_gives_up_too() -> None:
    buffer = started()
    put(buffer, vp8_frame(2, 6000)[0], 1.0)
    assert buffer.feedback(2.0) == Feedback([], True)
    assert buffer.next_wakeup(2.0) == pytest.approx(2.3)


def test_what_was_given_up_is_remembered_for_a_while_only() -> None:
    buffer = started()
    for step in range(30):
        number = 100 * (step + 1)
        put(buffer, vp8_frame(number, number * 3000)[0], float(step))
        buffer.frames(step + 0.5)
    put_all(buffer, vp8_frame(1, 3000) + vp8_frame(2999, 3000), 40.0)
    assert (buffer.counters.late, buffer.counters.duplicates) == (1, 1)
    assert buffer.counters.lost_given_up == 30 * 99


def test_the_request_for_a_keyframe_is_repeated_until_it_came() -> None:
    buffer = video()
    put_all(buffer, vp8_frame(0, 0), 0.0)
    asked = []
    now = buffer.next_wakeup(0.0)
    while now is not None and now < 5:
        assert buffer.feedback(now).pli
        asked.append(round(now, 3))
        now = buffer.next_wakeup(now)
    assert asked == [0.0, 0.3, 0.9, 1.9, 2.9, 3.9, 4.9]
    assert put_all(buffer, vp8_frame(1, 3000, keyframe=True), 5.0) == [3000]
    assert buffer.next_wakeup(5.0) is None
    assert buffer.feedback(10.0) == QUIET


def test_a_keyframe_that_is_arriving_gets_its_time() -> None:
    buffer = video()
    packets = vp8_frame(0, 0, 3, keyframe=True)
    assert put(buffer, packets[0], 0.0) == []
    assert buffer.feedback(0.5) == QUIET
    assert buffer.next_wakeup(0.5) == 1.0
    assert buffer.feedback(1.0).pli


def test_nothing_is_asked_for_before_the_first_packet() -> None:
    buffer = video()
    assert buffer.feedback(5.0) == QUIET
    assert buffer.next_wakeup(5.0) is None


def test_the_first_frame_handed_out_has_nothing_before_it() -> None:
    buffer = video()
    put_all(buffer, vp8_frame(0, 0), 0.0)
    buffer.add(1, 3000, b"\x10" + KEYFRAME, 0.1, marker=True)
    assert buffer.frames(0.1)[0].complete_before
    assert buffer.counters.frames_dropped == 1


def test_whole_frames_without_their_references_come_out_when_wanted() -> None:
    buffer = started(hand_out_broken=True)
    packets = vp8_frame(1, 3000, 2)
    put(buffer, packets[0], 1.0)
    put_all(buffer, vp8_frame(3, 6000), 1.0)
    (frame,) = buffer.frames(1.25)
    assert (frame.timestamp, frame.complete_before) == (6000, False)
    assert buffer.feedback(1.25).pli


def test_a_keyframe_ends_the_waiting_for_what_was_before_it() -> None:
    buffer = started()
    put(buffer, vp8_frame(2, 6000)[0], 1.0)
    assert buffer.frames(1.25) == []
    put(buffer, vp8_frame(4, 12000)[0], 1.26)
    assert put_all(buffer, vp8_frame(6, 18000, 2, keyframe=True), 1.27) == [18000]
    assert buffer.next_wakeup(1.27) is None
    assert buffer.counters.lost_given_up == 3


def test_a_hole_behind_the_keyframe_is_still_waited_for() -> None:
    buffer = video()
    put_all(buffer, vp8_frame(0, 0), 0.0)
    keyframe = vp8_frame(3, 3000, 3, keyframe=True)
    assert put_all(buffer, [keyframe[2], keyframe[0]], 0.1) == []
    assert buffer.feedback(0.12).nack == [4]
    assert put(buffer, keyframe[1], 0.15) == [3000]


def test_audio_goes_on_after_a_short_wait() -> None:
    buffer = JitterBuffer(OPUS)
    put(buffer, Packet(0, 0, b"a"), 0.0)
    assert put(buffer, Packet(2, 1920, b"c"), 0.04) == []
    assert buffer.next_wakeup(0.04) == pytest.approx(0.08, abs=0.005)
    assert buffer.feedback(0.06) == QUIET  # retransmission was not negotiated
    (frame,) = buffer.frames(0.081)
    assert (frame.timestamp, frame.complete_before) == (1920, False)
    assert put(buffer, Packet(3, 2880, b"d"), 0.09) == [2880]


def test_audio_waits_longer_when_packets_come_too_late() -> None:
    buffer = JitterBuffer(OPUS)
    put(buffer, Packet(0, 0, b"a"), 0.0)
    put(buffer, Packet(2, 1920, b"c"), 0.04)
    assert put(buffer, Packet(3, 2880, b"d"), 0.12) == [1920, 2880]
    put(buffer, Packet(1, 960, b"b"), 0.16)
    assert buffer.counters.late == 1
    assert buffer.deadline == pytest.approx(0.12)


@pytest.mark.parametrize(("jitter", "low", "high"), [(0.0, 0.02, 0.02), (0.03, 0.025, 0.07), (0.5, 0.2, 0.2)])
def test_the_wait_for_audio_follows_the_jitter(jitter: float, low: float, high: float) -> None:
    chance = random.Random(3)
    buffer = JitterBuffer(OPUS)
    for index in range(500):
        put(buffer, Packet(index, index * 960, b"x"), index * 0.02 + chance.uniform(0, jitter))
    assert low <= buffer.deadline <= high


def test_a_pause_is_no_jitter() -> None:
    buffer = JitterBuffer(OPUS)
    put(buffer, Packet(0, 0, b"a"), 0.0)
    put(buffer, Packet(1, 960, b"b"), 30.0)
    assert buffer.deadline == pytest.approx(0.04)


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


@settings(max_examples=60)
@given(st.sampled_from(["VP8", "H264", "opus"]), st.booleans(), st.lists(HOSTILE, max_size=60))
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
