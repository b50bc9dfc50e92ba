"""WebSocket frames (RFC 6455, section 5): what a client sends taken apart, what it gets put together. Pure.

A reader holds at most the frame or message that is under way, whose announced size is checked before any of it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009  # section 7.4.1

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FINAL | TEXT
_MAX_CONTROL: Final = 125
_MASK_BYTES: Final = 4
_DATA: Final = frozenset(final | kind for final in (0, _FINAL) for kind in (CONTINUATION, TEXT, BINARY))
_CONTROL: Final = frozenset(_FINAL | kind for kind in (CLOSE, PING, PONG))  # they are never fragmented (section 5.4)
_CLOSE_CODES: Final = frozenset(range(1000, 1015)) - {1004, 1005, 1006}  # that may be in a frame, beside 3000 to 4999

_SHORT: Final = Struct(">BB")
_MEDIUM: Final = Struct(">BBH")
_LONG: Final = Struct(">BBQ")

# A mask times this is the mask, repeated for so many 4 bytes.
_REPEAT: Final = [sum(1 << 32 * at for at in range(count)) for count in range(257)]


@dataclass(frozen=True, slots=True)
class Violation:
    """Why the frames of a client cannot be read any further: the close code to tell it, and a sentence."""

    close_code: int
    text: str


class FrameReader:
    """Takes the frames of one client apart; messages have at most `max_bytes`. After a violation it reads no more."""

    __slots__ = ("_held", "_kind", "_max_bytes", "_needed", "_parts", "violation")

    def __init__(self, max_bytes: int) -> None:
        self.violation: Violation | None = None
        """What was wrong with what came after the messages that `read` has returned."""
        self._max_bytes = max_bytes
        self._held: bytearray | None = None  # the beginning of a frame
        self._needed = 0  # bytes of it without which reading on is of no use
        self._kind = CONTINUATION  # of the message that is under way in fragments; CONTINUATION: none is
        self._parts = bytearray()

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages and control frames that are complete with this: kind and payload. Text is valid UTF-8."""
        if self.violation is not None:
            return []
        if self._held is not None:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data, self._held = bytes(self._held), None
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while at < end:
            start, size = self._head(data, at, end)
            if self.violation is not None:
                break
            if start + size > end:
                self._held, self._needed = bytearray(data[at:]), start + size - at
                break
            first, payload = data[at], unmasked(data[start - _MASK_BYTES : start + size])
            at = start + size
            if first == _WHOLE_TEXT and self._kind == CONTINUATION and payload.isascii():  # as nearly always
                found.append((TEXT, payload))
            elif (message := self._take(first, payload)) is not None:
                found.append(message)
        return found

    def _head(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Where the payload of the frame at `at` begins, and its size; both at least, if not all of the head is there.

        What is wrong with the head makes a violation.
        """
        if end - at < 2:
            return at + 2, 0
        first, second = data[at], data[at + 1]
        start, size = at + 2 + _MASK_BYTES, second & 0x7F
        if size > _MAX_CONTROL:
            after = at + (4 if size == 126 else 10)
            if end < after:
                return after, 0
            start, size = after + _MASK_BYTES, int.from_bytes(data[at + 2 : after])
        if size > self._max_bytes or first != _WHOLE_TEXT or second < _MASKED:
            self._check(first, size, masked=second >= _MASKED)
            if self.violation is not None:
                return at, 0
        return start, size

    def _check(self, first: int, size: int, *, masked: bool) -> None:
        if first not in _DATA and first not in _CONTROL:
            self._violated(PROTOCOL_ERROR, "no frame begins like this")
        elif not masked:
            self._violated(PROTOCOL_ERROR, "a client masks its frames")  # section 5.1
        elif first in _CONTROL and size > _MAX_CONTROL:
            self._violated(PROTOCOL_ERROR, "a control frame is short")  # section 5.5
        elif size > self._max_bytes:
            self._violated(TOO_BIG, "the message is too large")

    def _take(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """What a frame completes."""
        kind = first & 0x0F
        if first in _CONTROL:
            if kind == CLOSE:
                self._check_close(payload)
        elif (kind == CONTINUATION) != (self._kind != CONTINUATION):
            self._violated(PROTOCOL_ERROR, "fragments of a message belong together")
        else:
            if kind == CONTINUATION or not first & _FINAL:
                self._collect(kind, payload)
                if not first & _FINAL:
                    return None
                kind, payload = self._kind, bytes(self._parts)
                self._kind, self._parts = CONTINUATION, bytearray()
            if kind == TEXT and not _is_text(payload):
                self._violated(INVALID_TEXT, "the text is not UTF-8")
        return (kind, payload) if self.violation is None else None

    def _collect(self, kind: int, payload: bytes) -> None:
        """Takes a fragment."""
        if kind != CONTINUATION:
            self._kind = kind
        if len(self._parts) + len(payload) > self._max_bytes:
            self._violated(TOO_BIG, "the message is too large")
        else:
            self._parts += payload

    def _check_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2])
        if payload and not (len(payload) > 1 and (code in _CLOSE_CODES or 3000 <= code < 5000)):
            self._violated(PROTOCOL_ERROR, "this is no close code")
        elif not _is_text(payload[2:]):
            self._violated(INVALID_TEXT, "the reason is not UTF-8")

    def _violated(self, close_code: int, text: str) -> None:
        self.violation = Violation(close_code, text)
        self._parts.clear()


def frame(kind: int, payload: bytes) -> bytes:
    """A frame for a client: whole and unmasked."""
    size = len(payload)
    if size <= _MAX_CONTROL:
        return _SHORT.pack(_FINAL | kind, size) + payload
    if size < 1 << 16:
        return _MEDIUM.pack(_FINAL | kind, 126, size) + payload
    return _LONG.pack(_FINAL | kind, 127, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame, the last for a client; `reason` has at most 123 bytes."""
    return frame(CLOSE, code.to_bytes(2) + reason.encode())


def unmasked(masked: bytes) -> bytes:
    """The payload behind a mask of 4 bytes (section 5.3). Computed as one long number: the fast way in Python."""
    size = len(masked)
    words = (size + 3) // _MASK_BYTES
    number = int.from_bytes(masked, "little")
    if words < len(_REPEAT):
        mask = (number & 0xFFFFFFFF) * _REPEAT[words]
    else:
        mask = int.from_bytes(masked[:_MASK_BYTES] * words, "little")
    return (number ^ mask).to_bytes(words * _MASK_BYTES, "little")[_MASK_BYTES:size]


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
