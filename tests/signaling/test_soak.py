"""The soak of bench/serversoak.py for some seconds: behaviour only, of memory so short a time says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "serversoak.py"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_nothing_is_lost_and_nothing_left_behind_among_strangers() -> None:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.1", "--rate", "8", "--messages", "80"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
