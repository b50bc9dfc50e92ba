"""Log lines for machines: whole objects, ids as fields, nothing in them that logs must not hold."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from peer.jsonlogs import JsonFormatter, redacted


def line(message: str, *arguments: object, level: int = logging.INFO, error: bool = False, **extra: str) -> Any:
    record = logging.LogRecord(
        "signaling.hub", level, "hub.py", 1, message, arguments, sys.exc_info() if error else None
    )
    record.created = 0.5
    vars(record).update(extra)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_line() -> None:
    assert line('%s joined room "lab"\nas %r', "3b1f", "bob\x00", participant="3b1f", room="lab", other="x") == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "logger": "signaling.hub",
        "message": "3b1f joined room \"lab\"\nas 'bob\\x00'",
        "participant": "3b1f",
        "room": "lab",
    }


def test_an_error_says_what_and_where() -> None:
    try:
        raise ValueError("of 192.0.2.7")
    except ValueError:
        found = line("a mistake", level=logging.ERROR, error=True)
    assert (found["level"], found["error"]) == ("error", "ValueError: of [address]")
    assert found["at"][-1].startswith(__file__)


@pytest.mark.parametrize(("text", "shown"), [
    ("from 192.0.2.7:4711 and [2001:db8::1]", "from [address]:4711 and [[address]]"),
    ("::1 fe80::1%eth0 2001:db8:0:0:0:0:0:1", "[address] [address] [address]"),
    ("at 12:30 in signaling.hub: a::b", "at 12:30 in signaling.hub: [address]"),
    ("offer v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\n", "offer [description]"),
    ("offer 'v=0\\r\\no=- 1'", "offer '[description]"),
    ("candidate:1 1 udp 2122260223 192.0.2.7 50124 typ host", "[candidate]"),
    ("Authorization: Bearer abc.def", "Authorization: Bearer [token]"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln here", "token [token] here"),
    ("turn:me:secret@turn.example.org", "turn:***@turn.example.org"),
    ("version 1.2.3 of 10 rooms: 3b1f0c6d92a7e458", "version 1.2.3 of 10 rooms: 3b1f0c6d92a7e458"),
])  # fmt: skip
def test_what_no_log_may_hold(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_line_ends_somewhere() -> None:
    assert len(redacted("x" * 100_000)) == 2000
