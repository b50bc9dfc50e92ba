"""Encoded frames as the payloads of RTP packets, of even size where a frame takes several. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.rtc.payload.h264 import FU_A, STAP_A, split_nal_units
from peer.rtc.payload.vp9 import is_keyframe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_PAYLOAD: Final = 1180
"""Bytes. With the headers of RTP, SRTP, TURN and IPv6 and a retransmission's two bytes, it fits the 1280 bytes that
every path of IPv6 carries."""

_VP8_START, _VP8_GOES_ON = b"\x10", b"\x00"
_NAL_HEADER, _FU_HEADERS, _STAP_LENGTH = 1, 2, 2


def packetise_vp8(frame: bytes, most: int = MAX_PAYLOAD) -> list[bytes]:
    """RFC 7741, with the shortest descriptor: without layers nobody needs the numbers of pictures."""
    pieces = list(_even(frame, most - 1))
    return [_VP8_START + pieces[0], *(_VP8_GOES_ON + piece for piece in pieces[1:])] if pieces else []


def packetise_h264(frame: bytes, most: int = MAX_PAYLOAD) -> list[bytes]:
    """RFC 6184, packetization mode 1, of an access unit in Annex B: small NAL units together, large ones in parts."""
    payloads: list[bytes] = []
    together: list[bytes] = []
    size = 0
    for unit in split_nal_units(frame):
        if together and size + _STAP_LENGTH + len(unit) > most:
            payloads.append(_together(together))
            together = []
        if len(unit) > most:
            if together:  # in their order
                payloads.append(_together(together))
                together = []
            payloads += _fragments(unit, most)
            continue
        if not together:
            size = _NAL_HEADER
        together.append(unit)
        size += _STAP_LENGTH + len(unit)
    if together:
        payloads.append(_together(together))
    return payloads


def _together(units: list[bytes]) -> bytes:
    """A single NAL unit packet, or a STAP-A (section 5.7.1)."""
    if len(units) == 1:
        return units[0]
    # F of any, the highest NRI of all (section 5.7.1).
    forbidden = max(unit[0] & 0x80 for unit in units)
    importance = max(unit[0] & 0x60 for unit in units)
    return bytes((forbidden | importance | STAP_A,)) + b"".join([len(unit).to_bytes(2, "big") + unit for unit in units])


def _fragments(unit: bytes, most: int) -> Iterator[bytes]:
    """FU-As (section 5.8): S in the first, E in the last."""
    indicator, kind = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F
    pieces = list(_even(unit[1:], most - _FU_HEADERS))
    for index, piece in enumerate(pieces):
        edge = 0x80 if index == 0 else 0x40 if index == len(pieces) - 1 else 0
        yield bytes((indicator, edge | kind)) + piece


def _even(data: bytes, most: int) -> Iterator[bytes]:
    """Pieces of one size, the last a little smaller: so many datagrams can be sent in one call."""
    count = -(-len(data) // most)
    size = -(-len(data) // count) if count else 0
    for index in range(count):
        if data[index * size :]:
            yield data[index * size : (index + 1) * size]


class Vp9Packetiser:
    """RFC 9628 in flexible mode, of pictures without layers: each is said to refer to the one before it."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, frame: bytes, most: int = MAX_PAYLOAD) -> list[bytes]:
        if not frame:
            return []
        self._number = (self._number + 1) & 0x7FFF
        number = (0x8000 | self._number).to_bytes(2, "big")
        # I and F, for other pictures than keyframes P with the difference of one picture.
        flags, rest = (0x90, number) if is_keyframe(frame[0]) else (0xD0, number + b"\x02")
        pieces = list(_even(frame, most - 1 - len(rest)))
        last = len(pieces) - 1
        return [
            bytes((flags | 0x08 * (index == 0) | 0x04 * (index == last),)) + rest + piece
            for index, piece in enumerate(pieces)
        ]


def packetise_opus(packet: bytes) -> list[bytes]:
    """RFC 7587: a packet is a payload."""
    return [packet] if packet else []


def packetiser_of(name: str) -> Callable[[bytes], list[bytes]]:
    """For one stream; `name` of the codec in any case. Raises ValueError for one that is not sent."""
    match name.upper():
        case "VP8":
            return packetise_vp8
        case "VP9":
            return Vp9Packetiser()
        case "H264":
            return packetise_h264
        case "OPUS":
            return packetise_opus
    raise ValueError(f"{name} is not sent")
