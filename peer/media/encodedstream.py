"""What a file holds as it is: which of its streams can be sent without encoding them again, and their packets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from peer.errors import DeviceError
from peer.media.base import Reader, SourceEnded
from peer.media.container import MEDIA_ERRORS, Address, open_container

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer

EXAMINED: Final = 120
"""Packets at the start of a file that are looked at: whether their order is that of their times, how large they are."""
WAITING: Final = 600
"""Packets of a stream that wait to be sent; beyond, all go up to the next keyframe: none of those decodes without the
others."""
_VIDEO: Final = {"vp8": "VP8", "vp9": "VP9", "h264": "H264"}
_SPS: Final = 7


@dataclass(frozen=True, slots=True)
class EncodedStream:
    """A stream of a file, as RTP would name it."""

    codec: str
    """`VP8`, `VP9`, `H264` or `opus`."""
    profile: str
    """`profile-level-id` of H.264 (RFC 6184 section 8.1), six hexadecimal digits; `profile-id` of VP9; else ""."""
    channels: int
    """Of sound; of pictures 1."""
    bitrate: int
    """Bits per second, on average."""


class EncodedPacket(NamedTuple):
    """A frame as the file has it; H.264 in Annex B, a keyframe with its parameter sets."""

    data: bytes
    time: float
    """Seconds since the file began to play."""
    origin: float
    """When that was, in seconds of the monotonic clock."""
    keyframe: bool


class EncodedReader(Reader):
    """One feed's view of a file's packets, in order; `dropped` counts those nobody took in time."""

    def __init__(self, leave: Callable[[Reader], None] | None = None) -> None:
        super().__init__(leave)
        self._packets: deque[EncodedPacket] = deque()
        self._broken = False

    @property
    def ended(self) -> bool:
        return self._over and not self._packets

    def _forget(self) -> None:
        self._packets.clear()

    def offer(self, packet: EncodedPacket) -> None:
        """For the source: here is the next. From any thread, never blocks."""
        with self._lock:
            if self._over:
                return
            self._broken = self._broken and not packet.keyframe
            if len(self._packets) >= WAITING:
                self.dropped += len(self._packets)
                self._packets.clear()
                self._broken = not packet.keyframe
            if self._broken:
                self.dropped += 1
                return
            self._packets.append(packet)
        self._notify()

    async def next(self) -> EncodedPacket:
        """Wait for the next. Raises `SourceEnded` after the last one, `DeviceError` when the source broke."""
        while True:
            with self._lock:
                if self._packets:
                    return self._packets.popleft()
                if self._over:
                    raise self._failure or SourceEnded("the source has ended; open a new one to go on")
                self._wake.clear()
                self._waiting = True
            await self._wake.wait()


def examine(address: Address) -> dict[str, EncodedStream]:
    """What of a file can be sent as it is, by "video" and "audio"; blocks."""
    if address.format is not None:  # a device, or a generator: nothing is encoded there
        return {}
    try:
        with open_container(address) as container:
            found = {"video": _video(container), "audio": _audio(container)}
    except DeviceError:  # whoever plays it will say what is wrong
        return {}
    return {kind: stream for kind, stream in found.items() if stream is not None}


def _audio(container: InputContainer) -> EncodedStream | None:
    for stream in container.streams.audio[:1]:
        if stream.codec_context.name in ("opus", "libopus") and stream.channels <= 2:
            return EncodedStream("opus", "", 2, stream.bit_rate or 64_000)
    return None


def _video(container: InputContainer) -> EncodedStream | None:
    """Its first pictures are looked at: whether they come in the order in which they are shown, and upright."""
    for stream in container.streams.video[:1]:
        name = _VIDEO.get(stream.codec_context.name)
        if name is None or stream.codec_context.has_b_frames:
            return None
        begin = _Beginning()
        try:
            for packet in container.demux(stream):
                if not begin.takes(packet):
                    break
        except MEDIA_ERRORS:
            return None  # whoever plays it will say what is wrong
        if not begin.fit:
            return None
        profile = _profile(name, begin.first, stream.codec_context.extradata or b"")
        return None if profile is None else EncodedStream(name, profile, 1, _bitrate(container, stream, begin))
    return None


class _Beginning:
    """The first packets of a stream of pictures."""

    def __init__(self) -> None:
        self.first = b""
        self.size = 0
        self.fit = False
        self._count = 0
        self._from: float | None = None
        self.until = 0.0
        self._shown = False

    def takes(self, packet: Any) -> bool:
        """Look at a packet; False: there is no need to see more."""
        if packet.pts is None:
            return bool(packet.size)
        at = float(packet.pts * packet.time_base)
        if self._from is None:
            if not packet.is_keyframe:  # nobody could be sent its beginning
                return False
            self._from, self.first, self.fit = at, bytes(packet), True
        elif at <= self.until:
            self.fit = False  # pictures that are shown in another order: no receiver sorts them
            return False
        self.until, self.size, self._count = at, self.size + packet.size, self._count + 1
        if not self._shown:
            for frame in packet.decode():
                self._shown = True
                if round(frame.rotation / 90) % 4 or frame.format.name not in ("yuv420p", "yuvj420p"):
                    self.fit = False
        return self.fit and self._count < EXAMINED

    @property
    def bitrate(self) -> int:
        seconds = self.until - (self._from or 0.0)
        return round(self.size * 8 / seconds) if seconds > 0 else 0


def _bitrate(container: InputContainer, stream: Any, begin: _Beginning) -> int:
    said = stream.bit_rate or 0
    if not said and container.duration and container.size > 0:  # with the sound, and what the container adds
        said = round(container.size * 8 / (container.duration / 1_000_000))
    return said or begin.bitrate


def _profile(name: str, first: bytes, extradata: bytes) -> str | None:
    """None where a receiver could not be told what it is."""
    if name == "VP8":
        return ""
    if name == "VP9":  # frame_marker, then the profile's low and high bit (VP9 bitstream section 6.2)
        return str(first[0] >> 5 & 1 | (first[0] >> 4 & 1) << 1) if first else None
    if extradata[:1] == b"\x01" and len(extradata) >= 4:  # AVCDecoderConfigurationRecord (ISO 14496-15)
        return extradata[1:4].hex()
    for data in (extradata, first):  # Annex B
        at = data.find(b"\x00\x00\x01")
        while at >= 0 and at + 7 <= len(data):
            if data[at + 3] & 0x1F == _SPS:
                return data[at + 4 : at + 7].hex()
            at = data.find(b"\x00\x00\x01", at + 3)
    return None
