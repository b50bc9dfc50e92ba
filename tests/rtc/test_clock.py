"""Audio and video of a participant come out on one timeline, whatever their paths, starts and clocks are like."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.clock import MAX_TRACKS, MovingMinimum, ParticipantClock, TrackClock

if TYPE_CHECKING:
    from collections.abc import Iterator

NTP = 3_900_000_000.0
"""What the sender's wall clock shows, in NTP seconds, when the local clock shows LOCAL."""
LOCAL = 5000.0


@dataclass
class Sender:
    """One track of a sender; times in seconds, counted from LOCAL."""

    clock: TrackClock
    interval: float
    delay: float
    jitter: float = 0.0
    start: float = 0.0
    first_report: float = 1.0
    """Seconds after the start; reports follow every two seconds."""
    first_timestamp: int = 0
    drift: float = 0.0
    """How much faster the sender's clocks run than ours."""
    report_error: float = 0.0
    wall_set: tuple[float, float] | None = None
    """From this second on the sender's wall clock shows so much more."""
    pause: tuple[float, float] = (0.0, 0.0)
    """At this second the sender pauses for so long, and its timestamps with it."""
    out: list[tuple[float, float]] = field(default_factory=list)
    """Capture time, and the time that came out."""

    def run(self, seconds: float) -> Iterator[float]:
        """Yields when it arrives (without jitter) before each packet."""
        chance = random.Random(7)
        captured, reported, index = self.start, self.start + self.first_report, 0
        while captured < seconds:
            yield captured + self.delay
            media = index * self.interval * (1 + self.drift)
            timestamp = self.first_timestamp + round(media * self.clock.clock_rate)
            now = LOCAL + captured + self.delay + chance.uniform(0, self.jitter)
            self.out.append((captured, self.clock.time(timestamp, now) - LOCAL))
            if captured >= reported:
                reported += 2.0
                wall = NTP + captured * (1 + self.drift) + chance.uniform(-1, 1) * self.report_error
                if self.wall_set and captured >= self.wall_set[0]:
                    wall += self.wall_set[1]
                self.clock.sender_report(wall, timestamp & 0xFFFFFFFF, now)
            index += 1
            captured = self.start + index * self.interval
            if captured >= self.pause[0]:
                captured += self.pause[1]

    def offsets(self, start: float, stop: float) -> list[float]:
        """What came out minus capture time."""
        return [time - captured for captured, time in self.out if start <= captured < stop]


def run(seconds: float, *senders: Sender) -> None:
    """Run them side by side; the times of each never go back."""
    for _ in heapq.merge(*(sender.run(seconds) for sender in senders)):
        pass
    for sender in senders:
        times = [time for _, time in sender.out]
        assert times == sorted(times)


def skew(first: Sender, second: Sender, start: float, stop: float) -> float:
    """How far what was captured together comes out apart at most, in seconds."""
    apart, index = 0.0, 0
    for captured, time in second.out:
        while index + 1 < len(first.out) and first.out[index][0] < captured:
            index += 1
        if start <= captured < stop:
            apart = max(apart, abs((time - captured) - (first.out[index][1] - first.out[index][0])))
    return apart


def steps(sender: Sender) -> list[float]:
    """How much more or less than the capture time each step of the timeline was."""
    offsets = sender.offsets(-1, 1e9)
    return [later - earlier for earlier, later in zip(offsets, offsets[1:], strict=False)]


def audio(clock: ParticipantClock, **options: float) -> Sender:
    return Sender(clock.track("audio", 48000), 0.02, 0.03, **options)  # type: ignore[arg-type]


def test_the_moving_minimum_forgets() -> None:
    minimum = MovingMinimum()
    assert minimum.value == float("inf")
    for now in range(30):
        minimum.add(1.0 if now == 3 else 2.0, float(now))
        assert minimum.value == (1.0 if 3 <= now < 20 else 2.0)


