"""Presses keys among the sound that is sent: the W3C `RTCDTMFSender` (webrtc-pc section 7), with events as in aiortc.

The packets of a key leave on time whether there is any sound or not; while it is pressed, they take the place of sound.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiortc.exceptions import InvalidStateError

from peer.errors import Error, UsageError
from peer.rtc.dtmf import INTERVAL, PAUSE, PAUSE_SECONDS, Tone, keys, moments
from peer.rtc.emitter import Emitter

if TYPE_CHECKING:
    from peer.rtc.sending import MediaSender

DURATIONS: Final = (0.04, 6.0)
"""Seconds that a key can be pressed for."""
GAPS: Final = (0.03, 6.0)
"""Seconds between two keys."""
AGREEMENT: Final = 10.0
"""Seconds in which it has to be agreed that sound is sent, where it is not yet."""


class DtmfSender(Emitter):
    """Event `tonechange`: a key begins, or a pause, and "" when all of them are over. Whoever made it calls `stop`."""

    def __init__(self, media: MediaSender) -> None:
        super().__init__()
        self._media = media
        self._tones = ""
        self._duration, self._gap = 0.1, 0.07
        self._task: asyncio.Task[bool] | None = None
        self._turn = asyncio.Lock()
        self._sends = asyncio.Event()
        self._stopped = False
        self._all_pressed = False
        """When it was stopped."""

    # webrtc-pc section 7.2

    @property
    def canInsertDTMF(self) -> bool:
        """Whether sound is sent, to a side that takes keys."""
        return self._media.event_format is not None and not self._stopped

    @property
    def toneBuffer(self) -> str:
        """What is still to be pressed."""
        return self._tones

    def insertDTMF(self, tones: str, duration: int = 100, interToneGap: int = 70) -> None:
        """Press these after the present one, and what was to be pressed no more; "" for none.

        `tones`: digits, `*`, `#`, `A` to `D`, and a comma for a pause of two seconds. `duration` of each: milliseconds,
        brought to 40 to 6000; `interToneGap`: to 30 to 6000.

        Raises:
            InvalidStateError: keys cannot be sent, see `canInsertDTMF`.
            UsageError: one of them is no key. It is a ValueError too.
        """
        if not self.canInsertDTMF:
            raise InvalidStateError("keys cannot be sent here, see canInsertDTMF")
        self._tones = keys(tones)
        self._duration = min(max(duration / 1000, DURATIONS[0]), DURATIONS[1])
        self._gap = min(max(interToneGap / 1000, GAPS[0]), GAPS[1])
        if self._tones and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    # The same for calls

    async def press(self, text: str, duration: float, gap: float) -> None:
        """Press keys, for `duration` seconds each, and wait until they were; after those that others press.

        Cancelled, it stops after the present one.

        Raises:
            UsageError: one of them is no key, or they cannot be that long.
            Error: the other side takes none, or no sound is sent to it.
        """
        text = keys(text)
        for seconds, (least, most), what in ((duration, DURATIONS, "pressed"), (gap, GAPS, "apart")):
            if not least <= seconds <= most:
                raise UsageError(f"keys cannot be {what} for {seconds:g} s; use {least:g} to {most:g} s")
        async with self._turn:
            await self._agreement()
            self.insertDTMF(text, round(duration * 1000), round(gap * 1000))
            if self._task is not None:
                await self._finished(self._task)

    async def _agreement(self) -> None:
        try:
            async with asyncio.timeout(AGREEMENT):
                await self._sends.wait()
        except TimeoutError:
            raise Error("no sound is sent to the other side, so no key can be pressed; wait until it is") from None
        if self._stopped:
            raise Error("the connection is closed; press the keys on another")
        if not self.canInsertDTMF:
            raise Error("the other side takes no keys (telephone-event); write() it what they would say")

    async def _finished(self, task: asyncio.Task[bool]) -> None:
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._tones = ""
            raise
        # Who pressed the key that ends the call need not be told that it ended.
        if not (self._all_pressed if task.cancelled() else task.result()):
            raise Error("not every key was sent, as no sound is sent any more; press them again when there is")

    # For the sender of sound

    def agreed(self, *, sending: bool) -> None:
        """It was negotiated whether sound is sent."""
        if sending:
            self._sends.set()
        else:
            self._sends.clear()

    async def stop(self) -> None:
        """For good, also in the midst of a key."""
        self._stopped = True
        self._all_pressed = not self._tones and not self._media.event_on
        self._tones = ""
        self._sends.set()  # whoever waits for it learns that there will be none
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.remove_all_listeners()

    # Inside

    async def _run(self) -> bool:
        """Whether all of them were pressed."""
        try:
            while self._tones and self.canInsertDTMF:
                tone, self._tones = self._tones[0], self._tones[1:]
                self.emit("tonechange", tone)
                if tone == PAUSE:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    await self._press(tone)
            done, self._tones = not self._tones, ""
        finally:
            self._task = None
        self.emit("tonechange", "")
        return done

    async def _press(self, key: str) -> None:
        media, seconds, gap = self._media, self._duration, self._gap
        clock = asyncio.get_running_loop().time  # the monotonic clock, that of the sound
        sent_as, began = media.event_format, clock()
        assert sent_as is not None
        rate = sent_as.clock_rate
        tone = Tone(key, round(seconds * rate), media.begin_event(sent_as, began))
        media.event_on = True
        try:
            for at in moments(seconds, gap):
                late = clock() - began - at
                if late > INTERVAL and at < seconds:
                    continue  # the next says it too
                await asyncio.sleep(max(-late, 0.0))
                media.send_event(tone.packets(round(at * rate)), clock())
                media.event_on = at < seconds
        finally:
            media.event_on = False
        await asyncio.sleep(max(began + seconds + gap - clock(), 0.0))
