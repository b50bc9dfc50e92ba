"""Log lines as JSON objects, for machines that collect them: with ids, without descriptions, addresses or tokens. Pure.

What our own code says is made so; what libraries say, or the text of an exception, is blackened here as well.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Final

FIELDS: Final = ("participant", "room", "node")
"""What a line may carry of its own (`extra=`): ids and names, by which lines are found."""

_MAX_TEXT: Final = 2000
_SECRETS: Final = (
    (re.compile(r"v=0(?:\r\n|\n|\\r\\n|\\n).*", re.DOTALL), "[description]"),
    (re.compile(r"candidate:\S+ \d+ \S+ .*"), "[candidate]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic) +[\w.~+/=-]+"), r"\1 [token]"),
    (re.compile(r"(?i)((?:stun|turn)s?:)[^\s\"]*@"), r"\1***@"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "[address]"),
    (re.compile(r"(?i)(?<![\w:.])(?=[0-9a-f:]*:[0-9a-f]*:)[0-9a-f:]{3,}(?:%\w+)?(?![\w:])"), "[address]"),
)


class JsonFormatter(logging.Formatter):
    """`{"time": "2026-01-31T12:00:00.123Z", "level": "info", "logger": "signaling.hub", "message": "..."}` and more.

    Of an error: `error` (its class and text) and `at` (file:line of each step, outermost first).
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),  # RFC 3339
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = redacted(f"{type(error).__name__}: {error}")
            line["at"] = [f"{step.filename}:{step.lineno}" for step in traceback.extract_tb(error.__traceback__)]
        return json.dumps(line, ensure_ascii=False)


def redacted(text: str) -> str:
    """`text`, shortened, without what may be a session description, candidate, address, token or password."""
    text = text[:_MAX_TEXT]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
