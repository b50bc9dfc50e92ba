"""One RTP packet (RFC 3550 section 5.1) as a view on the bytes that came; extensions are read when asked. Pure."""

from __future__ import annotations

from struct import Struct

_HEADER = Struct("!BBHII")
_WORDS = Struct("!HH")
_EXTENDED = Struct("!BBHIIHH")
_USUAL = 0x90
"""Version 2, header extensions, no padding and no CSRCs: what browsers send, read at one go."""
_ONE_BYTE = 0xBEDE
_TWO_BYTES = 0x1000


class RtpPacket:
    """The fields of one packet; `payload` is without padding.

    `arrival`: when it came, in seconds of the monotonic clock.
    """

    __slots__ = (
        "_extensions",
        "_profile",
        "arrival",
        "marker",
        "payload",
        "payload_type",
        "sequence_number",
        "size",
        "ssrc",
        "timestamp",
    )

    def __init__(self, data: bytes, arrival: float = 0.0) -> None:
        """Raises ValueError for what is no RTP packet."""
        self.arrival = arrival
        size = self.size = len(data)
        if size < 12:
            raise ValueError("shorter than an RTP header")
        if data[0] != _USUAL or size < 16:
            self._read(data)
            return
        _, second, self.sequence_number, self.timestamp, self.ssrc, self._profile, words = _EXTENDED.unpack_from(data)
        self.marker = second >> 7
        self.payload_type = second & 0x7F
        start = 16 + 4 * words
        if start > size:
            raise ValueError("the header extension is longer than the packet")
        self._extensions = data[16:start]
        self.payload = data[start:]

    def _read(self, data: bytes) -> None:
        """With any header."""
        first, second, self.sequence_number, self.timestamp, self.ssrc = _HEADER.unpack_from(data)
        self.marker = second >> 7
        self.payload_type = second & 0x7F
        self._extensions = b""
        self._profile = 0
        if first >> 6 != 2:
            raise ValueError("not version 2")
        start, end = 12 + 4 * (first & 0x0F), self.size
        if first & 0x10:
            if start + 4 > end:
                raise ValueError("the header extension is cut off")
            self._profile, words = _WORDS.unpack_from(data, start)
            start += 4
            self._extensions = data[start : start + 4 * words]
            start += 4 * words
        if first & 0x20:
            end -= data[-1] or end
        if start > end:
            raise ValueError("header or padding is longer than the packet")
        self.payload = data[start:end]

    def extension(self, number: int) -> bytes | None:
        """The value of a header extension (RFC 8285), None when the packet has none of that id."""
        if self._profile != _ONE_BYTE:
            return self._two_bytes(number) if self._profile & 0xFFF0 == _TWO_BYTES else None
        at = self._find(number)
        return None if at < 0 else self._extensions[at + 1 : at + 2 + (self._extensions[at] & 0x0F)]

    def _find(self, number: int) -> int:
        """Where a whole extension of the short form begins, -1 where there is none of that id."""
        data, at = self._extensions, 0
        while at < len(data):
            head = data[at]
            if head == 0:  # padding
                at += 1
                continue
            after = at + 2 + (head & 0x0F)
            if head >> 4 == number:
                return at if number < 15 and after <= len(data) else -1
            if head >= 0xF0:  # RFC 8285 section 4.2: stop here
                return -1
            at = after
        return -1

    def repaired(self, payload_type: int, ssrc: int) -> RtpPacket:
        """What a retransmission carries (RFC 4588 section 4). Raises ValueError when it is empty, as probes are."""
        if len(self.payload) < 2:
            raise ValueError("a retransmission of nothing")
        packet = RtpPacket.__new__(RtpPacket)
        packet.size, packet.marker, packet.timestamp = self.size, self.marker, self.timestamp
        packet.arrival = self.arrival
        packet.payload_type, packet.ssrc = payload_type, ssrc
        packet.sequence_number = self.payload[0] << 8 | self.payload[1]
        packet.payload = self.payload[2:]
        packet._extensions, packet._profile = self._extensions, self._profile
        return packet

    def _two_bytes(self, number: int) -> bytes | None:
        data, at = self._extensions, 0
        while at + 1 < len(data):
            head = data[at]
            if head == 0:
                at += 1
                continue
            length = data[at + 1]
            at += 2
            if head == number:
                return data[at : at + length] if at + length <= len(data) else None
            at += length
        return None


class NumberReader:
    """Reads a number of `length` bytes from the header extension of that id in the packets of one stream.

    It looks first where it was in the last packet, as most have the same extensions: a sender that puts others there,
    of the same size, may have a number misread.
    """

    def __init__(self, number: int, length: int) -> None:
        self._number = number
        self._head = number << 4 | length - 1
        self._length = length
        self._at, self._size = 0, -1

    def read(self, packet: RtpPacket) -> int | None:
        """None when the packet has none, or one of another length."""
        data, at = packet._extensions, self._at
        if len(data) == self._size and data[at] == self._head and packet._profile == _ONE_BYTE:
            return int.from_bytes(data[at + 1 : at + 1 + self._length], "big")
        value = packet.extension(self._number)
        if value is None or len(value) != self._length:
            return None
        if packet._profile == _ONE_BYTE:
            self._at, self._size = packet._find(self._number), len(data)
        return int.from_bytes(value, "big")
