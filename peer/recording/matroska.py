"""Matroska (RFC 9559), and WebM, which is a part of it, in bytes: the elements that a recording consists of. Pure.

A recording is a header, clusters of at most a second, and at a proper end an index. The size of the segment stays
"unknown" and the places of index and duration stay void until then, so that a file that was cut off still plays.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.recording.formats import VideoFormat
    from peer.rtc.frames import Codec

VIDEO_TRACK = 1
AUDIO_TRACK = 2
"""Numbers of the two tracks; they are at the same time Matroska's track types."""

_EBML_HEADER = 0x1A45DFA3
_SEGMENT = 0x18538067
_SEEK_HEAD = 0x114D9B74
_INFO = 0x1549A966
_TRACKS = 0x1654AE6B
_CLUSTER = 0x1F43B675
_CUES = 0x1C53BB6B
_VOID = 0xEC
_DURATION = 0x4489
_FRAME_DURATION = 0x23E383
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_SEEK_HEAD_SPACE = 96
_DURATION_SPACE = 11
_FRAME_DURATION_SPACE = 8
TICKS = 10_000
"""Units of time in a second; Matroska's usual millisecond is too coarse to tell 29.9 pictures a second from 30."""
_EPOCH_2001 = 978_307_200
"""Seconds from 1970 to the start of Matroska's dates, 2001-01-01T00:00:00 UTC."""

DocType = Literal["matroska", "webm"]

_VIDEO_IDS = {"VP8": "V_VP8", "VP9": "V_VP9", "AV1": "V_AV1", "H264": "V_MPEG4/ISO/AVC"}
_ACM_TAGS = {"PCMU": 0x0007, "PCMA": 0x0006, "G722": 0x028F}
"""WAVEFORMATEX tags of the codecs that Matroska knows through Microsoft's registry only."""


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a file, and where in it `finish` writes at the end (offsets in bytes from its start)."""

    data: bytes
    segment: int
    """Where the segment's content starts; positions in the index count from here. Its size is in the 8 bytes before."""
    info: int
    tracks: int
    duration: int
    frame_duration: int | None
    """Where the video's frame duration goes; None without video."""


def element(identifier: int, content: bytes) -> bytes:
    """One EBML element: its identifier, its size and its content."""
    return _identifier(identifier) + _size(len(content)) + content


