"""Small pictures leave at once, large ones little by little; sound never waits; nothing waits for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.pacer import AGAIN, BURST, FACTOR, MAX_WAITING, MOST_DELAY, PICTURE, SOUND, TICK, Pacer

TARGET = 1_000_000


def offer(pacer: Pacer, size: int, urgency: int = PICTURE, now: float = 0.0) -> bool:
    if pacer.admit([size], urgency, now):
        return True
    pacer.wait(bytes(size), urgency)
    return False


def leave(pacer: Pacer, now: float = 0.0) -> list[tuple[float, bytes]]:
    """All that waits, and when it leaves."""
    found: list[tuple[float, bytes]] = []
    while (due := pacer.due(now)) is not None:
        now = due
        found += [(now, data) for data, _ in pacer.release(now)]
    return found


def test_a_picture_of_usual_size_leaves_at_once() -> None:
    pacer = Pacer(TARGET)
    for frame in range(30):
        now = frame / 30
        assert all(offer(pacer, 1000, now=now) for _ in range(4))  # 32 kbit of 33
        assert pacer.due(now) is None


def test_of_several_packets_so_many_leave_at_once_as_one_by_one() -> None:
    together, single = Pacer(TARGET), Pacer(TARGET)
    sizes = [1000] * 20
    count = together.admit(sizes, PICTURE, 0.0)
    assert 0 < count < 20
    assert count == sum(single.admit([size], PICTURE, 0.0) for size in sizes)
    assert together.admit([100], SOUND, 0.0) == 1


def test_a_large_one_leaves_at_the_pace() -> None:
    pacer = Pacer(TARGET)
    admitted = sum(offer(pacer, 1000) for _ in range(50))
    assert 4 <= admitted <= 6
    assert pacer.waiting == 1000 * (50 - admitted)
    left = leave(pacer)
    assert len(left) == 50 - admitted
    assert left[-1][0] == pytest.approx(50 * 8000 / (FACTOR * TARGET) - BURST, abs=2 * TICK)
    gaps = [after - before for (before, _), (after, _) in zip(left, left[1:], strict=False)]
    assert all(gap == 0 or gap >= 0.99 * TICK for gap in gaps), "it does not wake for each packet"


def test_sound_does_not_wait_and_what_was_lost_goes_first() -> None:
    pacer = Pacer(TARGET)
    while offer(pacer, 1000):
        pass
    assert offer(pacer, 100, SOUND)
    pacer.wait(b"picture", PICTURE)
    assert not pacer.admit([5], AGAIN, 0.0)
    pacer.wait(b"again", AGAIN)
    assert pacer.release(1.0)[0] == (b"again", AGAIN)


def test_what_piles_up_leaves_faster() -> None:
    pacer = Pacer(100_000)
    for _ in range(100):
        offer(pacer, 1000)
    left = leave(pacer)
    half = next(at for number, (at, _) in enumerate(left) if number >= len(left) / 2)
    assert half < MOST_DELAY, "at its pace it would take 1.6 s"


def test_a_stream_that_is_faster_than_its_path_is_let_out() -> None:
    pacer, now, most = Pacer(300_000), 0.0, 0
    for _ in range(2000):
        offer(pacer, 1000, now=now)
        now += 8000 / 1_500_000
        pacer.release(now)
        most = max(most, pacer.waiting)
    assert most < 1.2 * MOST_DELAY * 1_500_000 / 8


def test_what_waits_is_bounded() -> None:
    pacer = Pacer(TARGET)
    for _ in range(MAX_WAITING + 2000):
        offer(pacer, 1000)
    assert len(pacer.release(0.0)) > 1000
    assert pacer.waiting == 1000 * MAX_WAITING


def test_what_waits_is_dropped_with_the_path() -> None:
    pacer = Pacer(TARGET)
    for _ in range(50):
        offer(pacer, 1000)
    pacer.clear()
    assert (pacer.waiting, pacer.due(0.0), pacer.release(9.0)) == (0, None, [])


@given(
    st.lists(st.tuples(st.integers(1, 1500), st.sampled_from([SOUND, AGAIN, PICTURE]), st.floats(0, 0.1)), max_size=200)
)
def test_everything_leaves_once(packets: list[tuple[int, int, float]]) -> None:
    pacer, now, gone = Pacer(TARGET), 0.0, 0
    for size, urgency, later in packets:
        now += later
        gone += size if offer(pacer, size, urgency, now) else 0
        gone += sum(len(data) for data, _ in pacer.release(now))
    assert gone + sum(len(data) for _, data in leave(pacer, now)) == sum(size for size, _, _ in packets)
