"""Decoding a file pass after pass on one timeline that never jumps."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
from av.bitstream import BitStreamFilterContext

from peer.errors import DeviceError
from peer.media.container import MEDIA_ERRORS, Address, open_container
from peer.media.resample import Resampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer

    from peer.media.sound import Samples

log = logging.getLogger(__name__)

READ_AHEAD = 0.5
"""Seconds that reading runs ahead of the clock: enough for the usual interleaving."""
# Pictures that are kept for who begins to watch, to be decoded then; as many as encoders put behind a keyframe.
_UNDECODED = 300
# Packets that cannot be decoded, in a row, before the file counts as broken.
_BROKEN = 100


@dataclass(frozen=True, slots=True)
class AsItIs:
    """A packet of the file that was not decoded."""

    kind: str
    """`video` or `audio`."""
    data: bytes
    keyframe: bool


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture or a piece of sound, and when it is due: seconds since the file began to play."""

    due: float
    content: av.VideoFrame | Samples | AsItIs


@dataclass(slots=True)
class Wanted:
    """What somebody takes right now; the rest is demuxed but not decoded."""

    video: bool = True
    audio: bool = True
    video_packets: bool = False
    audio_packets: bool = False


class Playing:
    """All that `address` gives, in the order of the file; with `loop` from the start again, as if the file went on."""

    def __init__(
        self,
        address: Address,
        wanted: Wanted,
        *,
        loop: bool = False,
        channels: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stopped`: asked for each packet; where nothing is wanted there is nothing else that could end it."""
        self.length = 0.0
        """Seconds of all passes so far; the end of the last one once the iteration is over."""
        self._address = address
        self._wanted = wanted
        self._loop = loop
        self._channels = channels
        self._stopped = stopped

    def decode(self, opened: InputContainer | None = None) -> Iterator[Decoded]:
        """Everything, pass after pass; blocks. `opened` is used for the first pass. Raises `DeviceError`."""
        while True:
            # Opened anew for each pass: not every format can seek to its start, and decoders start clean.
            container = opened if opened is not None else open_container(self._address)
            opened = None
            try:
                one = _Pass(container, self._wanted, self.length, Resampler(self._channels), self._address.what)
                yield from one.decode(self._stopped)
            finally:
                container.close()
            if self._stopped():
                return
            if one.end <= self.length:
                raise DeviceError(f"{self._address.what} holds nothing to play; {self._address.advice}")
            self.length = one.end
            if not self._loop:
                return


class _Pass:
    """Once through the file, all times moved so that it starts at `offset`."""

    def __init__(
        self, container: InputContainer, wanted: Wanted, offset: float, resampler: Resampler, what: str
    ) -> None:
        self._container = container
        self._wanted = wanted
        self._offset = offset
        self._resampler = resampler
        self._what = what
        self._errors = 0
        self._undecoded: list[list[Any]] | None = []
        """While nobody watches: each keyframe and what follows it, from the one that is shown now: reading runs ahead.
        None where they are too many to begin with."""
        self._annexb: Any = None
        self._sound_at = offset
        start = container.start_time
        self._start: float | None = None if start is None else start / 1_000_000
        self.end = offset

    def decode(self, stopped: Callable[[], bool]) -> Iterator[Decoded]:
        streams = [*self._container.streams.video[:1], *self._container.streams.audio[:1]]
        for packet in self._packets(streams):
            if stopped():
                return
            self._measure(packet)
            if packet.stream.type == "video":
                yield from self._video(packet)
            else:
                yield from self._audio(packet)
        rest = self._resampler.flush()
        if len(rest):
            yield Decoded(self._sound_at, rest)

    def _packets(self, streams: list[Any]) -> Iterator[Any]:
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MEDIA_ERRORS as error:
                raise DeviceError(f"{self._what} broke off ({error}); check that it is complete") from error
            yield packet

    def _measure(self, packet: Any) -> None:
        """The pass ends when the last packet of all streams, decoded or not, has been shown."""
        if packet.pts is None:
            return
        time = float(packet.pts * packet.time_base)
        if self._start is None:
            self._start = time
        length = float(packet.duration * packet.time_base) if packet.duration else _usual_duration(packet.stream)
        self.end = max(self.end, self._offset + time - self._start + length)

    def _video(self, packet: Any) -> Iterator[Decoded]:
        if self._wanted.video_packets and packet.size:
            yield Decoded(self._due(packet), AsItIs("video", self._plain(packet), packet.is_keyframe))
        if not self._wanted.video:
            self._leave_undecoded(packet)
            return
        if self._undecoded is None and not packet.is_keyframe:
            return  # nobody watched until now, and this picture refers to those nobody decoded
        undecoded, self._undecoded = self._undecoded or [], []
        for earlier in itertools.chain(*undecoded):
            for frame in self._frames(earlier):
                if (due := self._due(frame)) > self._due(packet) - READ_AHEAD:  # it was read, and is not due yet
                    yield Decoded(due, frame)
        for frame in self._frames(packet):
            yield Decoded(self._due(frame), frame)

    def _leave_undecoded(self, packet: Any) -> None:
        groups = self._undecoded
        if packet.is_keyframe or groups == []:
            groups = self._undecoded = [*(groups or []), [packet]]
        elif groups is not None:
            groups[-1].append(packet)
        else:
            return
        shown = self._due(packet) - READ_AHEAD
        while len(groups) > 1 and (self._due(groups[1][0]) <= shown or sum(map(len, groups)) > _UNDECODED):
            del groups[0]
        if len(groups[0]) > _UNDECODED:
            self._undecoded = None

    def _plain(self, packet: Any) -> bytes:
        """H.264 in Annex B, with parameter sets before each keyframe; others as they are."""
        if packet.stream.codec_context.name != "h264":
            return bytes(packet)
        if self._annexb is None:
            self._annexb = BitStreamFilterContext("h264_mp4toannexb", packet.stream)
        copy: Any = av.Packet(bytes(packet))  # the filter takes what it is given, and it may be decoded, too
        copy.pts, copy.dts, copy.time_base, copy.is_keyframe = (
            packet.pts,
            packet.dts,
            packet.time_base,
            packet.is_keyframe,
        )
        return b"".join([bytes(each) for each in self._annexb.filter(copy)])

    def _audio(self, packet: Any) -> Iterator[Decoded]:
        if self._wanted.audio_packets and packet.size:
            yield Decoded(self._due(packet), AsItIs("audio", bytes(packet), keyframe=True))
        if not self._wanted.audio:
            return
        for frame in self._frames(packet):
            due = self._due(frame)
            pcm = self._resampler.frame(frame)
            if len(pcm):
                yield Decoded(due, pcm)
            self._sound_at = due + frame.samples / frame.sample_rate

    def _frames(self, packet: Any) -> list[Any]:
        try:
            # The packet without data that ends each stream brings out what the decoder still holds.
            frames: list[Any] = packet.decode()
        except MEDIA_ERRORS as error:
            self._errors += 1
            log.debug("%s: a packet cannot be decoded: %s", self._what, error)
            if self._errors >= _BROKEN:
                raise DeviceError(f"{self._what} cannot be decoded ({error}); convert it, e.g. with ffmpeg") from error
            return []
        if frames:
            self._errors = 0
        return frames

    def _due(self, frame: Any) -> float:
        if frame.pts is None:
            return self.end
        time = float(frame.pts * frame.time_base)
        due = self._offset + max(0.0, time - (self._start or 0.0))
        if isinstance(frame, av.AudioFrame):
            self.end = max(self.end, due + frame.samples / frame.sample_rate)
        return due


def _usual_duration(stream: Any) -> float:
    """How long one packet of `stream` lasts when it does not say so."""
    if stream.type == "video":
        rate = stream.average_rate or stream.guessed_rate
        return 1 / float(rate) if rate else 0.04
    context = stream.codec_context
    return (context.frame_size or 960) / (context.sample_rate or 48_000)


def open_for_play(address: Address, *needs: str) -> InputContainer:
    """Open `address` and make sure that it has what `needs` names ("video", "audio"). Raises `DeviceError`."""
    container = open_container(address)
    kinds = {stream.type for stream in (*container.streams.video, *container.streams.audio)}
    missing = [need for need in needs if need not in kinds]
    if kinds and not missing:
        return container
    container.close()
    lacks = {"video": "pictures", "audio": "sound"}[missing[0]] if missing else "pictures and no sound"
    advice = f"use --{missing[0]} with another source, or none" if missing else "use another file"
    raise DeviceError(f"{address.what} has no {lacks}; {advice}")