def test_without_reports_the_quickest_packet_anchors() -> None:
    sender = Sender(ParticipantClock().track("v", 90000), 1 / 30, 0.1, jitter=0.08, first_report=1e9)
    run(60, sender)
    assert not sender.clock.synchronised
    assert sender.offsets(0, 0.01)[0] <= 0.18
    assert all(0.1 <= offset <= 0.11 for offset in sender.offsets(40, 60))
    assert all(abs(step) <= 0.0002 for step in steps(sender)[30:])


def test_late_first_packets_are_put_right_at_once() -> None:
    clock = ParticipantClock().track("v", 90000)
    delays = [0.09, 0.07, 0.05, 0.03] + [0.01] * 56
    times = [clock.time(3000 * i, 100.0 + i / 30 + delay) for i, delay in enumerate(delays)]
    assert times == sorted(times)
    assert times[0] == pytest.approx(100.09)
    assert all(time == pytest.approx(100.01 + i / 30) for i, time in enumerate(times) if i >= 4)


def test_a_quicker_packet_later_is_slewed_to() -> None:
    clock = ParticipantClock().track("v", 90000)
    delays = [0.09] * 45 + [0.01] * 15
    times = [clock.time(3000 * i, 100.0 + i / 30 + delay) for i, delay in enumerate(delays)]
    assert all(0.03 < after - before < 0.0334 for before, after in zip(times, times[1:], strict=False))


def test_the_change_over_to_reports_does_not_jump() -> None:
    clock = ParticipantClock()
    sound = audio(clock)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.1, first_timestamp=0xFFFFF000)
    run(40, sound, picture)
    assert sound.clock.synchronised
    assert picture.clock.synchronised
    assert skew(sound, picture, 0, 0.9) == pytest.approx(0.07, abs=0.001)
    assert all(abs(step) <= 0.005 / 30 + 1e-6 for sender in (sound, picture) for step in steps(sender))
    assert skew(sound, picture, 20, 40) <= 0.02
    assert skew(sound, picture, 30, 40) <= 0.002


@pytest.mark.parametrize("late", [0.5, 2.0])
def test_a_track_that_arrives_late_takes_the_others_along_forward(late: float) -> None:
    clock = ParticipantClock()
    sound = audio(clock)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03 + late)
    run(30, sound, picture)
    assert skew(sound, picture, late + 1.2, 30) <= 0.02
    assert min(steps(sound) + steps(picture)) >= -0.005 / 30 - 1e-6
    assert sum(step > 0.05 for step in steps(sound)) == 1
    assert not any(step > 0.05 for step in steps(picture))


@pytest.mark.parametrize("late", [0.5, 2.0])
def test_a_track_whose_reports_come_later_steps_forward_itself(late: float) -> None:
    clock = ParticipantClock()
    sound = audio(clock, first_report=5.0)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03 + late)
    run(30, sound, picture)
    assert skew(sound, picture, 5.1, 30) <= 0.02
    assert sum(step > 0.05 for step in steps(sound)) == 1


def test_a_track_that_starts_later_is_in_sync() -> None:
    clock = ParticipantClock()
    sound = audio(clock)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.05, start=2.0, first_timestamp=123)
    run(20, sound, picture)
    assert skew(sound, picture, 2.0, 20) <= 0.0201


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
@pytest.mark.parametrize("first_report", [1.0, 1e9])
def test_drift_is_followed(drift: float, first_report: float) -> None:
    clock = ParticipantClock()
    sound = audio(clock, drift=drift, first_report=first_report)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03, drift=drift, first_report=first_report)
    run(120, sound, picture)
    assert skew(sound, picture, 0, 120) <= 0.005
    assert all(abs(offset - 0.03) <= 0.005 for offset in sound.offsets(30, 120))


def test_noise_in_the_reports_is_smoothed() -> None:
    clock = ParticipantClock()
    sound = audio(clock)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03, jitter=0.05, report_error=0.02)
    run(60, sound, picture)
    assert skew(sound, picture, 5, 60) <= 0.02
    assert all(abs(step) <= 0.005 * (1 / 30 + 0.05) for step in steps(picture)[30:])


