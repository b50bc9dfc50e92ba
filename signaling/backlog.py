"""What was sent to one member and it has not said to have got, numbered from 1 on. No I/O, no clock.

Overflow policy: the oldest go. A member that misses one of those cannot resume its place and has to join.
"""

from __future__ import annotations

from typing import Final

_NUMBER: Final = b'{"n":%d,'


class Backlog:
    """The last at most `max_messages` payloads of at most `max_bytes` together."""

    __slots__ = ("_bytes", "_kept", "_max_bytes", "_max_messages", "last")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.last = 0
        """The number of the newest payload; 0 before the first."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._kept: list[bytes] = []  # a list: mostly short, and much smaller than a deque when it is empty
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def kept(self) -> list[bytes]:
        """A copy of what is kept, the oldest first."""
        return list(self._kept)

    def restore(self, last: int, kept: list[bytes]) -> None:
        """Goes on where another backlog was."""
        self.last, self._kept, self._bytes = last, list(kept), sum(map(len, kept))

    def append(self, payload: bytes) -> int:
        """Keeps a payload and returns its number."""
        self.last += 1
        self._kept.append(payload)
        self._bytes += len(payload)
        while len(self._kept) > self._max_messages or self._bytes > self._max_bytes:
            self._forget(1)
        return self.last

    def acknowledge(self, got: int) -> None:
        """Forgets everything up to the number `got`."""
        if got <= self.last:
            self._forget(max(0, got - self._before))

    def since(self, got: int) -> list[tuple[int, bytes]] | None:
        """What came after the number `got`, with its numbers; None if that is not all there any more."""
        if not self._before <= got <= self.last:
            return None
        return list(enumerate(self._kept[got - self._before :], got + 1))

    @property
    def _before(self) -> int:
        """The number before the oldest that is kept."""
        return self.last - len(self._kept)

    def _forget(self, count: int) -> None:
        self._bytes -= sum(map(len, self._kept[:count]))
        del self._kept[:count]


def numbered(payload: bytes, number: int) -> bytes:
    """The JSON object `payload` with its number, without writing it anew."""
    return _NUMBER % number + payload[1:]
