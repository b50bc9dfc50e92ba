"""Decoding for those who ask: pictures as numpy arrays, sound as PCM. Nothing is decoded while nobody takes it.

Decoding runs on a small shared pool of threads, in order per track; the threads end with the last track that decodes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from peer.rtc.frames import Codec, EncodedFrame

logger = logging.getLogger(__name__)

MAX_WAITING = 60
"""Encoded frames that may wait for the decoder, two seconds of video; beyond, they go up to the next keyframe."""
_DECODERS = {
    "vp8": "libvpx",
    "h264": "h264",
    "opus": "libopus",
    "pcmu": "pcm_mulaw",
    "pcma": "pcm_alaw",
    "g722": "g722",
}


class _Pool:
    """The threads that decode: there while somebody has them."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._users = 0

    def take(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(2, thread_name_prefix="peer-decode")
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

    def __init__(
        self, deliver: Callable[[list[Any], EncodedFrame], None], request_keyframe: Callable[[], None]
    ) -> None:
        self._deliver = deliver
        self._request_keyframe = request_keyframe
        self._waiting: deque[EncodedFrame] = deque()
        self._task: asyncio.Task[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False
        self._context: Any = None
        self._opened: Codec | None = None
        """What the context decodes; frames of the codec before may wait when another begins."""
        self._codec: Codec | None = None
        self._need_keyframe = True
        self.frames = 0
        self.dropped = 0
        self.errors = 0

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of the track already."""
        return self._codec is not None

    def push(self, frame: EncodedFrame) -> None:
        """Take one encoded frame; never blocks."""
        if self._closed:
            return
        if frame.codec != self._codec:
            self._codec, self._need_keyframe = frame.codec, True
        if self._need_keyframe and not frame.keyframe:
            self.dropped += 1
            return
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += len(self._waiting) + 1
            self._waiting.clear()
            self._need_keyframe = True
            self._request_keyframe()
            return
        self._need_keyframe = False
        self._waiting.append(frame)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="peer-decode")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        if self._threads is None:
            self._threads = _POOL.take()
        try:
            while self._waiting:
                frame = self._waiting.popleft()
                try:
                    decoded = await loop.run_in_executor(self._threads, self._decode, frame)
                except (av.FFmpegError, ValueError) as error:
                    self.errors += 1
                    logger.debug("a %s frame could not be decoded: %s", frame.codec.name, error)
                    self._need_keyframe = True
                    self._request_keyframe()
                    continue
                self.frames += len(decoded)
                try:
                    self._deliver(decoded, frame)
                except Exception:
                    logger.exception("a decoded %s frame could not be handed on", frame.codec.name)
        finally:
            self._task = None

    def _decode(self, frame: EncodedFrame) -> list[Any]:
        if frame.codec != self._opened:
            self._context, self._opened = _open_decoder(frame.codec), frame.codec
        packet = av.Packet(frame.data)
        return list(self._context.decode(packet))

    async def close(self) -> None:
        """Decode nothing more, and let go of the threads. Idempotent, bounded."""
        self._closed = True
        self._waiting.clear()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2)
        threads, self._threads = self._threads, None
        if threads is not None:
            _POOL.give_back()


def _open_decoder(codec: Codec) -> Any:
    name = _DECODERS.get(codec.name.lower())
    if name is None:
        raise ValueError(f"{codec.name} cannot be decoded here")
    context: Any = av.CodecContext.create(name, "r")
    if name in ("libopus", "pcm_mulaw", "pcm_alaw", "g722"):
        context.sample_rate = 48000 if name == "libopus" else 16000 if name == "g722" else 8000
        context.layout = "stereo" if name == "libopus" else "mono"
    else:
        context.thread_count = 1  # the pool is what runs in parallel
    return context
