"""Decoding for those who ask: pictures as numpy arrays, sound as PCM. Nothing is decoded while nobody takes it.

Decoding runs on a small shared pool of threads, in order per track; the threads end with the last track that decodes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from peer.rtc.concealment import SoundCounts
from peer.rtc.decoders import open_decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from peer.rtc.decoders import DecodedFrame, StreamDecoder
    from peer.rtc.frames import Codec, EncodedFrame

logger = logging.getLogger(__name__)

THREADS = max(2, min(os.cpu_count() or 1, 8))
"""That decode at a time, for all tracks of the process."""
MAX_WAITING = 60
"""Encoded frames that may wait for the decoder, two seconds of video; beyond, they go up to the next keyframe."""
MAX_BYTES = 16 << 20
"""The same, of their bytes."""


class _Pool:
    """The threads that decode: there while somebody has them."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._users = 0

    def take(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="peer-decode")
        self._users += 1
        return self._executor

    def give_back(self) -> None:
        self._users -= 1
        if self._users == 0 and self._executor is not None:
            self._executor.shutdown(wait=False)  # the threads end by themselves: nothing is joined on the event loop
            self._executor = None


_POOL = _Pool()


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of received sound."""

    array: NDArray[np.int16]
    """Samples x channels, int16."""
    rate: int
    """Samples per second."""
    time: float
    """Seconds on the sender's timeline at the first sample."""


class Decoder:
    """Decodes one track, in order, on the pool, while it has takers."""

    def __init__(self, deliver: Callable[[DecodedFrame], None], request_keyframe: Callable[[], None]) -> None:
        self._deliver = deliver
        self._request_keyframe = request_keyframe
        self._waiting: deque[tuple[EncodedFrame, bool]] = deque()
        """Frames, and whether a new stream begins with them."""
        self._task: asyncio.Task[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False
        self._stream: StreamDecoder | None = None
        self._codec: Codec | None = None
        self._fresh = self._need_keyframe = True
        self.frames = 0
        self.keyframes = 0
        self.dropped = 0
        self.errors = 0
        self.sound = SoundCounts()

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of the track already."""
        return self._codec is not None

    def push(self, frame: EncodedFrame) -> None:
        """Take one encoded frame; never blocks."""
        if self._closed:
            return
        if frame.codec != self._codec:
            self._codec, self._fresh, self._need_keyframe = frame.codec, True, True
        if self._need_keyframe and not frame.keyframe:
            self.dropped += 1
            return
        if len(self._waiting) >= MAX_WAITING or sum(len(each.data) for each, _ in self._waiting) > MAX_BYTES:
            self.dropped += len(self._waiting) + 1
            self._fresh = self._fresh or any(fresh for _, fresh in self._waiting)
            self._waiting.clear()
            self._need_keyframe = True
            self._request_keyframe()
            return
        self._waiting.append((frame, self._fresh))
        self._fresh = self._need_keyframe = False
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="peer-decode")

    def rest(self) -> None:
        """Nobody takes any more: let go of everything. The next frame begins anew."""
        self._codec = None
        self._waiting.clear()
        if self._task is None:
            self._let_go()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        if self._threads is None:
            self._threads = _POOL.take()
        try:
            while self._waiting:
                item = self._waiting.popleft()
                frame, _ = item
                try:
                    decoded = await loop.run_in_executor(self._threads, self._decode, item)
                except (av.FFmpegError, ValueError) as error:
                    self.errors += 1
                    logger.debug("a %s frame could not be decoded: %s", frame.codec.name, error)
                    self._need_keyframe = True
                    self._request_keyframe()
                    continue
                self._hand_on(decoded, frame)
        finally:
            self._task = None
            if self._codec is None:
                self._let_go()

    def _decode(self, item: tuple[EncodedFrame, bool]) -> list[DecodedFrame]:
        frame, fresh = item
        if fresh or self._stream is None:
            self._stream = None
            self._stream = open_decoder(frame.codec, self.sound)
        return self._stream.decode(frame)

    def _hand_on(self, decoded: list[DecodedFrame], frame: EncodedFrame) -> None:
        own = sum(each.encoded is frame for each in decoded)
        self.frames += own
        self.keyframes += own and frame.keyframe
        for each in decoded:
            try:
                self._deliver(each)
            except Exception:
                logger.exception("a decoded %s frame could not be handed on", frame.codec.name)

    def _let_go(self) -> None:
        self._stream = None
        threads, self._threads = self._threads, None
        if threads is not None:
            _POOL.give_back()

    async def close(self) -> None:
        """Decode nothing more, and let go of the threads. Idempotent, bounded."""
        self._closed = True
        self.rest()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2)
            self._let_go()
