"""RTP headers as we write them (RFC 3550 section 5.1, RFC 8285): what a stream is sent as, and its packets. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peer.rtc.history import SentFrame

_HEADER: Final = Struct("!BBHII")
_EXTENSION: Final = Struct("!HH")
_PLAIN, _WITH_EXTENSIONS = 0x80, 0x90
_ONE_BYTE, _TWO_BYTES = 0xBEDE, 0x1000
_ABS_SEND_TIME_UNITS: Final = 1 << 18
"""A second, in the 24 bits of abs-send-time ..."""
_TIME_BYTES: Final = 3
"""... which are so many bytes."""
_FIRST: Final = 16
"""Where the first extension begins."""
NUMBER_AT: Final = 17
"""Where the transport-wide number is, two bytes, in a packet that has room for one."""
QUIETEST: Final = 127
"""Decibels below full scale: silence (RFC 6464 section 3)."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a stream is sent as: payload types, and the ids of its header extensions, 0 for those not negotiated."""

    payload_type: int
    clock_rate: int
    rtx_payload_type: int | None = None
    """None: what is lost is sent again as it was, and not as in RFC 4588."""
    event_payload_type: int | None = field(default=None, kw_only=True)
    """Of keys among sound (RFC 4733); None where the other side takes none."""
    mid: str = ""
    mid_id: int = 0
    abs_send_time_id: int = 0
    audio_level_id: int = 0
    transport_wide_id: int = 0


class HeaderWriter:
    """Puts packets of one format together. What `Stamp` writes comes first in them."""

    def __init__(self, sent_as: Format) -> None:
        mid = sent_as.mid.encode()
        numbers = (sent_as.mid_id, sent_as.abs_send_time_id, sent_as.audio_level_id, sent_as.transport_wide_id)
        # RFC 8285 section 4.2: ids up to 14 and values of 1 to 16 bytes fit into the short form, which all understand.
        self._short = max(numbers) < 15 and len(mid) <= 16
        self._mid = self._element(sent_as.mid_id, mid) if mid else b""
        # Where `Stamp` looks for it; in the long form, which nobody of those who know it needs, it is left out.
        self._number = self._element(sent_as.transport_wide_id, bytes(2)) if self._short else b""
        self._time = self._element(sent_as.abs_send_time_id, bytes(_TIME_BYTES))
        self._level_id = sent_as.audio_level_id
        self._parts: dict[int | None, tuple[int, bytes, bytes]] = {}
        """By level: the first byte of a header, what follows its fixed part up to the time, and what is after that."""

    def packets(self, frame: SentFrame, ssrc: int, now: float) -> list[bytes]:
        """Those of a frame that is sent `now`, in seconds of any clock that runs evenly."""
        first, tail = self._extensions(frame.level, now)
        timestamp, step = frame.timestamp, frame.step
        plain, pack, marked = frame.payload_type, _HEADER.pack, frame.first + frame.marked
        found = []
        for number, payload in enumerate(frame.payloads, frame.first):
            second = plain | 0x80 if number == marked else plain
            found.append(pack(first, second, number & 0xFFFF, timestamp, ssrc) + tail + payload)
            if step:
                timestamp = timestamp + step & 0xFFFFFFFF
        return found

    def packet(
        self, payload_type: int, marker: bool, number: int, timestamp: int, ssrc: int, level: int | None, now: float
    ) -> bytes:
        """The header of a packet that is sent `now`.

        `level`: of the sound in it, in decibels below full scale; None where there is none.
        """
        first, tail = self._extensions(level, now)
        return _HEADER.pack(first, payload_type | 0x80 if marker else payload_type, number, timestamp, ssrc) + tail

    def _extensions(self, level: int | None, now: float) -> tuple[int, bytes]:
        """The first byte of a header, and what follows its fixed part."""
        if level is not None:
            level = 0 if level < 0 else QUIETEST if level > QUIETEST else level
        parts = self._parts.get(level)
        if parts is None:
            parts = self._parts[level] = self._parts_with(level)
        first, before, after = parts
        return first, before + _send_time(now) + after if self._time else before

    def _parts_with(self, level: int | None) -> tuple[int, bytes, bytes]:
        values = self._number + self._time
        to_time = len(values) - _TIME_BYTES
        values += self._mid
        if self._level_id and level is not None:
            values += self._element(self._level_id, bytes((level,)))
        if not values:
            return _PLAIN, b"", b""
        words = (len(values) + 3) // 4
        values = values.ljust(4 * words, b"\0")
        head = _EXTENSION.pack(_ONE_BYTE if self._short else _TWO_BYTES, words)
        if not self._time:
            return _WITH_EXTENSIONS, head + values, b""
        return _WITH_EXTENSIONS, head + values[:to_time], values[to_time + _TIME_BYTES :]

    def _element(self, number: int, value: bytes) -> bytes:
        if not number:
            return b""
        return (bytes((number << 4 | len(value) - 1,)) if self._short else bytes((number, len(value)))) + value


class Stamp:
    """Finds in packets of `HeaderWriter` what is known only when they leave. Ids are 0 for what was not agreed."""

    def __init__(self, transport_wide_id: int, abs_send_time_id: int) -> None:
        self._number = transport_wide_id << 4 | 1 if 0 < transport_wide_id < 15 else None
        """The first byte of an element in the short form (RFC 8285 section 4.2) ..."""
        self._time = abs_send_time_id << 4 | 2 if 0 < abs_send_time_id < 15 else None
        """... and of the other one."""

    def numbered(self, data: bytes) -> bool:
        """Whether the packet has room for a transport-wide number, at NUMBER_AT."""
        return data[_FIRST] == self._number and data[0] == _WITH_EXTENSIONS if len(data) > _FIRST + 2 else False

    def timed(self, data: bytes, now: float) -> bytes:
        """The packet, sent `now` and not when it was made, if it says when it was sent."""
        at = _FIRST + 3 if self.numbered(data) else _FIRST
        if self._time is None or len(data) < at + 4 or data[0] != _WITH_EXTENSIONS or data[at] != self._time:
            return data
        return data[: at + 1] + _send_time(now) + data[at + 4 :]


def _send_time(now: float) -> bytes:
    return (int(now * _ABS_SEND_TIME_UNITS) & 0xFFFFFF).to_bytes(_TIME_BYTES, "big")
