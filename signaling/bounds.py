"""Bounds on what a message may hold that its structure alone does not say. No I/O, no clock."""

from __future__ import annotations

import re
from typing import Any, Final

from signaling.codes import Code, ProtocolError

MAX_LABEL: Final = 64  # characters of a room, a name, an id, a session
MAX_DEPTH: Final = 64  # of arrays and objects inside each other in the data of a message

# Control characters, line separators and the marks that turn the direction of writing: a name is shown to people.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_ARRAY: Final = ord("[")


def check_label(field: str, value: str) -> None:
    """Raises ValueError if `value` cannot be the name of a room or a participant."""
    if not 1 <= len(value) <= MAX_LABEL:
        raise ValueError(f"`{field}` has {len(value)} characters, use 1 to {MAX_LABEL}")
    if value != value.strip() or _UNPRINTABLE.search(value):
        raise ValueError(f"`{field}` has control characters or outer spaces, leave them out")


def check_depth(raw: bytes, data: Any) -> None:
    """Readers in other languages give up early (many at 64), so the sender learns it, not the receiver."""
    if not isinstance(data, (dict, list)):
        return
    arrays = raw.count(b"[") if _ARRAY in raw else 0  # to look for one byte is much faster than to count it
    if arrays + raw.count(b"{") <= MAX_DEPTH:
        return
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    text = f"The data of the message is nested deeper than {MAX_DEPTH}; send flatter data."
    raise ProtocolError(Code.BAD_MESSAGE, text)
