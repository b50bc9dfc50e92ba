"""What the command changes in its process is taken back here: logging, signals, the environment."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import pytest

from peer import logs
from tests.cli.command import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *logs.OURS, *logs.NARRATED)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for line_handler in [one for one in root.handlers if isinstance(one, logs.LineHandler)]:
        root.removeHandler(line_handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
