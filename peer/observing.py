"""One call under observation: its statistics, its beginning and its end in words. For `peer call` and `peer demo`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from peer import events
from peer.errors import Error
from peer.report import connected_words, ended_words, text_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.call import Call
    from peer.report import CallReport
    from peer.rtc.stats import ConnectionStats

logger = logging.getLogger(__name__)

SAMPLE_INTERVAL: Final = 0.5
"""Seconds between two looks at the statistics of a call."""
STEADY_AFTER: Final = 1.0
"""Seconds after which the rate of the pictures says something."""
DESCRIBE_WITHIN: Final = 2.0
"""Seconds that the line which tells of a new call waits for its first pictures."""
TEXT_INTERVAL: Final = 0.1
"""Seconds between two text messages that are told; of those that come faster, the oldest go."""
MAX_REPLIES: Final = 100
"""Text messages that are answered in one call: the other side may be a program that answers too."""
FINISH_TEXTS: Final = 0.5
"""Seconds that the last text messages of a call may take to be told."""


class Observed:
    """One call under observation: keeps its report up to date and narrates its beginning and its end."""

    def __init__(self, call: Call, report: CallReport, reply: Callable[[str], str] | None = None) -> None:
        """`reply` makes the answer to a text message, of what is shown of it; without, none is answered."""
        self.call = call
        self.report = report
        self._reply = reply
        self.fps = 0.0
        """Video frames received per second, between the last two looks."""
        self.rates = (0.0, 0.0)
        """Bits per second sent and received, between the last two looks."""
        self._begun = time.monotonic()
        self._told = False

    async def run(self) -> None:
        """Until the call is over and closed."""
        ended = asyncio.create_task(self.call.ended())
        listening = asyncio.create_task(self._listen())
        texts = asyncio.create_task(self._tell_texts(ended))
        try:
            while not ended.done():
                await self.look()
                await asyncio.wait([ended], timeout=SAMPLE_INTERVAL)
            await self.close(ended.result())
            await asyncio.wait([texts], timeout=FINISH_TEXTS)
        finally:
            ended.cancel()
            listening.cancel()
            texts.cancel()

    def status(self) -> str:
        """How it is, in a few words."""
        sent, received = (round(rate / 1000) for rate in self.rates)
        codecs = " ".join(self.report.codecs())
        return (
            f"{self.report.who} {self.report.seconds:.0f} s {codecs} {self.fps:.0f}/s, {sent} out {received} in kbit/s"
        )

    async def close(self, ended: events.Ended) -> None:
        """The call is over: complete the report."""
        await self.look()
        await self.call.hang_up()  # over already; waits until its files are finished
        self._look_at_files()
        self.report.ended, self.report.seconds, self.report.state = ended, ended.seconds, "ended"
        logger.info("%s", ended_words(self.report))

    async def look(self) -> None:
        """Take the statistics."""
        before, now = self.report.stats, await self.call.stats()
        self.report.stats = now
        self.report.pair = now.pair or self.report.pair
        self.report.seconds = time.monotonic() - self._begun
        self._look_at_files()
        if before is not None and now.time > before.time:
            self._compare(before, now)
        if not self._told and self._describable():
            self._told = True
            logger.info("%s", connected_words(self.report, self.fps))

    def _look_at_files(self) -> None:
        recordings = self.call.recordings
        self.report.files = [file for recording in recordings for file in recording.files]
        self.report.trouble = next((recording.error for recording in recordings if recording.error), "")

    def _compare(self, before: ConnectionStats, now: ConnectionStats) -> None:
        from peer.rtc.stats import bitrate

        received, sent = bitrate(before, now)
        self.rates = (sent, received)
        first, second = before.received("video"), now.received("video")
        if first is not None and second is not None and first.frame_width:
            self.fps = max(0, second.frames_received - first.frames_received) / (now.time - before.time)

    @property
    def steady(self) -> bool:
        """Whether the media has been flowing for a second; without video, just that."""
        return bool(self.fps) and self.report.seconds >= STEADY_AFTER or self.report.seconds >= DESCRIBE_WITHIN

    def _describable(self) -> bool:
        return self.steady or self.call.over

    async def _listen(self) -> None:
        async for event in self.call.events():
            if isinstance(event, events.Connected):
                self.report.connect_seconds = event.seconds

    async def _tell_texts(self, ended: asyncio.Future[events.Ended]) -> None:
        replies = 0
        async for text in self.call.messages():
            words = text_words(text)
            logger.info("%s: %s", self.report.who, words)
            if self._reply is not None and replies < MAX_REPLIES and not ended.done():
                replies += 1
                await self._write(self._reply(words))
            await asyncio.wait([ended], timeout=TEXT_INTERVAL)

    async def _write(self, text: str) -> None:
        try:
            await self.call.write(text)
        except Error as error:
            logger.debug("%s got no answer: %s", self.report.who, error)
