"""RTP headers as we write them (RFC 3550 section 5.1, RFC 8285): what a stream is sent as, and its packets. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

_HEADER: Final = Struct("!BBHII")
_EXTENDED: Final = Struct("!BBHIIHH")
_PLAIN, _WITH_EXTENSIONS = 0x80, 0x90
_ONE_BYTE, _TWO_BYTES = 0xBEDE, 0x1000
_ABS_SEND_TIME_UNITS: Final = 1 << 18
"""A second, in the 24 bits of abs-send-time."""
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


class HeaderWriter:
    """Puts packets of one format together."""

    def __init__(self, sent_as: Format) -> None:
        mid = sent_as.mid.encode()
        numbers = (sent_as.mid_id, sent_as.abs_send_time_id, sent_as.audio_level_id)
        # RFC 8285 section 4.2: ids up to 14 and values of 1 to 16 bytes fit into the short form, which all understand.
        self._short = max(numbers) < 15 and len(mid) <= 16
        self._mid = self._element(sent_as.mid_id, mid) if mid else b""
        self._abs_send_time_id = sent_as.abs_send_time_id
        self._level_id = sent_as.audio_level_id

    def packet(
        self, payload_type: int, marker: bool, number: int, timestamp: int, ssrc: int, level: int | None, now: float
    ) -> bytes:
        """The header of a packet that is sent `now`, in seconds of any clock that runs evenly.

        `level`: of the sound in it, in decibels below full scale; None where there is none.
        """
        values = self._mid
        if self._abs_send_time_id:
            sent = int(now * _ABS_SEND_TIME_UNITS) & 0xFFFFFF
            values += self._element(self._abs_send_time_id, sent.to_bytes(3, "big"))
        if self._level_id and level is not None:
            values += self._element(self._level_id, bytes((min(max(level, 0), QUIETEST),)))
        second = payload_type | 0x80 if marker else payload_type
        if not values:
            return _HEADER.pack(_PLAIN, second, number, timestamp, ssrc)
        words = (len(values) + 3) // 4
        profile = _ONE_BYTE if self._short else _TWO_BYTES
        head = _EXTENDED.pack(_WITH_EXTENSIONS, second, number, timestamp, ssrc, profile, words)
        return head + values.ljust(4 * words, b"\0")

    def _element(self, number: int, value: bytes) -> bytes:
        if not number:
            return b""
        return (bytes((number << 4 | len(value) - 1,)) if self._short else bytes((number, len(value)))) + value
