"""What goes into which container: codecs, and what a file says about its streams before the first frame. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from peer.recording import av1, avc, vp9

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.frames import Codec, EncodedFrame

Format = Literal["mkv", "webm", "mp4"]
"""A container, as the ending of its files: Matroska, WebM, fragmented MP4."""
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

FLUSH_INTERVAL = 0.5
"""Seconds of media that a file hands to the disk at a time, which is what a killed process loses at most."""

_VIDEO: Final[dict[str, tuple[Format, ...]]] = {
    "VP8": ("mkv", "webm"),
    "VP9": ("mkv", "webm", "mp4"),
    "AV1": ("mkv", "webm", "mp4"),
    "H264": ("mkv", "mp4"),
}
_AUDIO: Final[dict[str, tuple[Format, ...]]] = {
    "opus": ("mkv", "webm", "mp4"),
    "PCMU": ("mkv",),
    "PCMA": ("mkv",),
    "G722": ("mkv",),
}
"""RTP name of each codec that can be recorded, and the containers that hold it."""
PREFERRED: Final[dict[Format, tuple[str, ...]]] = {
    "mkv": (),
    "webm": ("VP8", "VP9", "AV1"),
    "mp4": ("H264", "VP9", "AV1"),
}
"""Video to ask a sender for, most wanted first, where a container does not hold all that it may send."""
_PRIVATE: Final[dict[str, Callable[[bytes], bytes | None]]] = {
    "H264": avc.decoder_configuration,
    "VP9": vp9.decoder_configuration,
    "AV1": av1.decoder_configuration,
}


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What the header of a file says about its video; `private` is the codec's own initialisation data.

    That is the content of avcC, vpcC or av1C (ISO/IEC 14496-15 and the like), and nothing for VP8.
    """

    codec: Codec
    width: int
    height: int
    private: bytes = b""


@dataclass(frozen=True, slots=True)
class Layout:
    """What one file holds; `origin` is the `EncodedFrame.time` that becomes zero in it."""

    video: VideoFormat | None
    audio: Codec | None
    origin: float


def is_video(codec: Codec) -> bool:
    """Whether `codec` is one of the video codecs that a recording can hold."""
    return codec.name in _VIDEO


def is_audio(codec: Codec) -> bool:
    """Whether `codec` is one of the audio codecs that a recording can hold."""
    return codec.name in _AUDIO


def video_format(frame: EncodedFrame) -> VideoFormat | None:
    """How a file has to describe the video that starts with `frame`; None when decoding cannot start there."""
    if not frame.keyframe or not is_video(frame.codec):
        return None
    private: bytes | None = b""
    if frame.codec.name in _PRIVATE:
        private = _PRIVATE[frame.codec.name](frame.data)
    return None if private is None else VideoFormat(frame.codec, frame.width, frame.height, private)


def container(wanted: Format, video: Codec | None, audio: Codec | None) -> Format:
    """The container for these streams: the wanted one, or Matroska, which holds everything, where that cannot."""
    fits = (video is None or wanted in _VIDEO[video.name]) and (audio is None or wanted in _AUDIO[audio.name])
    return wanted if fits else "mkv"


def same_codec(first: Codec, second: Codec) -> bool:
    """Whether two payload types mean the same codec."""
    return (first.name, first.clock_rate, first.channels) == (second.name, second.clock_rate, second.channels)


def continues(present: VideoFormat | None, begin: VideoFormat, wanted: Format) -> bool:
    """Whether a file with video as in `present` can go on with a keyframe as in `begin`.

    VP8, VP9 and AV1 say the picture's size in the stream, and players of Matroska follow it there. For H.264, and for
    everything in MP4, players rely on the size in the header; other changes of parameter sets travel in the stream.
    """
    if present is None or not same_codec(present.codec, begin.codec):
        return False
    follows = begin.codec.name != "H264" and container(wanted, begin.codec, None) != "mp4"
    return follows or (present.width, present.height) == (begin.width, begin.height)
