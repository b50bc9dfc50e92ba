"""Packets come in as a bad network brings them; frames come out in order, soon, and what is missing is asked for."""

from __future__ import annotations

import random

import pytest

from peer.rtc.frames import Codec
from peer.rtc.jitter import MAX_VIDEO_HOLD, UNANSWERED, Feedback, JitterBuffer
from tests.rtc.bad_link import DELTA, KEYFRAME, OPUS, QUIET, VP8, Packet, put, put_all, started, video, vp8_frame

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
    with pytest.raises(ValueError, match="H265"):
        JitterBuffer(Codec("H265", 90000))


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
    assert asked == [(1.01, [2]), (1.04, [2]), (1.07, [2]), (1.13, [2]), (1.19, [2])]
    assert put(buffer, packets[1], 1.2) == [3000]
    assert (buffer.counters.recovered, buffer.counters.nacks) == (1, 5)


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
    for number, now, answered in ((2, 1.0, 1.2), (4, 2.0, 2.4)):
        put(buffer, vp8_frame(number, number * 3000)[0], now)
        requests = [buffer.feedback(now + step).nack for step in (0.01, 0.04, 0.5) if now + step < answered]
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


def test_of_the_last_round_trips_the_shortest_counts() -> None:
    buffer = JitterBuffer(VP8)
    for seconds, counts in ((99.0, 1.0), (0.05, 0.05), (0.3, 0.05), (0.04, 0.04), (0.3, 0.04)):
        buffer.set_rtt(seconds)
        assert buffer.rtt == counts
    for _ in range(4):
        buffer.set_rtt(0.3)
    assert buffer.rtt == 0.3, "the way is longer now"


@pytest.mark.parametrize(("rtt", "deadline"), [(0.0, 0.2), (0.05, 0.25), (0.1, 0.4), (0.5, 0.4)])
def test_the_deadline_for_video_follows_the_round_trip(rtt: float, deadline: float) -> None:
    buffer = JitterBuffer(VP8)
    buffer.set_rtt(rtt)
    assert buffer.deadline == pytest.approx(deadline)


@pytest.mark.parametrize(("rtt", "deadline"), [(0.0, 0.1), (0.06, 0.1), (0.1, 0.14), (0.5, 0.2)])
def test_the_deadline_for_audio_leaves_time_for_an_answer(rtt: float, deadline: float) -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    buffer.set_rtt(rtt)
    assert buffer.deadline == pytest.approx(deadline)
    assert JitterBuffer(OPUS).deadline == pytest.approx(0.04)


def lose_each_other(buffer: JitterBuffer, first: int, count: int) -> None:
    """Every other packet, half a second apart: each is asked for, waited for and given up."""
    for number in range(first, first + 2 * count, 2):
        now = number * 0.5
        put(buffer, Packet(number, number * 24000, b"x"), now)
        if number > first:
            assert buffer.feedback(now + 0.01).nack == [number - 1]
        buffer.frames(now + 0.5)


def test_sound_is_not_waited_for_when_the_sender_keeps_none() -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    lose_each_other(buffer, 0, UNANSWERED)
    assert buffer.deadline == pytest.approx(0.14)
    lose_each_other(buffer, 2 * UNANSWERED - 2, 5)
    assert buffer.deadline == pytest.approx(0.02), "what the sound itself needs"


def test_sound_that_came_again_at_last_is_waited_for() -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    lose_each_other(buffer, 0, 30)
    put(buffer, Packet(57, 57 * 24000, b"x"), 29.6)
    assert buffer.counters.late == 1
    assert buffer.deadline > 0.1


def test_many_lost_at_once_say_no_more_than_one() -> None:
    """Their requests, or their answers, were lost together."""
    buffer = JitterBuffer(OPUS, retransmission=True)
    put(buffer, Packet(0, 0, b"x"), 0.0)
    put(buffer, Packet(11, 10560, b"x"), 0.22)
    assert len(buffer.feedback(0.23).nack) == 10
    assert len(buffer.frames(0.5)) == 1 and buffer.counters.lost_given_up == 10
    assert buffer.deadline > 0.1


def test_after_an_outage_sound_goes_on_at_once() -> None:
    buffer = JitterBuffer(OPUS, retransmission=True)
    put(buffer, Packet(0, 0, b"a"), 0.0)
    assert put(buffer, Packet(100, 96000, b"b"), 2.0) == [96000]
    assert buffer.feedback(2.01) == QUIET and buffer.counters.lost_given_up == 99
    put(buffer, Packet(102, 97920, b"c"), 2.04)
    assert buffer.feedback(2.05).nack == [101]


# Giving up


def test_at_the_deadline_a_keyframe_is_asked_for_which_takes_the_place_of_what_is_missing() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3)
    put_all(buffer, [packets[0], packets[2]], 1.0)
    assert put_all(buffer, vp8_frame(4, 6000), 1.1) == []
    assert not buffer.feedback(1.249).pli
    assert buffer.next_wakeup(1.249) == pytest.approx(1.25)
    assert buffer.feedback(1.25) == Feedback([], True)
    counters = buffer.counters
    assert (counters.lost_given_up, counters.frames_dropped, counters.plis) == (0, 0, 1)
    assert put_all(buffer, vp8_frame(5, 9000), 1.3) == []
    buffer.add(6, 12000, b"\x10" + KEYFRAME, 1.4, marker=True)
    (frame,) = buffer.frames(1.4)
    assert (frame.timestamp, frame.complete_before) == (12000, False)
    assert (counters.lost_given_up, counters.frames_dropped) == (1, 3)
    buffer.add(7, 15000, b"\x10" + DELTA, 1.43, marker=True)
    (frame,) = buffer.frames(1.43)
    assert frame.complete_before
    assert buffer.next_wakeup(1.43) is None
    assert put(buffer, packets[1], 1.5) == []
    assert counters.late == 1


def test_what_comes_after_the_deadline_and_before_the_keyframe_saves_all() -> None:
    buffer = started()
    packets = vp8_frame(1, 3000, 3)
    put_all(buffer, [packets[0], packets[2], *vp8_frame(4, 6000)], 1.0)
    assert buffer.feedback(1.25).pli
    assert put(buffer, packets[1], 1.3) == [3000, 6000]
    assert buffer.feedback(1.6) == QUIET, "nothing is missing any more"
    assert put_all(buffer, vp8_frame(5, 9000, keyframe=True), 1.7) == [9000]
    assert buffer.counters.frames_dropped == 0


def test_a_keyframe_that_came_by_itself_serves_at_the_deadline() -> None:
    buffer = started()
    put_all(buffer, vp8_frame(2, 6000), 1.0)
    assert put_all(buffer, vp8_frame(3, 9000, keyframe=True) + vp8_frame(4, 12000), 1.1) == []
    assert [frame.timestamp for frame in buffer.frames(1.25)] == [9000, 12000]
    assert buffer.next_wakeup(1.25) is None


def test_without_any_keyframe_the_packet_is_given_up_in_the_end() -> None:
    buffer = started()
    put_all(buffer, vp8_frame(2, 6000), 1.0)
    now, plis = 1.0, []
    while (now := buffer.next_wakeup(now) or 9.0) < 3.0:
        assert buffer.frames(now) == []
        if buffer.feedback(now).pli:
            plis.append(round(now, 3))
        if not buffer.counters.lost_given_up:
            assert now < 1.0 + MAX_VIDEO_HOLD
    assert plis == [1.25, 1.55, 2.15], "asked for ever less often, also when nothing is held any more"
    assert (buffer.counters.lost_given_up, buffer.counters.frames_dropped) == (1, 1)


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
