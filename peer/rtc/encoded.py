"""What a sender sends: a frame that is encoded and cut into payloads, once, for however many receivers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from peer.rtc.codecs import codec

if TYPE_CHECKING:
    from peer.rtc.codecs import Codec

LIVE: Final[dict[str, Codec]] = {
    "VP8": codec("video", "VP8", 90000, 1, 0),
    # libx264's "baseline" uses none of what the constrained profile leaves out.
    "H264": codec("video", "H264", 90000, 1, 0, "packetization-mode=1;profile-level-id=42e01f"),
}
"""What pictures are encoded as, by name in upper case."""


class Encoded(NamedTuple):
    """A frame, ready to be sent."""

    codec: Codec
    payloads: list[bytes]
    """Of its RTP packets, in order."""
    timestamp: int
    """In units of the codec's clock, from any origin, without wrap-around."""
    timeline: object
    """Frames with the same one have timestamps of the same origin."""
    taken: float
    """When it was there to be encoded, or was due, in seconds of the monotonic clock."""
    keyframe: bool = False
    level: int | None = None
    """Of sound that was encoded here: decibels below full scale (RFC 6464)."""
    step: int = 0
    """Of sound: by how much each payload is later than the one before, in units of the codec's clock."""

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(map(len, self.payloads))


class Taker(Protocol):
    """Who sends the frames on. The calls come on the event loop, and must not raise."""

    def carries(self, codec: Codec) -> bool:
        """Whether the other side takes frames in that codec."""
        ...

    @property
    def preferred(self) -> str:
        """Name of the codec, in upper case, in which frames are encoded for it."""
        ...

    def take(self, frame: Encoded) -> None: ...

    def ended(self, error: Exception | None) -> None:
        """No more frames will come: the source came to its end, or broke with `error`."""
        ...


class Subscription(Protocol):
    """A taker's place among those of a source."""

    def limit(self, bitrate: int, lasting: int) -> None:
        """The taker's path takes so many bits per second: now; and once its queues are empty."""
        ...

    def request_keyframe(self) -> None:
        """Let a picture that decodes by itself come next; those who ask at the same time get the same one."""
        ...

    def mute(self, muted: bool) -> None:
        """Take nothing for a while; the source goes on."""
        ...

    def close(self) -> None:
        """Take nothing any more; the source ends when nobody takes of it. May be called twice."""
        ...
