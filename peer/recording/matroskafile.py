"""Reads what `peer.recording.matroska` wrote, also where the end is torn: how far it is whole, what is in it. Pure.

Takes any bytes; those that are not the beginning of a recording raise `NotOurs`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from peer.recording.matroska import AUDIO_TRACK, VIDEO_TRACK, Header, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator

_EBML, _SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SEEK_HEAD, _VOID, _ENTRY, _BLOCK, _TIME = 0x114D9B74, 0xEC, 0xAE, 0xA3, 0xE7
_DATE, _APP, _NUMBER, _CODEC = 0x4461, 0x4D80, 0xD7, 0x86
_VIDEO, _WIDTH, _HEIGHT = 0xE0, 0xB0, 0xBA
_MAX_HEADER: Final = 1 << 20
_MAX_CLUSTER: Final = 64 << 20


class Bytes(Protocol):
    """Bytes, or a file mapped into memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes: ...


class NotOurs(ValueError):
    """The file was not written by this recorder, or its beginning is broken."""


class Element(NamedTuple):
    """Where an EBML element lies, in bytes from the start of the file; `end` is -1 where its size is unknown."""

    identifier: int
    start: int
    content: int
    end: int


class Block(NamedTuple):
    """One frame; `ticks` are from the start of the file."""

    track: int
    ticks: int
    keyframe: bool


class Cluster(NamedTuple):
    """A whole cluster, from byte `start` to byte `end`."""

    start: int
    end: int
    ticks: int
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a file says before its first cluster."""

    header: Header
    """Where the places are that are written at the end; without its data."""
    media: int
    """Where the first cluster begins."""
    length: int | None
    """Bytes that the file should have, None while it was not closed."""
    started: float | None
    """Unix time of its zero."""
    codecs: dict[int, str] = field(default_factory=dict)
    """Matroska's codec ids by track, such as `V_VP8`."""
    size: tuple[int, int] = (0, 0)
    """Of the first picture, in pixels."""


def beginning(data: Bytes) -> Beginning:
    """Read a file up to its first cluster. Raises NotOurs."""
    segment = _after(data, _at(data, 0, _EBML).end, _SEGMENT)
    if segment.content - segment.start != 12:
        raise NotOurs("it was written by another program")
    info = _at_first(data, segment.content, _INFO)
    tracks = _after(data, info.end, _TRACKS)
    about = {each.identifier: each for each in _children(data, info)}
    last = list(about.values())[-1:]
    if not last or _APP not in about or _content(data, about[_APP]) != b"webrtc-peer":
        raise NotOurs("it was written by another program")
    codecs, size, frame_duration = _tracks(data, tracks)
    started = None
    if _DATE in about and len(date := _content(data, about[_DATE])) == 8:
        started = unix_time(struct.unpack(">q", date)[0])
    header = Header(b"", segment.content, info.start, tracks.start, last[0].start, frame_duration)
    length = None if segment.end < 0 else segment.end
    return Beginning(header, tracks.end, length, started, codecs, size)


def clusters(data: Bytes, start: int) -> Iterator[Cluster]:
    """The clusters from byte `start` on, as long as they are whole."""
    while (element := _element(data, start, len(data))) is not None and element.identifier == _CLUSTER:
        if not 0 <= element.end - start <= _MAX_CLUSTER or (found := _cluster(data, element)) is None:
            return
        yield found
        start = found.end


def _cluster(data: Bytes, element: Element) -> Cluster | None:
    """None where its content is not blocks from its beginning to its end."""
    content = data[element.content : element.end]
    time = _element(content, 0, len(content))
    if time is None or time.identifier != _TIME or time.end < 0:
        return None
    ticks = int.from_bytes(content[time.content : time.end])
    blocks, at = [], time.end
    while at < len(content):
        block = _element(content, at, len(content))
        if block is None or block.identifier != _BLOCK or block.end - block.content < 4:
            return None
        track, offset, flags = struct.unpack_from(">BhB", content, block.content)
        blocks.append(Block(track & 0x7F, max(0, ticks + offset), bool(flags & 0x80)))
        at = block.end
    return Cluster(element.start, element.end, ticks, blocks)


def _tracks(data: Bytes, tracks: Element) -> tuple[dict[int, str], tuple[int, int], int | None]:
    codecs: dict[int, str] = {}
    size, frame_duration = (0, 0), None
    for entry in _children(data, tracks):
        fields = {each.identifier: each for each in _children(data, entry)} if entry.identifier == _ENTRY else {}
        if _NUMBER not in fields or _CODEC not in fields:
            continue
        number = int.from_bytes(_content(data, fields[_NUMBER]))
        if number in (VIDEO_TRACK, AUDIO_TRACK):
            codecs[number] = _content(data, fields[_CODEC])[:64].decode("ascii", "replace")
        if number == VIDEO_TRACK and _VIDEO in fields:
            frame_duration = list(fields.values())[-1].start
            picture = {each.identifier: _content(data, each) for each in _children(data, fields[_VIDEO])}
            size = (int.from_bytes(picture.get(_WIDTH, b"")[:4]), int.from_bytes(picture.get(_HEIGHT, b"")[:4]))
    if not codecs:
        raise NotOurs("it has no track")
    return codecs, size, frame_duration


def _at_first(data: Bytes, start: int, identifier: int) -> Element:
    """The first element that is no table of contents, nor the place for one."""
    while (element := _at(data, start)).identifier in (_VOID, _SEEK_HEAD):
        start = element.end
    return _at(data, start, identifier)


def _at(data: Bytes, start: int, identifier: int | None = None) -> Element:
    element = _after(data, start, identifier)
    if element.end < 0:
        raise NotOurs("it is no Matroska file")
    return element


def _after(data: Bytes, start: int, identifier: int | None = None) -> Element:
    element = _element(data, start, len(data))
    if element is None or element.start > _MAX_HEADER or identifier not in (None, element.identifier):
        raise NotOurs("it is no Matroska file")
    return element


def _children(data: Bytes, parent: Element) -> Iterator[Element]:
    at = parent.content
    while at < parent.end:
        child = _element(data, at, parent.end)
        if child is None or child.end < 0:
            raise NotOurs("its beginning is broken")
        yield child
        at = child.end


def _content(data: Bytes, element: Element) -> bytes:
    return data[element.content : element.end]


def _element(data: Bytes, start: int, limit: int) -> Element | None:
    """The element at byte `start`; None where none begins there, or where it is not whole within `limit`."""
    head = data[start : min(start + 12, limit)]
    if not head or not head[0] & 0xF0:
        return None
    width = 9 - head[0].bit_length()
    size = head[width : width + 1]
    if not size or not size[0]:
        return None
    size_width = 9 - size[0].bit_length()
    content = start + width + size_width
    if len(head) < width + size_width:
        return None
    length = int.from_bytes(head[width : width + size_width]) & ((1 << 7 * size_width) - 1)
    identifier = int.from_bytes(head[:width])
    if length == (1 << 7 * size_width) - 1:
        return Element(identifier, start, content, -1)
    end = content + length
    # A file that was closed and cut off later says a size that it has not got: what is in it counts all the same.
    if end > limit and identifier != _SEGMENT:
        return None
    return Element(identifier, start, content, end)
