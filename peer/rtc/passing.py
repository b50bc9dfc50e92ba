"""Frames of a file sent on as they are: its packets, read for as long as anybody is to get them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from peer.errors import Error
from peer.rtc.codecs import codec
from peer.rtc.encoded import Encoded
from peer.rtc.payload.opus import duration
from peer.rtc.payload.packetise import packetiser_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.media.encodedstream import EncodedStream
    from peer.rtc.codecs import Codec

SMOOTHING: Final = 0.1
_FMTP: Final = {"H264": "packetization-mode=1;profile-level-id={}", "VP9": "profile-id={}"}


class Passing:
    """The packets of one source that has some; `deliver` gets each when it is due, `ended` why there are no more.

    Timestamps are the time of the monotonic clock at which a frame is due; `timeline`: what they share with others.
    """

    def __init__(
        self,
        source: PictureSourceBase | SoundSourceBase,
        deliver: Callable[[Encoded], None],
        ended: Callable[[Exception], None],
        timeline: object,
    ) -> None:
        assert source.encoded is not None
        self.codec: Final = codec_of(source.encoded)
        self.bitrate: Final = source.encoded.bitrate
        self._source = source
        self._packetise = packetiser_of(source.encoded.codec)
        self._deliver, self._ended = deliver, ended
        self._timeline = timeline
        self.late = 0.0
        """Seconds by which frames are handed on later than they are due, of late on average."""
        self.begun = False
        """Whether it gave anything since it is read: the first time a file begins with a keyframe."""
        self._task: asyncio.Task[None] | None = None

    def run(self, wanted: bool, spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]) -> None:
        """Read, or do not any more."""
        if wanted and self._task is None:
            self._task = spawn(self._read())
        elif not wanted and self._task is not None:
            self._task.cancel()
            self._task, self.begun = None, False

    async def _read(self) -> None:
        reader = self._source.open_encoded()
        rate = self.codec.clock_rate
        try:
            while True:
                data, at, origin, keyframe = await reader.next()
                timestamp = round(at * rate) + round(origin * rate)  # apart: so packets of equal length are even
                self.late += SMOOTHING * (time.monotonic() - origin - at - self.late)
                payloads = self._packetise(data)
                if payloads:
                    self.begun = True
                    step = duration(self.codec.name, payloads[0]) if self.codec.kind == "audio" else 0
                    self._deliver(
                        Encoded(self.codec, payloads, timestamp, self._timeline, origin + at, keyframe, step=step)
                    )
        except Error as error:
            self._ended(error)
        finally:
            reader.close()


def codec_of(stream: EncodedStream) -> Codec:
    """As it is negotiated."""
    rate, kind = (48_000, "audio") if stream.codec == "opus" else (90_000, "video")
    return codec(kind, stream.codec, rate, stream.channels, 0, _FMTP.get(stream.codec, "").format(stream.profile))
