"""How far a fragmented MP4 file (ISO/IEC 14496-12, section 8.8) is whole, and when it began. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from peer.recording.matroskafile import NotOurs

if TYPE_CHECKING:
    from peer.recording.matroskafile import Bytes

_HEAD: Final = 8
_CLOCK_SIZE: Final = 32
_EPOCH_1900: Final = 2_208_988_800
"""Seconds from the start of NTP's first era to 1970."""


class Mp4File(NamedTuple):
    """What its boxes say."""

    end: int
    """Bytes up to the end of the last fragment, or other box, that is all there."""
    started: float | None
    """Unix time of its zero."""


def boxes(data: Bytes) -> Mp4File:
    """Walk over the boxes of a file. Raises NotOurs for one that does not begin as an MP4 file does."""
    at = end = 0
    started: float | None = None
    kinds: set[bytes] = set()
    while len(head := data[at : at + _HEAD]) == _HEAD:
        size, kind = int.from_bytes(head[:4]), head[4:]
        if size < _HEAD or at + size > len(data) or not kind.isalnum():
            break
        if kind == b"prft" and started is None and size == _CLOCK_SIZE:
            started = _unix(data[at + 16 : at + 24])
        kinds.add(kind)
        at += size
        if kind != b"moof":  # which is nothing without the mdat that follows
            end = at
    if not kinds >= {b"ftyp", b"moov"}:
        raise NotOurs("it is no MP4 file of this recorder")
    return Mp4File(end, started)


def _unix(ntp: bytes) -> float:
    seconds, fraction = int.from_bytes(ntp[:4]), int.from_bytes(ntp[4:])
    if seconds < _EPOCH_1900:
        seconds += 2**32  # the era that begins in 2036
    return seconds - _EPOCH_1900 + fraction / 2**32
