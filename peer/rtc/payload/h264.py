"""H.264 over RTP (RFC 6184, packetization modes 0 and 1), to Annex B; parameter sets and the picture size in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload import Chunk, FrameData

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_CODE = b"\x00\x00\x00\x01"
# NAL unit types (H.264 table 7-1, RFC 6184 table 1)
SLICE, IDR, SPS, PPS, AUD, STAP_A, FU_A = 1, 5, 7, 8, 9, 24, 28
# Longer parameter sets than any encoder's are not remembered, so that a sender cannot fill memory with them.
MAX_PARAMETER_SET = 1024
MAX_DIMENSION = 16384


class BitReader:
    """Bits of an RBSP, most significant first. Reading past the end raises ValueError."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def bits(self, count: int) -> int:
        """The next `count` bits as an unsigned integer."""
        if count > self._left:
            raise ValueError("a parameter set that is cut short")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """An Exp-Golomb code ue(v) (H.264 section 9.1), of at most 32 bits."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("an Exp-Golomb code that does not end")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        """An Exp-Golomb code se(v)."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _skip_scaling_matrix(reader: BitReader, lists: int) -> None:
    for index in range(lists):
        if not reader.bits(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + reader.signed()) % 256
            last = following or last


def _skip_picture_order_count(reader: BitReader) -> None:
    order_type = reader.unsigned()
    if order_type == 0:
        reader.unsigned()
    elif order_type == 1:
        reader.bits(1)
        reader.signed()
        reader.signed()
        frames = reader.unsigned()
        if frames > 255:
            raise ValueError("an SPS with too long a cycle of picture order counts")
        for _ in range(frames):
            reader.signed()


