"""Media for the tests of this folder, encoded once and before any event loop runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.recording import synthetic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def _encoded(run_folder: Path) -> None:
    synthetic.encode_all(run_folder / "synthetic")
