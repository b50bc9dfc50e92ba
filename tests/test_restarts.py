"""When a bot begins again, and how the pauses grow."""

from __future__ import annotations

import pytest

from peer.errors import UsageError
from peer.restarts import Restarts


@pytest.mark.parametrize(
    ("policy", "failed", "again"),
    [
        ("never", True, False),
        ("never", False, False),
        ("on-failure", True, True),
        ("on-failure", False, False),
        ("always", True, True),
        ("always", False, True),
    ],
)
def test_what_each_policy_means(policy: str, failed: bool, again: bool) -> None:
    assert (Restarts(policy).after(failed=failed, ran=1) is not None) is again


def test_the_pauses_grow_up_to_a_minute_and_are_short_again_after_a_good_run() -> None:
    restarts = Restarts("on-failure")
    assert [restarts.after(failed=True, ran=0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert restarts.after(failed=True, ran=60) == 1
    assert restarts.after(failed=True, ran=0.1) == 2


def test_another_policy_there_is_not() -> None:
    with pytest.raises(UsageError, match="restart=sometimes is unknown; use never, on-failure, always"):
        Restarts("sometimes")
