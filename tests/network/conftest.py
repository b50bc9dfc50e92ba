"""The laboratory for the tests in this folder: root, iproute2, nftables and coturn are needed."""

from __future__ import annotations

import os

import pytest

from tests.harness.tools import require, unavailable


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: needs root, iproute2, nftables and coturn")


@pytest.fixture(scope="session")
def laboratory() -> None:
    """Skips what needs the laboratory where it cannot be built (fails it in CI)."""
    require("ip", "nft", "turnserver")
    if os.geteuid() != 0:
        unavailable("network namespaces need root; run: sudo .venv/bin/pytest tests/network")
