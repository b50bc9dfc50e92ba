"""Outbound tracks: one of each kind per call, what they carry may change at any time without negotiating again.

The frames come encoded, from the feed of what is shown or heard, which makes them once for all calls; the sender
(`peer.rtc.sending`) takes them. A track that carries nothing gives nothing, so nothing is encoded and nothing sent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from peer.media.encoder import EncoderSettings
from peer.rtc.feed import feed_of
from peer.rtc.picturefeed import PictureFeed
from peer.rtc.soundfeed import SAMPLES, SoundEncoder, SoundFeed, Ticks
from peer.rtc.stats import SourceCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.rtc.codecs import Codec
    from peer.rtc.encoded import Encoded, Subscription, Taker
    from peer.rtc.feed import Feed

logger = logging.getLogger(__name__)

DEFAULTS: Final = EncoderSettings()


class PcmReader(Protocol):
    """Where a playback comes from; asked every 20 ms, must not block."""

    stopped: bool
    """Whether it is to be silent at once."""

    def read(self, samples: int) -> NDArray[np.int16]: ...
    def close(self) -> None: ...


class FedTrack(MediaStreamTrack):
    """A track whose frames come encoded; a sender asks for them with `feed`, and not with `recv`."""

    def __init__(self) -> None:
        super().__init__()
        self._taker: Taker | None = None
        self._feed: Feed[Any] | None = None
        self._subscription: Subscription | None = None
        self._limit: tuple[int, int] | None = None
        self._held = False
        self.counts: Final = SourceCounts()
        """What came of all that it carried."""

    async def recv(self) -> Any:
        raise MediaStreamError("this track can only be sent by a connection of ours")

    def feed(self, taker: Taker | None) -> None:
        """Give frames to that one from now on; None: to nobody."""
        self._taker = taker
        self._subscribe()

    def limit(self, bitrate: int, lasting: int) -> None:
        """The path takes so many bits per second: now; and once its queues are empty."""
        self._limit = bitrate, lasting
        if self._subscription is not None:
            self._subscription.limit(bitrate, lasting)

    def request_keyframe(self) -> None:
        if self._subscription is not None:
            self._subscription.request_keyframe()

    @property
    def giving(self) -> bool:
        """Whether there is a source whose frames are wanted."""
        return self._subscription is not None and not self._muted()

    def hold(self, held: bool) -> None:
        """Give nothing for a while; the source goes on."""
        self._held = held
        self._mute()

    def source_ended(self, feed: Feed[Any], error: Exception | None) -> None:
        """For the feed: it gives no more."""
        if error is not None:
            logger.warning("the %s stops: %s", self.kind, error)
        if self._feed is feed:
            self._feed = self._subscription = None

    def _find_feed(self) -> Feed[Any] | None:
        """Of what is to be sent now, if anything is."""
        raise NotImplementedError

    def _subscribe(self) -> None:
        before, self._subscription = self._subscription, None
        self._feed = self._find_feed() if self._taker is not None else None
        if self._feed is not None and self._taker is not None:
            self._subscription = self._feed.subscribe(_Through(self, self._taker, self._feed), self.counts)
            if self._limit is not None:
                self._subscription.limit(*self._limit)
            self._mute()
        if before is not None:  # last: the same source goes on for whoever takes it again
            before.close()

    def _keep_for(self, other: FedTrack) -> None:
        """The source goes on, unsent, until the other track takes it."""
        other._subscription, self._subscription = self._subscription, None
        if other._subscription is not None:
            other._subscription.mute(True)

    def _muted(self) -> bool:
        return self._held

    def _mute(self) -> None:
        if self._subscription is not None and self._taker is not None:
            self._subscription.mute(self._muted())


class _Through:
    """The taker of one feed, until the feed ends: then it is the track that has to know."""

    def __init__(self, track: FedTrack, taker: Taker, feed: Feed[Any]) -> None:
        self._track, self._taker, self._feed = track, taker, feed
        self.take: Callable[[Encoded], None] = taker.take
        self.carries: Callable[[Codec], bool] = taker.carries

    @property
    def preferred(self) -> str:
        return self._taker.preferred

    def ended(self, error: Exception | None) -> None:
        self._track.source_ended(self._feed, error)


class OutboundPictures(FedTrack):
    """The video of a call: the pictures of whichever source is shown, none while there is none."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[PictureSourceBase, EncoderSettings] | None = None

    @property
    def showing(self) -> bool:
        return self._shown is not None

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Width and height of what the source gives, as far as they are known."""
        source = self._shown[0] if self._shown is not None else None
        return (source.width, source.height) if source is not None else (None, None)

    def show(self, source: PictureSourceBase | None, settings: EncoderSettings = DEFAULTS) -> None:
        """Carry another source from the next picture on, None to stop."""
        self._shown = None if source is None else (source, settings)
        self._subscribe()

    def hand_over(self, other: OutboundPictures) -> None:
        """What is shown goes on in another track."""
        other._shown, self._shown = self._shown, None
        self._keep_for(other)

    def stop(self) -> None:
        super().stop()
        self.feed(None)
        self.show(None)

    def source_ended(self, feed: Feed[Any], error: Exception | None) -> None:
        if self._feed is feed:
            self._shown = None
        super().source_ended(feed, error)

    def _find_feed(self) -> Feed[Any] | None:
        if self._shown is None:
            return None
        source, settings = self._shown
        return feed_of(self._shown, lambda: PictureFeed(source, settings))


class OutboundSound(FedTrack):
    """The audio of a call: a playback, if one is on, else the call's source, else nothing."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._source: SoundSourceBase | None = None
        self._playback: PcmReader | None = None
        self._playing: asyncio.Task[None] | None = None
        self._handed_on = asyncio.Event()
        self._handed_on.set()

    @property
    def showing(self) -> bool:
        """Whether there is a source, as of pictures."""
        return self._source is not None

    def carry(self, source: SoundSourceBase | None) -> None:
        """The call's own sound from now on."""
        self._source = source
        self._subscribe()

    def play(self, playback: PcmReader | None) -> None:
        """Put a playback in front of the source, which goes on behind it; it takes effect with the next 20 ms."""
        previous, self._playback = self._playback, playback
        if previous is not None and previous is not playback:
            previous.close()
        self._mute()
        self._play()

    def stop_playing(self, playback: PcmReader) -> None:
        """Take a playback off, unless another has taken its place already."""
        if self._playback is playback:
            self._playback = None
            self._mute()

    async def handed_on(self) -> None:
        """Wait until what was read of a playback is with the sender."""
        await self._handed_on.wait()

    def hand_over(self, other: OutboundSound) -> None:
        """The source goes on in another track."""
        other._source, self._source = self._source, None
        self._keep_for(other)

    def feed(self, taker: Taker | None) -> None:
        super().feed(taker)
        if self._playing is not None:  # its encoder is of another codec, perhaps
            self._playing.cancel()
            self._playing = None
            self._handed_on.set()
        self._play()

    def stop(self) -> None:
        super().stop()
        self.play(None)
        self.feed(None)
        self.carry(None)

    def source_ended(self, feed: Feed[Any], error: Exception | None) -> None:
        if self._feed is feed:
            self._source = None
        super().source_ended(feed, error)

    def _find_feed(self) -> Feed[Any] | None:
        source = self._source
        return None if source is None else feed_of(source, lambda: SoundFeed(source))

    def _muted(self) -> bool:
        return self._held or self._playback is not None

    # A playback is this call's alone: so is its encoder

    def _play(self) -> None:
        """See that there is a task while there is a playback, and somebody to hear it."""
        if self._playing is None and self._playback is not None and self._taker is not None:
            self._playing = asyncio.get_running_loop().create_task(self._encode(self._taker), name="encode playback")

    async def _encode(self, taker: Taker) -> None:
        try:
            await self._encode_all(SoundEncoder(taker.preferred), taker)
        except Exception as error:  # it would be heard of by nobody, and whoever awaits the playback would wait on
            logger.warning("what is played cannot be encoded: %r", error)
            if self._playback is not None:
                self.play(None)
        finally:
            if self._playing is asyncio.current_task():
                self._playing = None
                self._handed_on.set()

    async def _encode_all(self, encoder: SoundEncoder, taker: Taker) -> None:
        ticks = Ticks()
        while (playback := self._playback) is not None:
            tick = await ticks.next()
            if playback is self._playback:
                self._handed_on.clear()
                encoded = await encoder.encode(playback.read(SAMPLES), tick)
                if encoded is not None and not playback.stopped and not self._held:
                    taker.take(encoded)
                self._handed_on.set()
