"""The pictures of one source, encoded once for all who take them, or sent as the file has them.

source - reader - EncoderRung (thread) -.
                                        |- deliver - MediaSender, MediaSender, ...
file - packets --- Rung ----------------'
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from peer.errors import Error
from peer.media.base import SourceEnded
from peer.media.encoder import START_BITRATE, most_for
from peer.rtc import ladder
from peer.rtc.decimation import Decimation
from peer.rtc.encoded import LIVE, Encoded
from peer.rtc.feed import Feed
from peer.rtc.passing import Passing, codec_of
from peer.rtc.picturesubscription import PictureSubscription
from peer.rtc.rungs import EncoderRung, Rung

if TYPE_CHECKING:
    from peer.media.base import PictureReader, PictureSourceBase
    from peer.media.encoder import EncoderSettings
    from peer.media.picture import Picture
    from peer.rtc.encoded import Taker
    from peer.rtc.stats import SourceCounts

logger = logging.getLogger(__name__)

CLOCK_RATE: Final = 90_000
ENOUGH: Final = 0.85
"""Part of a file's bit rate that a path has to take: on average it fits, and a pacer sees to the rest ..."""
AGAIN: Final = 1.1
"""... and how much it has to take to get the file as it is again."""
NARROW: Final = 1.0
"""Seconds for which a path has to be too narrow for a file ..."""
CHOKED: Final = 0.6
"""... but less than this part of the file's bit rate is far too little: what is sent of it is lost, and holds up
the rest, so it is sent nothing more of it ..."""
CHOKED_FOR: Final = 0.05
"""... after so many seconds ..."""
LATE: Final = 0.015
"""... and seconds that the file may be late: a process that has too much to do takes every path for a narrow one, and
encoding is the last thing that it has the time for."""
JUDGED: Final = 20
"""Pictures encoded, after each of which it is looked at how many were dropped meanwhile ..."""
TOO_MANY: Final = 0.5
"""... and how many, for one that is encoded, are too many ..."""
OVERLOADED: Final = 10.0
"""... so that for some seconds a file is sent as it is, however narrow paths seem: nothing would be seen of what there
is no time to encode, and the others suffer for it, until all of their paths seem narrow."""
TOO_LATE: Final = 0.1
"""Seconds that a file may be late where far too little arrives of it, which is no path's fault then: what is encoded is
not sent either."""
BENEFIT: Final = 3.0
"""Seconds for which a path is believed to take it: estimates begin low, and grow with what is sent."""
START: Final = 0.5
"""Seconds in which a file that begins to be read has to give a keyframe: the first time it begins with one."""
RESTART_GAP: Final = 1.0
"""Seconds from one group of a file's pictures that is sent once more to the next."""
SOON: Final = 0.05
"""Seconds until what paths take has effect: of many receivers, one or the other has always something to say."""
REPEAT: Final = 1.2
"""Seconds after which a picture that no other follows is sent again: who joins or lost it gets to see it so."""
PROMPT: Final = 0.1
"""The same, where a keyframe is wanted."""


