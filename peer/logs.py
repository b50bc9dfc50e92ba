"""How the command logs: our own words in plain lines on standard error, everybody else only when asked."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from peer.errors import UsageError
from peer.jsonlogs import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

OURS: Final = ("peer", "signaling")
NARRATED: Final = ("peer.room", "signaling")
"""Loggers whose information `peer.calling` tells in better words, or that only a server is there to tell."""
LEVELS: Final = ("debug", "info", "warning", "error")
"""What PEER_LOG may say."""
CONTROLS: Final = {code: "?" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Characters that steer a terminal: a line may hold what somebody else wrote."""


class PlainFormatter(logging.Formatter):
    """`12:00:01 alice hung up after 31 s`; what is worse than information says so; no traceback, but its last line."""

    def format(self, record: logging.LogRecord) -> str:
        text = " ".join(record.getMessage().splitlines())
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f" ({type(error).__name__}: {error}; -v shows where)"
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {text}"


class LineHandler(logging.Handler):
    """Hands each line to `write`, which a live status line on the terminal may replace."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record).translate(CONTROLS))
        except Exception:
            self.handleError(record)


def set_up(
    *, verbose: int = 0, quiet: bool = False, narrated: tuple[str, ...] = NARRATED, as_json: bool = False
) -> LineHandler:
    """Log to standard error. `verbose` 1 shows all of ours, 2 that of the libraries too; `quiet` warnings only.

    Without either the level of PEER_LOG counts, else information; of the loggers `narrated` elsewhere, warnings only.
    `as_json`: one object a line (`peer.jsonlogs`). Raises UsageError when PEER_LOG is no level.
    """
    level = _level(verbose, quiet)
    handler = LineHandler(_to_stderr)
    handler.setFormatter(
        JsonFormatter()
        if as_json
        else logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        if level <= logging.DEBUG
        else PlainFormatter()
    )
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old, LineHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose > 1 else max(logging.WARNING, level))
    for name in {*OURS, *NARRATED}:
        logging.getLogger(name).setLevel(
            max(level, logging.WARNING) if name in narrated and level > logging.DEBUG else level
        )
    return handler


def _level(verbose: int, quiet: bool) -> int:
    if verbose:
        return logging.DEBUG
    if quiet:
        return logging.WARNING
    text = os.environ.get("PEER_LOG", "info").lower()
    if text not in LEVELS:
        raise UsageError(f"PEER_LOG={text!r} in the environment is no level; use one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[text.upper()]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
