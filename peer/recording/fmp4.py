"""Fragmented MP4 (ISO/IEC 14496-12) in bytes: the boxes that a recording consists of. Pure.

A recording is ftyp and moov, which say what there is and hold no frame, then fragments (moof and mdat) of at most a
second, and at a proper end an index (mfra). Each fragment says when its frames are (tfdt), so that a file that was cut
off plays, and nothing has to be rewritten for that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.recording.formats import VideoFormat
    from peer.rtc.frames import Codec

VIDEO_TRACK = 1
AUDIO_TRACK = 2
"""Track ids."""
TIMESCALES = {VIDEO_TRACK: 90_000, AUDIO_TRACK: 48_000}
"""Ticks in a second: RTP's clocks, so that the distances of frames are kept exactly."""

_EPOCH_1904 = 2_082_844_800
"""Seconds from the start of MP4's dates, 1904-01-01T00:00:00 UTC, to 1970."""
_EPOCH_1900 = 2_208_988_800
"""Seconds from the start of NTP's era 0 to 1970."""
_MOVIE_TIMESCALE = 90_000
_ENTRIES = {"H264": (b"avc1", b"avcC"), "VP9": (b"vp09", b"vpcC"), "AV1": (b"av01", b"av1C")}
"""Sample entry and configuration box. `avc1` rather than `avc3`, although parameter sets stay in the stream, where a
decoder finds those that changed: more players know it, and those that do not look for sets there have no need to."""
_SYNC = 0x0200_0000
_NO_SYNC = 0x0101_0000
"""Sample flags: depends on no other sample; depends on others, and is no place to begin at."""
_HANDLERS = {VIDEO_TRACK: (b"vide", b"VideoHandler\0", 0), AUDIO_TRACK: (b"soun", b"SoundHandler\0", 0x100)}
"""Handler type, its name, and the volume of tracks that have one."""
_UNITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
_DURATION_SPACE = 20
_ROLL = -4
"""Opus packets to decode before a place to begin at, 80 ms ("Encapsulation of Opus in ISO BMFF", section 4.3.6.2)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a file, and where in it the duration goes at the end."""

    data: bytes
    duration: int
    """Offset of the box that `duration` makes; until then the place is free."""


@dataclass(frozen=True, slots=True)
class Run:
    """Successive samples of one track in a fragment."""

    track: int
    time: int
    """When the first sample is, in ticks from the start of the file."""
    samples: Sequence[bytes]
    durations: Sequence[int]
    sync: Sequence[bool]


def box(kind: bytes, *content: bytes) -> bytes:
    """One box: its size, its type and its content."""
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + kind + data


def header(video: VideoFormat | None, audio: Codec | None, started: float) -> Header:
    """The beginning of a file with these streams; `started` is the wall-clock time of its start (Unix time)."""
    file_type = box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6mp41")
    created = max(round(started) + _EPOCH_1904, 0)
    movie = _full(b"mvhd", 1, 0, struct.pack(">QQIQ", created, created, _MOVIE_TIMESCALE, 0), _MOVIE_REST)
    tracks = [_video_track(video, created)] if video else []
    if audio:
        tracks.append(_audio_track(audio, created))
    space = box(b"free", bytes(_DURATION_SPACE - 8))
    numbers = [number for number, there in ((VIDEO_TRACK, video), (AUDIO_TRACK, audio)) if there]
    extends = [_full(b"trex", 0, 0, struct.pack(">5I", number, 1, 0, 0, _SYNC)) for number in numbers]
    tail = box(b"mvex", space, *extends)
    data = file_type + box(b"moov", movie, *tracks, tail)
    return Header(data, len(data) - len(tail) + 8)


def duration(seconds: float) -> bytes:
    """What goes to `Header.duration` once it is known: how long all fragments take."""
    return _full(b"mehd", 1, 0, struct.pack(">Q", round(seconds * _MOVIE_TIMESCALE)))


def wall_clock(track: int, started: float) -> bytes:
    """Before the first fragment: the moment of the file's start in Unix time, exact where dates are in seconds."""
    seconds, fraction = divmod(started + _EPOCH_1900, 1)
    ntp = (int(seconds) & 0xFFFF_FFFF) << 32 | int(fraction * 2**32)
    return _full(b"prft", 1, 0, struct.pack(">IQQ", track, ntp, 0))


def fragment(sequence: int, runs: Sequence[Run]) -> bytes:
    """One fragment, the `sequence`-th from 1 on."""
    # A moof is as long whatever the offsets say, which count from its start.
    offset = len(_moof(sequence, runs, 0)) + 8
    size = sum(len(sample) for run in runs for sample in run.samples)
    payload = [sample for run in runs for sample in run.samples]
    return b"".join((_moof(sequence, runs, offset), struct.pack(">I", size + 8), b"mdat", *payload))