@pytest.mark.parametrize("change", [-3600.0, -1.0, 1.0, 86400.0])
def test_a_sender_that_sets_its_clock_changes_nothing(change: float) -> None:
    clock = ParticipantClock()
    sound = audio(clock)
    sound.wall_set = (10.0, change)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03, wall_set=(10.0, change))
    run(30, sound, picture)
    assert skew(sound, picture, 0, 30) <= 0.001
    assert max(map(abs, steps(sound) + steps(picture))) <= 0.0002


@pytest.mark.parametrize("reports", [True, False])
def test_a_pause_in_the_media_becomes_a_gap(reports: bool) -> None:
    clock = ParticipantClock()
    first_report = 1.0 if reports else 1e9
    sound = audio(clock, first_report=first_report)
    picture = Sender(clock.track("v", 90000), 1 / 30, 0.03, first_report=first_report, pause=(10.0, 5.0))
    run(60, sound, picture)
    assert skew(sound, picture, 0, 9) <= 0.001
    assert skew(sound, picture, 18 if reports else 36, 60) <= 0.02


def test_timestamps_that_leap_go_on_by_arrival() -> None:
    clock = ParticipantClock()
    track = clock.track("v", 90000)
    assert track.time(1000, 10.0) == pytest.approx(10.0)
    assert track.time(1000 + 90000, 11.0) == pytest.approx(11.0)
    track.sender_report(NTP, 1000 + 90000, 11.0)
    assert track.synchronised
    assert track.time(1 << 40, 11.5) == pytest.approx(11.5)
    assert not track.synchronised
    assert track.time((1 << 40) + 9000, 11.6) == pytest.approx(11.6)


def test_restart_goes_on_by_arrival() -> None:
    track = ParticipantClock().track("v", 90000)
    assert track.time(90000, 10.0) == pytest.approx(10.0)
    assert track.time(180000, 10.9) == pytest.approx(11.0, abs=0.005)
    track.restart()
    assert track.time(180001, 12.9) == pytest.approx(13.0, abs=0.005)


def test_a_burst_after_an_outage_keeps_its_times() -> None:
    track = ParticipantClock().track("v", 90000)
    out = []
    for index in range(300):
        captured = index / 30
        out.append(track.time(index * 3000, 8.0 if 3 <= captured < 8 else captured))
    assert all(time == pytest.approx(index / 30, abs=0.001) for index, time in enumerate(out))


def test_a_report_before_the_first_packet_counts() -> None:
    clock = ParticipantClock()
    track = clock.track("v", 90000)
    track.sender_report(NTP, 0xFFFFFFFF, 10.0)
    assert not track.synchronised
    assert track.time(0x1_0000_0000, 10.1) == pytest.approx(10.1)
    assert track.synchronised


@pytest.mark.parametrize(
    ("ntp", "timestamp"),
    [(0.0, 90000), (-1.0, 90000), (float("nan"), 90000), (float("inf"), 90000), (NTP, 90000 * 100), (NTP, 1 << 31)],
)
def test_useless_reports_are_passed_over(ntp: float, timestamp: int) -> None:
    track = ParticipantClock().track("v", 90000)
    track.time(90000, 10.0)
    track.sender_report(ntp, timestamp, 10.0)
    assert not track.synchronised
    track.sender_report(NTP, 90000, 10.0)
    assert track.synchronised


def test_reports_of_another_clock_do_not_tie_the_track() -> None:
    clock = ParticipantClock()
    sound, picture = clock.track("a", 48000), clock.track("v", 90000)
    sound.time(0, 10.0)
    picture.time(0, 10.0)
    sound.sender_report(NTP, 0, 10.0)
    picture.sender_report(NTP - 3600, 0, 10.0)
    assert sound.synchronised
    assert not picture.synchronised
    assert sound.time(48000, 11.0) == pytest.approx(11.0)
    assert picture.time(90000, 11.0) == pytest.approx(11.0)


