"""AV1 over RTP (RTP Payload Format for AV1, version 1.0): packets to temporal units in the low-overhead format.

A frame is one temporal unit: its OBUs, each with its size (`obu_has_size_field`), without the temporal delimiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peer.rtc.payload import Chunk, FrameData
from peer.rtc.payload.h264 import BitReader

if TYPE_CHECKING:
    from collections.abc import Sequence

# OBU types (AV1 section 6.2.2)
SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, FRAME, TILE_LIST, PADDING = 1, 2, 3, 6, 8, 15
LEFT_OUT = (TEMPORAL_DELIMITER, TILE_LIST, PADDING)
"""What has no place in a temporal unit that is stored or decoded (section 5 of the payload format)."""
MAX_LEB128 = 4
"""Bytes of a length that is believed: 256 MiB."""


class Obu(NamedTuple):
    """One open bitstream unit."""

    header: bytes
    """One byte, or two with the extension."""
    payload: bytes

    @property
    def type(self) -> int:
        return self.header[0] >> 3 & 0x0F

    def __bytes__(self) -> bytes:
        return bytes([self.header[0] | 0x02]) + self.header[1:] + leb128(len(self.payload)) + self.payload


def leb128(value: int) -> bytes:
    """AV1 section 4.10.5, as short as can be."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """The value at `at`, and where it ends. Raises ValueError when it does not end."""
    value = 0
    for index, byte in enumerate(data[at : at + MAX_LEB128]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    raise ValueError("an AV1 length that does not end")


def elements(payload: bytes) -> list[bytes]:
    """The OBU elements of one payload, whole OBUs or parts (section 4.3). Raises ValueError for what is none."""
    if len(payload) < 2:
        raise ValueError("an AV1 payload without an OBU")
    count, at = payload[0] >> 4 & 0x03, 1  # W: how many there are, the last without a length; 0: all have one
    found: list[bytes] = []
    while at < len(payload) if count == 0 else len(found) < count:
        if len(found) == count - 1:
            size = len(payload) - at
        else:
            size, at = read_leb128(payload, at)
        if not 0 < size <= len(payload) - at:
            raise ValueError("an AV1 OBU element that is empty or longer than its packet")
        found.append(payload[at : at + size])
        at += size
    return found


def read_obu(data: bytes) -> Obu:
    """One whole OBU, with or without its size. Raises ValueError for what is none."""
    if data[0] & 0x80:
        raise ValueError("an AV1 OBU with the forbidden bit")
    start = 2 if data[0] & 0x04 else 1
    if len(data) < start:
        raise ValueError("an AV1 OBU without its extension")
    if not data[0] & 0x02:
        return Obu(data[:start], data[start:])
    size, at = read_leb128(data, start)
    if size > len(data) - at:
        raise ValueError("an AV1 OBU longer than its element")
    return Obu(data[:start], data[at : at + size])


class Av1Depacketiser:
    """Temporal units of AV1; keeps no state. Chunks hold whole payloads."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when there is no AV1 in it."""
        elements(payload)
        # N: the first packet of a coded video sequence, so of a keyframe; it continues nothing (section 4.4).
        begins = payload[0] & 0x88 == 0x08
        return Chunk(payload, begins, begins)

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """The temporal unit of all chunks. Raises ValueError when a part of an OBU is missing, or one is no OBU."""
        obus = [obu for obu in map(read_obu, _joined(chunks)) if obu.type not in LEFT_OUT]
        data = b"".join(map(bytes, obus))
        header = next((obu for obu in obus if obu.type == SEQUENCE_HEADER), None)
        frame = next((obu for obu in obus if obu.type in (FRAME, FRAME_HEADER)), None)
        if frame is None:
            return FrameData(b"", False)
        # show_existing_frame 0, frame_type KEY_FRAME (AV1 section 5.9.2); without a sequence header nothing begins.
        if header is None or not frame.payload or frame.payload[0] & 0xE0:
            return FrameData(data, False)
        return FrameData(data, True, *picture_size(header.payload))


def _joined(chunks: Sequence[Chunk]) -> list[bytes]:
    """The OBUs of several packets; Z says that the first element goes on with one, Y that the last is not finished."""
    found: list[bytes] = []
    unfinished = False
    for chunk in chunks:
        continues = bool(chunk.data[0] & 0x80)
        if continues != unfinished:
            raise ValueError("an AV1 OBU of which a part is missing")
        first, *others = elements(chunk.data)
        if continues:
            found[-1] += first
        else:
            found.append(first)
        found += others
        unfinished = bool(chunk.data[0] & 0x40)
    if unfinished:
        raise ValueError("an AV1 OBU that does not end")
    return found


def picture_size(sequence_header: bytes) -> tuple[int, int]:
    """The largest width and height in pixels of a coded video sequence (AV1 section 5.5.1). Raises ValueError."""
    reader = BitReader(sequence_header)
    reader.bits(4)
    if reader.bits(1):  # reduced_still_picture_header
        reader.bits(5)
    else:
        operating_points(reader)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    return reader.bits(width_bits) + 1, reader.bits(height_bits) + 1


def operating_points(reader: BitReader) -> tuple[int, int]:
    """Read from timing_info_present_flag on to the last operating point: level and tier of the first."""
    delay_bits = _skip_timing(reader) if reader.bits(1) else 0
    display_delay = reader.bits(1)
    points = []
    for _ in range(reader.bits(5) + 1):
        reader.bits(12)
        level = reader.bits(5)
        points.append((level, reader.bits(1) if level > 7 else 0))
        if delay_bits and reader.bits(1):  # operating_parameters_info
            reader.bits(2 * delay_bits + 1)
        if display_delay and reader.bits(1):
            reader.bits(4)
    return points[0]


def _skip_timing(reader: BitReader) -> int:
    """timing_info and decoder_model_info; the bits of a buffer delay, 0 without a decoder model."""
    reader.bits(64)
    if reader.bits(1):
        reader.unsigned()
    if not reader.bits(1):
        return 0
    delay_bits = reader.bits(5) + 1
    reader.bits(42)
    return delay_bits
