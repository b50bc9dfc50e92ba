"""What was sent of a stream of late, by sequence number, to be sent again. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HISTORY: Final = 2.0
"""Seconds for which a packet can be sent again."""
MAX_HISTORY: Final = 4096
"""Packets, which at 20 Mbit/s are those of two seconds."""


class SentFrame:
    """The packets of a frame, or one that is of none. Who changes the fields sends something else the next time."""

    __slots__ = (
        *("again", "at", "first", "level", "marked", "payload_type", "payloads", "rtx_payload_type"),
        *("size", "step", "timestamp"),
    )

    def __init__(
        self,
        first: int,
        payloads: Sequence[bytes],
        payload_type: int,
        rtx_payload_type: int | None,
        marked: int,
        timestamp: int,
        step: int,
        level: int | None,
        at: float,
        size: int,
    ) -> None:
        """`first`: sequence number of the first packet, without wrap-around; `marked`: the index of the one that has
        the marker, -1 for none; `step`: by how much the timestamp of each is later than that of the one before;
        `size`: bytes of payload in all."""
        self.first, self.payloads, self.marked, self.at, self.size = first, payloads, marked, at, size
        self.payload_type, self.rtx_payload_type = payload_type, rtx_payload_type
        self.timestamp, self.step, self.level = timestamp, step, level
        self.again: dict[int, float] | None = None
        """When a packet was sent again last, by index; of most, none ever is."""


class History:
    """Of one stream."""

    def __init__(self) -> None:
        self._frames: deque[SentFrame] = deque()
        self._packets = 0

    def add(self, frame: SentFrame, now: float) -> None:
        """The next frame; what is too old is forgotten."""
        frames = self._frames
        frames.append(frame)
        self._packets += len(frame.payloads)
        if now - frames[0].at > HISTORY or self._packets > MAX_HISTORY:
            self.forget(now)

    def find(self, number: int) -> tuple[SentFrame, int] | None:
        """The frame of that 16-bit sequence number, and the index of the packet in it."""
        if not self._frames:
            return None
        newest = self._frames[-1].first + len(self._frames[-1].payloads) - 1
        wanted = newest - (newest - number & 0xFFFF)
        for frame in reversed(self._frames):
            if frame.first <= wanted:
                index = wanted - frame.first
                return (frame, index) if index < len(frame.payloads) else None
        return None

    def newest(self) -> Iterator[tuple[SentFrame, int]]:
        """All packets, the newest first."""
        for frame in reversed(self._frames):
            for index in range(len(frame.payloads) - 1, -1, -1):
                yield frame, index

    def sent_since(self, then: float) -> int:
        """Bytes of payload that were sent later than that, for the first time, as far as they are remembered."""
        size = 0
        for frame in reversed(self._frames):
            if frame.at < then:
                break
            size += frame.size
        return size

    def forget(self, now: float) -> None:
        """What is too old, or too much."""
        frames = self._frames
        while frames and (now - frames[0].at > HISTORY or self._packets > MAX_HISTORY):
            self._packets -= len(frames.popleft().payloads)
