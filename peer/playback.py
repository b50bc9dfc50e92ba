"""Sound played into one call: from a file, PCM, or whatever makes PCM; can be awaited, and stopped at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from os import PathLike

    from numpy.typing import NDArray

    from peer.media import SoundSource
    from peer.rtc.sender import OutboundSound

    Playable = str | PathLike[str] | NDArray[Any] | AsyncIterator[NDArray[Any]]

logger = logging.getLogger(__name__)

RATE = 48000


class Playback:
    """What `call.play()` gives: await it to wait for the end, `stop()` it to be silent within 60 ms.

    Awaiting returns when the sound has been handed to the network or was stopped; it raises `DeviceError` when the file
    cannot be played.
    """

    def __init__(
        self, sound: OutboundSound, what: Playable, rate: int, spawn: Callable[[Any], asyncio.Task[None]]
    ) -> None:
        self._sound = sound
        self._reader: Any = None
        self._samples = 0
        self.stopped = False
        """Whether it was stopped before its end (also by the next playback)."""
        self._task = spawn(self._run(what, rate))
        self._task.add_done_callback(_seen)

    @property
    def position(self) -> float:
        """Seconds played so far."""
        return self._samples / RATE

    @property
    def done(self) -> bool:
        """Whether it is over, for whatever reason."""
        return self._task.done()

    def stop(self) -> None:
        """Be silent: nothing of it leaves later than the 20 ms being encoded. Idempotent."""
        if not self.stopped and not self._task.done():  # a second cancellation would cut its closing short
            self.stopped = True
            self._task.cancel()

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    # What the outbound sound reads (peer.rtc.sender.PcmReader)

    def read(self, samples: int) -> NDArray[np.int16]:
        pcm: NDArray[np.int16] = self._reader.read(samples)
        self._samples += samples
        return pcm

    def close(self) -> None:
        self.stop()

    # Inside

    async def _run(self, what: Playable, rate: int) -> None:
        source, blocks = await _open(what, rate)
        self._reader = source.open()
        try:
            self._sound.play(self)
            if blocks is not None:
                await _feed(source, blocks)
                await source.close()
            await self._reader.finished()
            await self._sound.handed_on()
        finally:
            self._sound.stop_playing(self)
            self._reader.close()
            await source.close()


async def _open(what: Playable, rate: int) -> tuple[Any, AsyncIterator[NDArray[Any]] | None]:
    """The source to read from, and what has to be pushed into it, if anything."""
    from peer.media import SoundSource, open_sound

    if isinstance(what, np.ndarray):
        return SoundSource(rate), _single(what)
    if isinstance(what, AsyncIterator):
        return SoundSource(rate), what
    text = str(what)
    opened = await open_sound(text if text.startswith("file:") or text == "test" else f"file:{text}")
    if opened is None:
        raise UsageError(f"{text!r} is no sound to play; give a file, PCM or an iterator of PCM")
    return opened, None


async def _single(pcm: NDArray[Any]) -> AsyncIterator[NDArray[Any]]:
    yield pcm


async def _feed(source: SoundSource, blocks: AsyncIterator[NDArray[Any]]) -> None:
    """Push tenths of a second, each when there is room: the source holds one second and drops beyond."""
    async for block in blocks:
        for start in range(0, len(block), source.rate // 10):
            await source.drained(0.3)
            source.push(block[start : start + source.rate // 10])


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("nothing is played: %s", error)