class PictureFeed(Feed[PictureSubscription]):
    """Runs while anybody takes of it."""

    def __init__(self, source: PictureSourceBase, settings: EncoderSettings) -> None:
        super().__init__()
        self._source = source
        self._settings = settings
        self._rungs: list[EncoderRung] = []
        self._file: Rung | None = None
        """What the source holds as it is, if it holds anything that can be sent, and nothing else was asked for."""
        self._passing: Passing | None = None
        if source.encoded is not None and not settings.given:
            self._file = Rung(codec_of(source.encoded))
            self._passing = Passing(source, self._file.deliver, self._ended, self)
        self._live: asyncio.Task[None] | None = None
        self._timeout: asyncio.Timeout | None = None
        self._reader: PictureReader | None = None
        self._last: Picture | None = None
        self._timestamp = -1
        self._overloaded_until = float("-inf")
        self._judged = (0, 0)
        """Pictures that were encoded, and those that were dropped, when that was looked at last."""
        self._decimation = Decimation(settings.fps) if settings.fps is not None else None
        self._soon: asyncio.TimerHandle | None = None
        self.encodes = 0
        """Pictures that went into encoders."""
        self.dropped = 0
        """Pictures that came while those before were still being encoded."""
        self._reader_dropped = 0
        """What of that is counted of those that are read now."""

    def subscription(self, taker: Taker, counts: SourceCounts) -> PictureSubscription:
        return PictureSubscription(self, taker, counts)

    # Who is where

    def reconsider(self) -> None:
        """Somebody came or went, or a path takes more or less."""
        encoded = []
        for each in self.subscribers:
            if each.muted:
                each.nowhere()
            elif self._file is not None and self._fits(each):
                self._go(each, self._file)
                if each.on is each.via is None and time.monotonic() - each.since > START:
                    self._detour(each)
            else:
                encoded.append(each)
        self._place(encoded)
        self._tidy()

    def reconsider_soon(self) -> None:
        """What some path takes has changed."""
        if self._soon is None and self.subscribers:
            self._soon = asyncio.get_running_loop().call_later(SOON, self._reconsider_now)

    def restart(self, each: PictureSubscription) -> None:
        """It has to have a keyframe."""
        if each.muted or each.home is None:
            return
        if each.on is not None and each.on is self._file:
            now = time.monotonic()
            if now - each.restarted < RESTART_GAP:
                return
            each.restarted, each.on = now, None
            self._enter(each, self._file)
        for rung in (each.on or each.home, each.via):
            if isinstance(rung, EncoderRung):
                self._want_keyframe(rung)
        self.changed()

    def _reconsider_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.reconsider_soon)

    def _reconsider_now(self) -> None:
        self._soon = None
        self.reconsider()

    def _fits(self, each: PictureSubscription) -> bool:
        """Whether it can be sent the file as it is."""
        assert self._file is not None and self._passing is not None
        if not each.taker.carries(self._file.codec):
            return False
        now, passing = time.monotonic(), self._passing
        new = now - each.since < BENEFIT
        choked = (each.lasting if new else each.bitrate) < CHOKED * passing.bitrate and passing.late < TOO_LATE
        if new and not (choked and each.lasting < CHOKED * START_BITRATE):
            return True
        if now < self._overloaded_until:
            return True
        if each.home is not self._file:
            return each.lasting >= passing.bitrate * AGAIN
        late = passing.late > LATE
        if each.lasting >= passing.bitrate * ENOUGH or (late and not choked):
            each.narrow = None
        elif each.narrow is None:
            each.narrow = now
            self._reconsider_in(CHOKED_FOR)
            self._reconsider_in(NARROW)
        if each.narrow is None or now - each.narrow < (CHOKED_FOR if choked and not late else NARROW):
            return True
        each.narrow = None
        if choked:
            each.on = None
        return False

    def _place(self, encoded: list[PictureSubscription]) -> None:
        for name in sorted({self._name(each) for each in encoded}):
            takers = [each for each in encoded if self._name(each) == name]
            limits = {each: float(self._most(each)) for each in takers}
            before = {each: each.home.place for each in takers if isinstance(each.home, EncoderRung)}
            placed = ladder.places(limits, before)
            self._relabel(name, takers, placed)
            for each, place in placed.items():
                self._go(each, self._rung(name, place))

    def _name(self, each: PictureSubscription) -> str:
        """Of the codec, in upper case, that is encoded for it."""
        wanted = (self._settings.codec or "").upper()
        return wanted if wanted in LIVE and each.taker.carries(LIVE[wanted]) else each.taker.preferred

    def _most(self, each: PictureSubscription) -> int:
        """Bits per second that it can make use of."""
        width, height = self._source.width, self._source.height
        worth = most_for(width * height) if width and height else each.bitrate
        return min(each.bitrate, worth, self._settings.max_bitrate or worth)

    def _relabel(self, name: str, takers: list[PictureSubscription], placed: dict[PictureSubscription, int]) -> None:
        """An encoder whose takers all move on goes along with them, if none is there yet."""
        for rung in self._rungs:
            if rung.codec.name != name:
                continue
            going = {placed[each] for each in takers if each.home is rung}
            if len(going) == 1 and (place := going.pop()) != rung.place and self._find(name, place) is None:
                rung.place = place

    def _find(self, name: str, place: int) -> EncoderRung | None:
        return next((each for each in self._rungs if each.codec.name == name and each.place == place), None)

    def _rung(self, name: str, place: int) -> EncoderRung:
        found = self._find(name, place)
        if found is None:
            found = EncoderRung(name, place, self._settings)
            self._rungs.append(found)
        return found

    def _go(self, each: PictureSubscription, rung: Rung) -> None:
        if each.home is not rung:
            each.home = rung
            if each.on is not rung:
                self._enter(each, rung)

    def _enter(self, each: PictureSubscription, rung: Rung) -> None:
        """Onto a rung, at once where it can be, else with its next keyframe."""
        if each not in rung.takers:
            rung.takers[each] = None
        group = rung.group(time.monotonic()) if each.on is None else []
        if group:
            each.on, each.via = rung, None
            each.counts.encoded += len(group) if rung.encodes else 0
            for frame in group:
                each.taker.take(frame)
        elif isinstance(rung, EncoderRung):
            self._want_keyframe(rung)
        elif each.on is None and self._passing is not None:
            if self._passing.begun:
                self._detour(each)
            else:
                self._reconsider_in(START)

    def _detour(self, each: PictureSubscription) -> None:
        """The file's next keyframe may be far away."""
        each.via = self._rung(self._name(each), ladder.rung_for(self._most(each)))
        self._want_keyframe(each.via)

    def _tidy(self) -> None:
        """Let go of what nobody takes, and see that what is taken is made."""
        for rung in (*self._rungs, *([self._file] if self._file else [])):
            rung.takers = {each: None for each in self.subscribers if rung in (each.home, each.on, each.via)}
        self._rungs = [rung for rung in self._rungs if rung.takers]
        for encoder in self._rungs:
            # Who is about to leave takes what comes until then: others are not to see less for it.
            staying = [each for each in encoder.takers if encoder in (each.home, each.via)] or encoder.takers
            limits = {each: self._most(each) for each in staying}
            encoder.encoder.bitrate = round(ladder.bitrate_of(limits))
        if self.subscribers and all(each.muted for each in self.subscribers):
            return  # what is read goes on being read: a file would begin anew
        if self._rungs and self._live is None:
            self._live = self.spawn(self._encode_all())
        if self._file is not None and self._passing is not None:
            self._passing.run(bool(self._file.takers), self.spawn)
        if not self._rungs and self._live is not None:  # last, for the same reason
            self._live.cancel()
            self._live = None

    # Pictures

    def _want_keyframe(self, rung: EncoderRung) -> None:
        rung.keyframe_wanted = True
        if self._timeout is not None and self._last is not None and not self._timeout.expired():
            at = asyncio.get_running_loop().time() + PROMPT
            if at < (self._timeout.when() or 0.0):
                self._timeout.reschedule(at)

    async def _encode_all(self) -> None:
        reader = self._reader = self._source.open()
        self._judged, self._reader_dropped = (self.encodes, self.dropped), 0
        try:
            while True:
                picture, at = await self._next(reader)
                if self._decimation is None or self._decimation.takes(at):
                    await self._encode(picture, at)
                    self._judge()
        except Error as error:
            self._ended(error)
        finally:
            if self._reader is reader:  # otherwise another has begun before this one was done
                self._reader = self._last = None
            reader.close()

    def _judge(self) -> None:
        """Whether encoding is more than this machine has the time for."""
        encodes, before = self._judged
        if self.encodes - encodes < JUDGED:
            return
        self._judged = self.encodes, self.dropped
        if self.dropped - before > JUDGED * TOO_MANY:
            self._overloaded_until = time.monotonic() + OVERLOADED
            self.reconsider_soon()

    async def _next(self, reader: PictureReader) -> tuple[Picture, float]:
        """The next picture and when it was taken; the last one again, now, when none has come for a while."""
        last = self._last
        wanted = any(rung.keyframe_wanted for rung in self._rungs)
        try:
            async with asyncio.timeout((PROMPT if wanted else REPEAT) if last is not None else None) as self._timeout:
                picture = await reader.next()
        except TimeoutError:
            assert last is not None
            return last, time.monotonic()
        finally:
            self._timeout = None
        self._last = picture
        dropped, self._reader_dropped = reader.dropped - self._reader_dropped, reader.dropped
        self.dropped += dropped
        for each in self.subscribers:
            each.came(dropped)
        return picture, picture.time

    async def _encode(self, picture: Picture, at: float) -> None:
        taken = time.monotonic()
        # Timestamps must grow; a source may disagree with the clock about its last picture, which was sent again.
        self._timestamp = timestamp = max(self._timestamp + 1, round(at * CLOCK_RATE))
        work = []
        for rung in tuple(self._rungs):
            keyframe = rung.encoding(taken)
            work.append((rung, asyncio.to_thread(rung.encode, picture, timestamp, keyframe)))
        self.encodes += len(work)
        for (rung, _), made in zip(work, await asyncio.gather(*(each for _, each in work)), strict=True):
            if made is not None:
                payloads, keyframe = made
                rung.encoded(Encoded(rung.codec, payloads, timestamp, self, taken, keyframe))

    def _close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        super()._close()

    def _ended(self, error: Exception) -> None:
        self.end(None if isinstance(error, SourceEnded) else error)
