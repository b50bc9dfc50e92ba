"""Media for the tests of this folder, encoded once and before any event loop runs."""

from __future__ import annotations

import pytest

from tests.recording import synthetic


@pytest.fixture(scope="session", autouse=True)
def _encoded() -> None:
    synthetic.encode_all()
