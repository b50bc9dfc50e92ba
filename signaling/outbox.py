"""The bounded outbox of one connection: frames wait here until the client reads.

Overflow policy: nothing is dropped silently; `put` says False and the owner ends the connection (slow-client).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from aiohttp import WSMsgType

Frame: TypeAlias = tuple[WSMsgType, bytes]


class Outbox:
    """A queue of at most `max_frames` frames and `max_bytes` bytes of payload, for one reader."""

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Takes a frame, or says False when there is no room for it."""
        size = self._bytes + len(frame[1])
        if len(self._frames) >= self._max_frames or size > self._max_bytes:
            return False
        self._frames.append(frame)
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
        frame = self._frames.popleft()
        self._bytes -= len(frame[1])
        return frame
