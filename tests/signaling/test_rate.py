"""The rate limit: a burst, the average, the one warning a second, and the end when it goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling.rate import RateLimit, Verdict


def test_a_burst_then_one_word_then_silence_then_the_end() -> None:
    limit = RateLimit(per_second=10, burst=3, now=0.0)
    verdicts = [limit.judge(0.0) for _ in range(14)]
    assert verdicts == [*[Verdict.TAKE] * 3, Verdict.DROP_AND_SAY, *[Verdict.DROP] * 9, Verdict.CLOSE]


def test_the_average_is_taken_for_ever() -> None:
    limit = RateLimit(per_second=10, burst=2, now=0.0)
    assert {limit.judge(number / 10) for number in range(1000)} == {Verdict.TAKE}


def test_it_is_forgotten_after_a_quiet_second() -> None:
    limit = RateLimit(per_second=2, burst=1, now=0.0)
    for start in range(0, 100, 5):
        assert limit.judge(start) is Verdict.TAKE
        assert limit.judge(start) is Verdict.DROP_AND_SAY
        assert limit.judge(start) is Verdict.DROP


def test_a_little_too_much_for_long_ends_too() -> None:
    limit = RateLimit(per_second=10, burst=10, now=0.0)
    verdicts = [limit.judge(number / 15) for number in range(200)]
    assert Verdict.CLOSE in verdicts
    assert verdicts.index(Verdict.CLOSE) > 30
    assert verdicts.count(Verdict.DROP_AND_SAY) < 15


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_average(pauses: list[float], per_second: int, burst: int) -> None:
    limit = RateLimit(per_second, burst, now=5.0)
    now, taken = 5.0, 0
    for pause in pauses:
        now += pause
        taken += limit.judge(now) is Verdict.TAKE
    assert taken <= burst + (now - 5.0) * per_second + 1e-6
