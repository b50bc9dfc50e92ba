"""The bounded outbox of one connection: frames wait here until the client reads.

Overflow policy: nothing is dropped silently; `put` says False and the owner ends the connection (slow-client).
How long each message waited is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import WSMsgType

if TYPE_CHECKING:
    from signaling.counters import Histogram

Frame: TypeAlias = tuple[WSMsgType, bytes]


class Outbox:
    """A queue of at most `max_frames` frames and `max_bytes` bytes of payload, for one reader."""

    def __init__(self, max_frames: int, max_bytes: int, waited: Histogram | None = None) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._waited = waited
        self._frames: deque[tuple[Frame, float]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Takes a frame, or says False when there is no room for it."""
        size = self._bytes + len(frame[1])
        if len(self._frames) >= self._max_frames or size > self._max_bytes:
            return False
        self._frames.append((frame, perf_counter()))
        self._bytes = size
        self._filled.set()
        return True

    async def get(self) -> Frame:
        """The oldest frame, as soon as there is one."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()
        return self.pop()

    def pop(self) -> Frame:
        """The oldest frame at once; IndexError without one."""
        frame, since = self._frames.popleft()
        self._bytes -= len(frame[1])
        if self._waited is not None and frame[0] is WSMsgType.TEXT:
            self._waited.observe(perf_counter() - since)
        return frame
