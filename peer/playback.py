"""Sound played into one call: from a file, PCM, or whatever makes PCM; can be awaited, and stopped at once."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from os import PathLike

    from numpy.typing import NDArray

    from peer.media import SoundSource
    from peer.rtc.sender import OutboundSound
    from peer.speaking import Pcm, Spoken

    Playable = str | PathLike[str] | NDArray[Any] | AsyncIterator[NDArray[Any]]
    Making = Callable[[], Awaitable[Spoken]]
    Opened = tuple[Any, AsyncIterator[NDArray[Any]] | None]

logger = logging.getLogger(__name__)

RATE = 48000


class Playback:
    """What `call.play()` and `call.say()` give: await it to wait for the end, `stop()` it to be silent within 60 ms.

    Awaiting returns when the sound has been handed to the network or was stopped; it raises `DeviceError` when the file
    cannot be played.
    """

    def __init__(
        self, sound: OutboundSound, what: Playable | Making, rate: int, spawn: Callable[[Any], asyncio.Task[None]]
    ) -> None:
        """`what`: the sound, or what is called for it."""
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
        """Be silent: nothing of it leaves later than the 20 ms being encoded. Idempotent; while it is still being made
        or opened, it is given up."""
        if not self.stopped and not self._task.done():  # a second cancellation would cut its closing short
            self.stopped = True
            self._task.cancel()
            self._sound.stop_playing(self)  # at once: until the task sees to it, another 20 ms may leave

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

    async def _run(self, what: Playable | Making, rate: int) -> None:
        try:
            await self._play(await what() if callable(what) else what, rate)
        except asyncio.CancelledError as error:
            # A task that was cancelled keeps its exception, that its frames, and those the sound that nobody wants.
            del what
            raise error.with_traceback(None)  # noqa: B904 it is the same

    async def _play(self, made: Spoken, rate: int) -> None:
        try:
            source, blocks = await _open(made, rate)
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
        finally:
            if isinstance(made, AsyncGenerator):
                await made.aclose()


async def _open(what: Spoken, rate: int) -> Opened:
    """The source to read from, and what has to be pushed into it, if anything."""
    from peer.media import SoundSource, open_sound

    if isinstance(what, np.ndarray | tuple):
        pcm, rate = _pair(what, rate)
        return SoundSource(rate), _following(pcm, rate, None)
    if isinstance(what, AsyncIterator):
        first = await anext(what, None)
        if first is None:
            first = np.zeros(0, np.int16)
        pcm, rate = _pair(first, rate)
        return SoundSource(rate), _following(pcm, rate, what)
    if not isinstance(what, str | os.PathLike):
        kind = type(what).__name__
        raise UsageError(f"{kind} is no sound to play; give a file's path, PCM (numpy) or an async iterator of PCM")
    text = os.fspath(what)
    opened = await open_sound(text if text.startswith("file:") or text == "test" else f"file:{text}")
    if opened is None:
        raise UsageError(f"{text!r} is no sound to play; give a file, PCM or an iterator of PCM")
    return opened, None


async def _following(pcm: NDArray[Any], rate: int, more: AsyncIterator[Pcm] | None) -> AsyncIterator[NDArray[Any]]:
    """All arrays, which have to have one rate."""
    yield pcm
    if more is not None:
        async for block in more:
            pcm, block_rate = _pair(block, rate)
            if block_rate != rate:
                raise UsageError(f"sound of {rate} Hz went on with {block_rate} Hz; make all of it at one rate")
            yield pcm


def _pair(pcm: Pcm, rate: int) -> tuple[NDArray[Any], int]:
    """PCM and its own rate, if it comes with one."""
    return pcm if isinstance(pcm, tuple) else (pcm, rate)


async def _feed(source: SoundSource, blocks: AsyncIterator[NDArray[Any]]) -> None:
    """Push tenths of a second, each when there is room: the source holds one second and drops beyond."""
    async for block in blocks:
        for start in range(0, len(block), source.rate // 10):
            await source.drained(0.3)
            source.push(block[start : start + source.rate // 10])


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("nothing is played: %s", error)
