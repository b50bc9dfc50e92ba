"""What was said and heard over the text channel of a call, so that another connection can go on where one broke. Pure.

A data channel is ordered and reliable, so a count is enough to know which messages arrived: the first so many.
"""

from __future__ import annotations

from collections import deque

MAX_KEPT = 2 << 20
"""Characters (or bytes) of sent messages that are kept; more than can be on their way, so those that go arrived."""


class TextAccount:
    """The texts of one call, over all of its connections."""

    def __init__(self) -> None:
        self.heard = 0
        """Messages of the other side that came so far."""
        self._said = 0
        self._kept: deque[str | bytes] = deque()
        self._size = 0

    def said(self, text: str | bytes) -> None:
        """A message of ours went out."""
        self._said += 1
        self._kept.append(text)
        self._size += len(text)
        while self._size > MAX_KEPT:
            self._size -= len(self._kept.popleft())

    def unheard(self, heard: int) -> list[str | bytes]:
        """The messages to send again, in order, to the other side that has heard so many; oldest first."""
        missing = min(max(0, self._said - heard), len(self._kept))
        return list(self._kept)[len(self._kept) - missing :]