def picture_size(sps: bytes) -> tuple[int, int]:
    """Width and height in pixels after cropping, from one SPS NAL unit (H.264 section 7.3.2.1). Raises ValueError."""
    reader = BitReader(sps[1:MAX_PARAMETER_SET].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = reader.bits(8)
    reader.bits(16)
    reader.unsigned()
    chroma = 1
    separate_planes = 0
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma = reader.unsigned()
        if chroma == 3:
            separate_planes = reader.bits(1)
        reader.unsigned()
        reader.unsigned()
        reader.bits(1)
        if reader.bits(1):
            _skip_scaling_matrix(reader, 12 if chroma == 3 else 8)
    reader.unsigned()
    _skip_picture_order_count(reader)
    reader.unsigned()
    reader.bits(1)
    width = (reader.unsigned() + 1) * 16
    map_units = reader.unsigned() + 1
    frames_only = reader.bits(1)
    if not frames_only:
        reader.bits(1)
    height = map_units * 16 * (2 - frames_only)
    reader.bits(1)
    if reader.bits(1):
        # CropUnitX and CropUnitY (section 7.4.2.1.1): chroma sampling 4:2:0, 4:2:2, 4:4:4 or monochrome
        unit_x = 2 if chroma in (1, 2) and not separate_planes else 1
        unit_y = (2 if chroma == 1 and not separate_planes else 1) * (2 - frames_only)
        width -= (reader.unsigned() + reader.unsigned()) * unit_x
        height -= (reader.unsigned() + reader.unsigned()) * unit_y
    if not (0 < width <= MAX_DIMENSION and 0 < height <= MAX_DIMENSION):
        raise ValueError("an SPS with an impossible picture size")
    return width, height


def split_nal_units(data: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B stream, without start codes and the zeros around them."""
    start = data.find(b"\x00\x00\x01")
    while start >= 0:
        following = data.find(b"\x00\x00\x01", start + 3)
        unit = (data[start + 3 : following] if following >= 0 else data[start + 3 :]).rstrip(b"\x00")
        if unit:
            yield unit
        start = following


def _begins_picture(nal_type: int, body: bytes) -> bool:
    """Whether nothing that matters comes before it in its access unit: AUD, SPS, the slice at macroblock 0."""
    if nal_type in (SLICE, IDR):
        return bool(body and body[0] & 0x80)  # first_mb_in_slice is ue(v): a leading 1 says 0
    return nal_type in (AUD, SPS)


def _parse_stap(payload: bytes) -> Chunk:
    """A single-time aggregation packet (RFC 6184 section 5.7.1)."""
    units: list[bytes] = []
    starts = keyframe = False
    position = 1
    while position < len(payload):
        size = int.from_bytes(payload[position : position + 2], "big")
        unit = payload[position + 2 : position + 2 + size]
        if not size or len(unit) < size:
            raise ValueError("a STAP-A with a NAL unit that is cut short")
        nal_type = unit[0] & 0x1F
        starts = starts or _begins_picture(nal_type, unit[1:2])
        keyframe = keyframe or nal_type in (IDR, SPS)
        units += (START_CODE, unit)
        position += 2 + size
    return Chunk(b"".join(units), starts, keyframe)


class H264Depacketiser:
    """Access units of H.264 in Annex B; remembers the parameter sets and puts them before an IDR that lacks them."""

    def __init__(self) -> None:
        self._sequence_sets: dict[int, bytes] = {}
        self._picture_sets: dict[int, bytes] = {}
        self._size = (0, 0)

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when it is neither a NAL unit nor a STAP-A nor an FU-A."""
        if len(payload) < 2:
            raise ValueError("an H.264 payload that is cut short")
        header = payload[0]
        nal_type = header & 0x1F
        if nal_type == FU_A:
            if len(payload) < 3:
                raise ValueError("an FU-A without a fragment")
            indicator = payload[1]
            inner = indicator & 0x1F
            if not 1 <= inner <= 23:
                raise ValueError(f"an FU-A of a NAL unit of type {inner}")
            if not indicator & 0x80:  # S: not the first fragment
                return Chunk(payload[2:], False, inner == IDR)
            unit = START_CODE + bytes(((header & 0xE0) | inner,)) + payload[2:]
            return Chunk(unit, _begins_picture(inner, payload[2:3]), inner in (IDR, SPS))
        if 1 <= nal_type <= 23:
            starts = _begins_picture(nal_type, payload[1:2])
            return Chunk(START_CODE + payload, starts, nal_type in (IDR, SPS))
        if nal_type == STAP_A:
            return _parse_stap(payload)
        raise ValueError(f"an H.264 payload of type {nal_type}, which was not negotiated")

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """Join the chunks of one access unit. Raises ValueError when it begins within a NAL unit."""
        data = chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])
        if not data.startswith(START_CODE):
            raise ValueError("an H.264 frame without its first packet")
        if not any(chunk.keyframe for chunk in chunks) and data[4] & 0x1F == SLICE:
            return FrameData(data, False)  # the everyday case: slices, nothing to look for
        return self._with_parameter_sets(data)

    def _with_parameter_sets(self, data: bytes) -> FrameData:
        types: set[int] = set()
        for unit in split_nal_units(data):
            nal_type = unit[0] & 0x1F
            types.add(nal_type)
            if nal_type in (SPS, PPS):
                self._remember(nal_type, unit)
        if not types & {1, 2, 3, 4, IDR}:
            return FrameData(b"", False)  # parameter sets, SEI or the like by themselves
        if IDR not in types:
            return FrameData(data, False)
        missing: list[bytes] = []
        if SPS not in types:
            if not self._sequence_sets:
                raise ValueError("an IDR picture without parameter sets, none of which came before")
            missing += self._sequence_sets.values()
        if PPS not in types:
            missing += self._picture_sets.values()
        if missing:
            data = b"".join([START_CODE + unit for unit in missing]) + data
        return FrameData(data, True, *self._size)

    def _remember(self, nal_type: int, unit: bytes) -> None:
        if len(unit) > MAX_PARAMETER_SET:
            return
        reader = BitReader(unit[1:16].replace(b"\x00\x00\x03", b"\x00\x00"))
        if nal_type == PPS:
            identity = reader.unsigned()
            if identity < 256:
                self._picture_sets[identity] = unit
            return
        size = picture_size(unit)
        reader.bits(24)
        identity = reader.unsigned()
        if identity < 32:
            self._sequence_sets[identity] = unit
            self._size = size
