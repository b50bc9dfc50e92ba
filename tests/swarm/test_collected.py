"""What processes tell, put together: the bots, the course, crashes, and what is wrong with whom."""

from __future__ import annotations

from typing import Any

import pytest

from peer.swarm.collected import MAX_POINTS, STALE, Collected, Flow, Totals
from peer.swarm.figures import Figures
from peer.swarm.plan import Plan, seats
from tests.swarm.samples import URL, bot, collected, told


def of(**changes: Any) -> Plan:
    return Plan(url=URL, **{"bots": 4, **changes})


def test_the_newest_figures_of_each_bot_count() -> None:
    found = collected(of(), bot(0), bot(1, state="joined"))
    assert [each.state for each in found.bots] == ["in call", "joined", "waiting", "waiting"]
    found.take(0, told(bot(1)), 101.0)
    assert found.count("in call") == 2
    found.take(0, told(bot(99)), 101.0)
    assert len(found.bots) == 4, "whom nobody knows is passed over"


def test_the_ramp_is_kept_apart() -> None:
    found = Collected(seats(of(ramp=1.0)), 1, settle=2.0)
    assert (found.complete_at, found.settled_at) == (3.0, 5.0)
    found.take(0, told(bot(0), lags=(0.5,)), 4.0)
    found.take(0, told(bot(0), lags=(0.1,)), 6.0)
    found.take(0, told(bot(0), lags=(), last=True), 6.1)
    (process,) = found.processes
    assert (process.ramp_lags.max, process.lags.max) == (0.5, 0.1)
    assert (process.cpu, process.seconds) == (0.5, 1.0), "the last one is of a moment"


def test_the_course() -> None:
    found = Collected(seats(of()), 1)
    found.take(0, told(bot(0), bot(1, state="failed"), lags=(0.03,), latencies=(0.07,), cpu=0.25), 1.0)
    found.tick(1.0, 0.5)
    found.take(0, told(bot(0, bytes_in=1_250_000, frames=330, packets=1090, lost=20), bot(1, state="failed")), 2.0)
    found.tick(2.0)
    first, second = found.points
    assert (first.begun, first.joined, first.in_call, first.failed) == (2, 1, 1, 1)
    assert (first.lag, first.cpu, first.machine) == (0.03, 0.25, 0.5) and first.latency == pytest.approx(0.07)
    assert (second.bitrate_in, second.fps) == (2_000_000.0, 30.0) and second.loss == pytest.approx(10 / 110)
    assert second.machine is second.latency is None and second.lag == 0.002


def test_a_long_course_has_fewer_points() -> None:
    found = Collected(seats(of()), 1)
    for second in range(1, 3 * MAX_POINTS):
        found.take(0, told(bot(0, frames=second * 30), lags=(0.5 if second == 100 else 0.001,)), float(second))
        found.tick(float(second))
    assert MAX_POINTS / 2 <= len(found.points) <= MAX_POINTS
    assert [point.at for point in found.points] == sorted(point.at for point in found.points)
    assert found.points[-1].at > 3 * MAX_POINTS - 5 and max(point.lag for point in found.points) == 0.5
    assert {round(point.fps) for point in found.points} == {30}


def test_a_process_that_ends_takes_its_bots_with_it() -> None:
    found = collected(of(processes=2), *(bot(number) for number in range(4)))
    lost = found.crashed(1, "ended by SIGKILL", 12.3456, again=True)
    assert [seat.number for seat in lost] == [2, 3] and found.crashes == 1
    assert [each.state for each in found.bots] == ["in call", "in call", "crashed", "crashed"]
    assert found.trouble(lost[0]) == "ended by SIGKILL"
    (crash,) = found.processes[1].crashes
    assert (crash.at, crash.again) == (12.35, True)
    assert found.processes[1].flow == Flow()
    found.take(1, told(bot(2, bytes_in=1000), bot(3, bytes_in=0)), 20.0)
    assert found.trouble(lost[0]) == "" and found.processes[1].flow.bytes_in == 1000, "they began at nothing again"


def test_what_flows_is_never_less_than_nothing() -> None:
    assert Flow.between(Totals(lost=5), Totals(lost=3, frames=30), 2.0) == Flow(frames=15)


def test_reports_that_are_out_of_step_with_the_course() -> None:
    """A point between two reports of a process is no dip."""
    found = Collected(seats(of(processes=2)), 2)
    for second in (1, 2, 3):
        found.take(0, told(bot(0, frames=30 * second), bot(1, frames=0)), second)
        found.tick(second + 0.1)
        found.take(1, told(bot(2, frames=30 * second), bot(3, frames=0)), second + 0.2)
    assert [point.fps for point in found.points] == [30, 60, 60]
    found.tick(3.1 + STALE)
    assert found.points[-1].fps == 30
    found.tick(3.5 + STALE)
    assert found.points[-1].fps == 0, "what flows to a process that says nothing, nobody knows"


def test_a_process_that_tells_nothing_is_late() -> None:
    found = Collected(seats(of()), 1)
    found.tick(1.0)
    found.take(0, told(bot(0), lags=(0.003,)), 1.5)
    for at in (2.0, 3.0, 4.0):
        found.tick(at)
    assert [point.lag for point in found.points] == [0.0, 0.003, 0.5, 1.5]


@pytest.mark.parametrize(
    ("figures", "plan", "trouble"),
    [
        (bot(0), of(), ""),
        (Figures(number=0), of(), ""),
        (bot(0, state="done"), of(script="x.py"), ""),
        (bot(0, state="joined", calls=0), of(script="x.py"), ""),
        (bot(0, state="joined", calls=0), of(calls="none"), ""),
        (Figures(number=0, state="joining"), of(), "the signaling server has not let it in yet"),
        (bot(0, state="failed", error="room full"), of(), "room full"),
        (bot(0, state="calling", calls=0), of(), "in 0 of 1 calls: bot-002 has not answered yet"),
        (bot(0, state="joined", calls=0, error="no answer"), of(), "in 0 of 1 calls: no answer"),
        (bot(1, state="joined", calls=0), of(), "in 0 of 1 calls: nobody has called it"),
        (
            bot(3, state="joined", calls=2),
            of(calls="mesh"),
            "in 2 of 3 calls: bot-001, bot-002, bot-003 has not answered yet",
        ),
    ],
)
def test_what_is_wrong_with_a_bot(figures: Figures, plan: Plan, trouble: str) -> None:
    found = collected(plan, figures)
    assert found.trouble(found.seats[figures.number]) == trouble
