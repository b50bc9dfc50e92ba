"""How far a fragmented MP4 file (ISO/IEC 14496-12, section 8.8) is whole. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.recording.matroskafile import NotOurs

if TYPE_CHECKING:
    from peer.recording.matroskafile import Bytes

_HEAD: Final = 8


def whole(data: Bytes) -> int:
    """Bytes up to the end of the last fragment, or other box, that is all there. Raises NotOurs for anything else."""
    at = end = 0
    kinds: set[bytes] = set()
    while (head := data[at : at + _HEAD]) and len(head) == _HEAD:
        size, kind = int.from_bytes(head[:4]), head[4:]
        if size < _HEAD or at + size > len(data) or not kind.isalnum():
            break
        kinds.add(kind)
        at += size
        if kind != b"moof":  # which is nothing without the mdat that follows
            end = at
    if not kinds >= {b"ftyp", b"moov"}:
        raise NotOurs("it is no MP4 file of this recorder")
    return end