def free(size: int) -> bytes:
    """The start of a box of `size` bytes in all that readers skip."""
    return struct.pack(">I4s", size, b"free")


def index(track: int, points: Sequence[tuple[int, int]]) -> bytes:
    """The index: (ticks, position of the fragment in the file) of each place to seek to in `track`."""
    entries = b"".join(struct.pack(">QQBBB", ticks, position, 1, 1, 1) for ticks, position in points)
    places = _full(b"tfra", 1, 0, struct.pack(">III", track, 0, len(points)), entries)
    return box(b"mfra", places, _full(b"mfro", 0, 0, struct.pack(">I", len(places) + 24)))


def _moof(sequence: int, runs: Sequence[Run], offset: int) -> bytes:
    fragments = []
    for run in runs:
        fragments.append(_track_fragment(run, offset))
        offset += sum(map(len, run.samples))
    return box(b"moof", _full(b"mfhd", 0, 0, struct.pack(">I", sequence)), *fragments)


def _track_fragment(run: Run, offset: int) -> bytes:
    head = _full(b"tfhd", 0, 0x02_0000, struct.pack(">I", run.track))  # default-base-is-moof
    time = _full(b"tfdt", 1, 0, struct.pack(">Q", run.time))
    rows: list[int] = []
    for sample, length, sync in zip(run.samples, run.durations, run.sync, strict=True):
        rows += (length, len(sample), _SYNC if sync else _NO_SYNC)
    # data-offset, and of each sample duration, size and flags
    table = struct.pack(f">Ii{len(rows)}I", len(run.samples), offset, *rows)
    return box(b"traf", head, time, _full(b"trun", 0, 0x701, table))


def _video_track(video: VideoFormat, created: int) -> bytes:
    width, height = min(max(video.width, 1), 0xFFFF), min(max(video.height, 1), 0xFFFF)
    kind, configuration = _ENTRIES[video.codec.name]
    full = struct.pack(">I", 1 << 24) if video.codec.name == "VP9" else b""
    # one sample entry (section 12.1.3): no name, 24 bits, 72 dots per inch
    entry = box(
        kind,
        struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x48_0000, 0x48_0000, 0, 1, 24, -1),
        box(configuration, full, video.private),
    )
    media = _full(b"vmhd", 0, 1, bytes(8))
    return _track(VIDEO_TRACK, created, struct.pack(">II", width << 16, height << 16), media + _table(entry))


def _audio_track(audio: Codec, created: int) -> bytes:
    # No pre-skip: what arrives is the middle of a stream, none of it is an encoder's run-in.
    configuration = box(b"dOps", struct.pack(">BBHIhB", 0, audio.channels, 0, 48000, 0, 0))
    entry = box(b"Opus", struct.pack(">6xH8xHH4xI", 1, audio.channels, 16, 48000 << 16), configuration)
    roll = _full(b"sgpd", 2, 0, b"roll", struct.pack(">IIIh", 2, 1, 1, _ROLL))
    media = _full(b"smhd", 0, 0, bytes(4))
    return _track(AUDIO_TRACK, created, bytes(8), media + _table(entry, roll))


def _track(number: int, created: int, size: bytes, media: bytes) -> bytes:
    handler, name, volume = _HANDLERS[number]
    head = _full(b"tkhd", 1, 3, struct.pack(">QQI12x8xIHH", created, created, number, 0, volume, 0), _UNITY, size)
    # language: "und", in three times five bits
    media_head = _full(b"mdhd", 1, 0, struct.pack(">QQIQHH", created, created, TIMESCALES[number], 0, 0x55C4, 0))
    kind = _full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), name)
    return box(b"trak", head, box(b"mdia", media_head, kind, box(b"minf", media)))


def _table(entry: bytes, groups: bytes = b"") -> bytes:
    """Data in this file; one sample entry, and no samples, since those are in the fragments."""
    data = box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
    empty = (_full(b"stts", 0, 0, bytes(4)), _full(b"stsc", 0, 0, bytes(4)), _full(b"stsz", 0, 0, bytes(8)))
    places = _full(b"stco", 0, 0, bytes(4))
    return data + box(b"stbl", _full(b"stsd", 0, 0, struct.pack(">I", 1), entry), *empty, places, groups)


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


_MOVIE_REST = struct.pack(">IH10x", 0x10000, 0x100) + _UNITY + bytes(24) + struct.pack(">I", 3)
"""Rate, volume, no turning, and the next free track id."""
