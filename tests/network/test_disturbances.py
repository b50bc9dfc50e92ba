"""A connection outlives outages, new addresses and loss; who vanishes is missed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.network.disturbances import Outcome, Trouble, longest_gap
from tests.network.nat import Kind
from tests.network.schedule import ENGINE, browser_troubles, call_troubles, troubles

if TYPE_CHECKING:
    from tests.network.conftest import Measured

NOTICED_SECONDS = 3.5
"""`disconnected` is due 3 s after the network went away; half a second more for a busy machine."""
BACK_SECONDS = 2.5
"""Media is due half a second after the network is back; two more for a busy machine."""
CHROMIUM_HOLDS_ON = 2.5
"""Told of our new address, Chromium goes on over the path that is dead in 1 of 10 runs, until it has heard nothing over
it for so long. On the wire the other one is checked by both and nominated after 0.6 s, and our media comes over it."""
BACK_OVER_TCP_SECONDS = 8.0
"""A TCP connection to a relay sends again only after a pause that grows with the outage."""

TROUBLES = [*troubles((ENGINE, ENGINE)), *([*browser_troubles(), *call_troubles()] if ENGINE == "peer" else [])]


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_disturbance(trouble: Trouble, measured: Measured) -> None:
    outcome = measured.outcomes[trouble]
    assert outcome.connected, outcome.troubles
    assert outcome.troubles == []
    if trouble.what == "vanish":
        _missed(outcome)
        return
    assert outcome.final == ["connected", "connected"], outcome
    if "call" in trouble.row.engines:
        assert all(texts == list(range(len(texts))) for texts in outcome.texts), "a text was lost, or came twice"
    if trouble.what == "loss":
        assert all(share > 0.25 for streams in outcome.share for share in streams.values()), outcome.share
        return
    if trouble.what == "outage":
        _noticed(trouble, outcome)
    _back(trouble, outcome)


def _missed(outcome: Outcome) -> None:
    after, failed = outcome.disconnected_after[1], outcome.failed_after[1]
    assert after is not None
    assert after < NOTICED_SECONDS
    assert outcome.final[1] == "failed"
    assert failed is not None
    assert outcome.sentences != []


def _noticed(trouble: Trouble, outcome: Outcome) -> None:
    ours = [
        after
        for engine, after in zip(trouble.row.engines, outcome.disconnected_after, strict=True)
        if engine != "chromium"
    ]
    if trouble.seconds >= NOTICED_SECONDS:
        assert all(after is not None and after < NOTICED_SECONDS for after in ours), outcome.disconnected_after
    elif trouble.seconds <= 1:
        assert ours == [None] * len(ours)


def _back(trouble: Trouble, outcome: Outcome) -> None:
    """Media flows again, both ways, and nothing but the outage itself was missed."""
    limit = BACK_OVER_TCP_SECONDS if Kind.UDP_BLOCKED in (trouble.row.first, trouble.row.second) else BACK_SECONDS
    if trouble.what == "new LAN address" and "chromium" in trouble.row.engines:
        limit += CHROMIUM_HOLDS_ON
    if trouble.what == "new WAN address":
        limit = trouble.after  # nobody is told: it has to be missed first
    streams = [(name, gap) for gaps in outcome.gaps for name, gap in gaps.items() if name != "ping"] or [
        (name, gap) for gaps in outcome.gaps for name, gap in gaps.items()
    ]
    late = [(name, gap) for name, gap in streams if gap > trouble.seconds + limit]
    assert late == [], outcome


def test_the_longest_gap_counts_the_ends_of_the_window() -> None:
    assert longest_gap([1.0, 2.0, 5.0, 6.0], 1.5, 6.5) == 3.0
    assert longest_gap([1.0, 2.0], 1.5, 6.5) == 4.5
    assert longest_gap([], 1.5, 6.5) == 5.0
    assert longest_gap([0.0, 6.0], 1.5, 6.5) == 6.0
