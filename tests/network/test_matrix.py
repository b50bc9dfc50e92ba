"""Every pair of networks that can connect with its servers does, by the best path there is; others fail and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.network.rows import DEADLINE_SECONDS, GRACE_SECONDS, Row
from tests.network.schedule import ENGINE, adverse_rows, browser_rows, matrix
from tests.network.theory import Path

if TYPE_CHECKING:
    from tests.network.conftest import Measured

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = [*matrix((ENGINE, ENGINE)), *adverse_rows((ENGINE, ENGINE)), *(browser_rows() if ENGINE == "peer" else [])]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, measured: Measured) -> None:
    result = measured.results[row]
    told = f"{row.expectation.reason}; {result.pairs} {result.sentences} {result.troubles}"
    assert result.path is row.expectation.path, told
    assert result.troubles == []
    if row.expectation.path is Path.NONE:
        assert result.failed_after is not None, told
        assert result.failed_after < DEADLINE_SECONDS + GRACE_SECONDS
        assert all(len(sentence) > 20 for sentence in result.sentences)
    else:
        assert result.first_message is not None, f"connected, but not heard: {told}"


def test_dead_servers_cost_nothing(measured: Measured) -> None:
    """They come first in the list; a server that is waited for costs seconds."""
    found = measured.results
    dead = [row for row in found if row.dead and "chromium" not in row.engines]
    if not dead:
        pytest.skip("no row with dead servers was selected")
    slow = [(row.name, found[row].seconds) for row in dead if (found[row].seconds or 99.0) > 2.0]
    assert slow == []