def header(video: VideoFormat | None, audio: Codec | None, started: float, doc_type: DocType = "matroska") -> Header:
    """The beginning of a file with these streams; `started` is the wall-clock time of its first frame (Unix time)."""
    ebml = element(
        _EBML_HEADER,
        b"".join(
            (
                _unsigned(0x4286, 1),
                _unsigned(0x42F7, 1),
                _unsigned(0x42F2, 4),
                _unsigned(0x42F3, 8),
                _text(0x4282, doc_type),
                _unsigned(0x4287, 4),
                _unsigned(0x4285, 2),
            )
        ),
    )
    start = ebml + _identifier(_SEGMENT) + _UNKNOWN_SIZE
    seek_head = _void(_SEEK_HEAD_SPACE)
    information = (
        _unsigned(0x2AD7B1, 1_000_000_000 // TICKS) + _text(0x4D80, "webrtc-peer") + _text(0x5741, "webrtc-peer")
    )
    date = round((started - _EPOCH_2001) * 1e9)
    information += element(0x4461, struct.pack(">q", date)) + _void(_DURATION_SPACE)
    info = element(_INFO, information)
    video_entry = _video_entry(video) if video else b""
    tracks = element(_TRACKS, video_entry + (_audio_entry(audio) if audio else b""))
    entries_at = len(tracks) - len(video_entry) - (len(_audio_entry(audio)) if audio else 0)
    info_at = len(start) + len(seek_head)
    tracks_at = info_at + len(info)
    frame_duration = tracks_at + entries_at + len(video_entry) - _FRAME_DURATION_SPACE if video else None
    data = start + seek_head + info + tracks
    return Header(data, len(start), info_at, tracks_at, tracks_at - _DURATION_SPACE, frame_duration)


def simple_block(track: int, offset: int, data: bytes, *, keyframe: bool) -> tuple[bytes, bytes]:
    """Head and payload of one SimpleBlock; `offset` is in ticks from its cluster's time (16 bits, signed)."""
    head = b"\xa3" + _size(len(data) + 4) + struct.pack(">BhB", 0x80 | track, offset, 0x80 if keyframe else 0)
    return head, data


def cluster(ticks: int, blocks: Iterable[bytes], size: int) -> bytes:
    """A cluster at a time from the file's start, around `blocks` of `size` bytes in all."""
    time = _unsigned(0xE7, ticks)
    return b"".join((_identifier(_CLUSTER), _size(len(time) + size), time, *blocks))


def cues(points: Sequence[tuple[int, int]], track: int) -> bytes:
    """The index: (ticks, position of the cluster from the segment's start) of each place to seek to."""
    return element(
        _CUES,
        b"".join(
            element(
                0xBB,
                _unsigned(0xB3, ticks) + element(0xB7, _unsigned(0xF7, track) + _unsigned(0xF1, position)),
            )
            for ticks, position in points
        ),
    )


def ending(
    start: Header, length: int, seconds: float, cues_at: int | None, frame_seconds: float | None = None
) -> list[tuple[int, bytes]]:
    """What to write where, once a file of `length` bytes is complete: sizes, durations, and where the index is.

    `frame_seconds`: how long a picture lasts, where that is regular.
    """
    positions = [(_INFO, start.info - start.segment), (_TRACKS, start.tracks - start.segment)]
    if cues_at is not None:
        positions.append((_CUES, cues_at - start.segment))
    seeks = b"".join(
        element(0x4DBB, element(0x53AB, _identifier(name)) + element(0x53AC, struct.pack(">Q", position)))
        for name, position in positions
    )
    seek_head = element(_SEEK_HEAD, seeks)
    seek_head += _void(_SEEK_HEAD_SPACE - len(seek_head))
    frame_duration = []
    if start.frame_duration is not None and frame_seconds:
        nanoseconds = round(frame_seconds * 1e9).to_bytes(4, "big")
        frame_duration.append((start.frame_duration, element(_FRAME_DURATION, nanoseconds)))
    return [
        *frame_duration,
        (start.segment, seek_head),
        (start.duration, element(_DURATION, struct.pack(">d", seconds * TICKS))),
        (start.segment - 8, struct.pack(">Q", (1 << 56) | (length - start.segment))),
    ]


def unix_time(date: int) -> float:
    """Unix time of one of Matroska's dates."""
    return date / 1e9 + _EPOCH_2001


def _video_entry(video: VideoFormat) -> bytes:
    picture = _unsigned(0x9A, 2) + _unsigned(0xB0, max(video.width, 1)) + _unsigned(0xBA, max(video.height, 1))
    rest = element(0xE0, picture) + _void(_FRAME_DURATION_SPACE)
    # What MP4 has to say of VP9 is none of Matroska's business: there, V_VP9 needs no initialisation.
    private = b"" if video.codec.name == "VP9" else video.private
    return _entry(VIDEO_TRACK, _VIDEO_IDS[video.codec.name], private, rest)


def _audio_entry(codec: Codec) -> bytes:
    rate = 16000 if codec.name == "G722" else codec.clock_rate  # RFC 3551, 4.5.2: G722 only says 8000
    sound = element(0xB5, struct.pack(">d", rate)) + _unsigned(0x9F, codec.channels)
    if codec.name == "opus":
        # No pre-skip: what arrives is the middle of a stream, none of it is an encoder's run-in.
        private = b"OpusHead" + struct.pack("<BBHIhB", 1, codec.channels, 0, 48000, 0, 0)
        rest = _unsigned(0x56BB, 80_000_000) + element(0xE1, sound)
        return _entry(AUDIO_TRACK, "A_OPUS", private, rest)
    bits = 4 if codec.name == "G722" else 8
    wave = struct.pack(
        "<HHIIHHH",
        _ACM_TAGS[codec.name],
        codec.channels,
        rate,
        rate * codec.channels * bits // 8,
        codec.channels,
        bits,
        0,
    )
    return _entry(AUDIO_TRACK, "A_MS/ACM", wave, element(0xE1, sound + _unsigned(0x6264, bits)))


def _entry(number: int, codec_id: str, private: bytes, rest: bytes) -> bytes:
    content = _unsigned(0xD7, number) + _unsigned(0x73C5, number) + _unsigned(0x83, number) + _unsigned(0x9C, 0)
    content += _text(0x22B59C, "und") + _text(0x86, codec_id)
    return element(0xAE, content + (element(0x63A2, private) if private else b"") + rest)


def _identifier(identifier: int) -> bytes:
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")


def _size(length: int) -> bytes:
    if length < 0x7F:
        return bytes((0x80 | length,))
    if length < 0x3FFF:
        return (0x4000 | length).to_bytes(2, "big")
    if length < 0x0FFF_FFFF:
        return (0x1000_0000 | length).to_bytes(4, "big")
    return ((1 << 56) | length).to_bytes(8, "big")


def _unsigned(identifier: int, value: int) -> bytes:
    return element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _text(identifier: int, value: str) -> bytes:
    return element(identifier, value.encode("ascii"))


def _void(space: int) -> bytes:
    """An element of `space` bytes (2 to 128 of them) that readers skip."""
    return element(_VOID, bytes(space - 2))