def test_tracks_are_kept_by_key_and_bounded() -> None:
    clock = ParticipantClock()
    first = clock.track(0, 90000)
    assert clock.track(0, 90000) is first
    second = clock.track(0, 48000)
    assert second is not first
    clock.forget(0)
    clock.forget("never seen")
    kept = clock.track(0, 48000)
    assert kept is not second
    for key in range(1, MAX_TRACKS):
        clock.track(key, 90000)
    assert clock.track(0, 48000) is kept
    clock.track("one more", 90000)
    assert clock.track(0, 48000) is not kept
    with pytest.raises(ValueError, match="clock rate"):
        clock.track("x", 0)


EVENTS = st.tuples(
    st.integers(0, 1), st.booleans(), st.integers(-(10**6), 10**7), st.floats(allow_nan=True), st.floats(0, 10)
)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_comes_times_never_go_back(events: list[tuple[int, bool, int, float, float]]) -> None:
    clock = ParticipantClock()
    last = [float("-inf")] * 2
    timestamps = [1 << 32] * 2
    now = 0.0
    for track, report, step, ntp, pause in events:
        now += pause
        if report:
            clock.track(track, 90000).sender_report(ntp, step, now)
            continue
        timestamps[track] += step
        time = clock.track(track, 90000).time(timestamps[track], now)
        assert time >= last[track]
        last[track] = time


@dataclass
class Busy:
    """A track of a sender that cannot keep up now and then, and whose reports tell when packets left.

    And not when what is in them was captured, as aiortc's do. `behind`: from when on, for how long, by how many seconds
    at most.
    """

    clock: TrackClock
    interval: float
    behind: list[tuple[float, float, float]]
    out: dict[int, float] = field(default_factory=dict)
    """What came out minus capture time, by tenth of a second."""

    def events(self, seconds: float, chance: random.Random) -> Iterator[tuple[float, int, float]]:
        """When each packet, and each report (as -1), arrives, and what was captured when; in order."""
        left, report = 0.0, 0.7
        before: tuple[float, float] | None = None
        for number in range(int(seconds / self.interval)):
            captured = number * self.interval
            left = max(left, captured + max((self._late(captured, *each) for each in self.behind), default=0.0))
            while report < left:
                report += chance.uniform(0.5, 1.5)
                if before is not None:
                    yield before[0] + 0.02, -1, before[1]
            before = (left, captured)
            yield left + 0.02, number, captured

    def _late(self, at: float, start: float, length: float, most: float) -> float:
        passed = (at - start) / length
        return 0.0 if not 0 <= passed <= 1 else most * passed if passed < 0.8 else most * (1 - passed) * 4

    def take(self, at: float, number: int, captured: float) -> None:
        timestamp = round(captured * self.clock.clock_rate)
        if number < 0:
            self.clock.sender_report(NTP + at - 0.02, timestamp, LOCAL + at)
        else:
            self.out[int(captured * 10)] = self.clock.time(timestamp, LOCAL + at) - LOCAL - captured


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_sender_that_falls_behind_and_catches_up_is_in_sync_again(seed: int) -> None:
    """Its reports leap there and back, on each track by another amount; no leap is taken for a clock that was set."""
    chance, clock = random.Random(seed), ParticipantClock()
    starts = [chance.uniform(5, 200) for _ in range(6)]
    tracks = [
        Busy(
            clock.track(name, rate),
            interval,
            [(start + chance.uniform(0, 0.5), chance.uniform(2, 8), chance.uniform(0, 4)) for start in starts],
        )
        for name, rate, interval in (("sound", 48000, 0.02), ("pictures", 90000, 1 / 30))
    ]
    streams = [[(*event, track) for event in track.events(240, chance)] for track in tracks]
    for at, number, captured, track in heapq.merge(*streams, key=lambda event: event[0]):
        track.take(at, number, captured)
    sound, pictures = (track.out for track in tracks)
    late = [second for second in sound.keys() & pictures.keys() if second > 2300]
    assert len(late) > 80
    assert max(abs(sound[second] - pictures[second]) for second in late) < 0.02
