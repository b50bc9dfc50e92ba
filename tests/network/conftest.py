"""The laboratory for the tests in this folder: root, iproute2, nftables and coturn are needed."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.harness.tools import require, unavailable
from tests.network import table
from tests.network.disturbances import Trouble
from tests.network.rows import Row
from tests.network.schedule import run_all


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: needs root, iproute2, nftables and coturn")


@pytest.fixture(scope="session")
def laboratory() -> None:
    """Skips what needs the laboratory where it cannot be built (fails it in CI)."""
    require("ip", "nft", "turnserver")
    if os.geteuid() != 0:
        unavailable("network namespaces need root; run: sudo .venv/bin/pytest tests/network")


class Measured:
    """What every test of this folder needs, run once and at the same time."""

    def __init__(self, rows: list[Row], troubles: list[Trouble]) -> None:
        results, outcomes = asyncio.run(run_all(rows, troubles))
        self.results = {result.row: result for result in results}
        self.outcomes = {outcome.trouble: outcome for outcome in outcomes}


_measured = pytest.StashKey[Measured]()


@pytest.fixture(scope="session")
def measured(laboratory: None, request: pytest.FixtureRequest) -> Measured:
    """Runs the rows and disturbances of all the tests that were selected, as many at a time as the machine can."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    rows = [each["row"] for each in parameters if isinstance(each.get("row"), Row)]
    troubles = [each["trouble"] for each in parameters if isinstance(each.get("trouble"), Trouble)]
    if any(
        "chromium" in engines for engines in [row.engines for row in rows] + [each.row.engines for each in troubles]
    ):
        require("chromium")
    found = Measured(list(dict.fromkeys(rows)), list(dict.fromkeys(troubles)))
    request.config.stash[_measured] = found
    return found


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(_measured, None)
    if found is not None:
        terminalreporter.section("network laboratory")
        terminalreporter.write(table.document(list(found.results.values()), list(found.outcomes.values())))
