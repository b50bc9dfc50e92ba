"""The command runs on uvloop, whose C library keeps a pipe for the life of the process: here it has it beforehand."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _libuv() -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.new_event_loop().close()
