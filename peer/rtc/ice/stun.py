"""STUN messages (RFC 8489) with the attributes of ICE (RFC 8445), TURN (RFC 8656) and RFC 5780. Pure.

A `Message` keeps its attributes as bytes and decodes one when it is asked for: a consent check is read by looking at
three of them. What cannot be decoded counts as absent; only a broken frame makes `parse` raise.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

COOKIE: Final = 0x2112A442
HEADER_SIZE: Final = 20
MAX_SIZE: Final = 65535
"""More fits neither a datagram nor an RFC 4571 frame."""
MAX_ATTRIBUTES: Final = 64
"""A message with more is refused: no protocol here comes near."""

_COOKIE_BYTES: Final = COOKIE.to_bytes(4, "big")
_FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY_SIZE: Final = 24
_FINGERPRINT_SIZE: Final = 8
_HEADER: Final = struct.Struct("!HHI12s")
_TLV: Final = struct.Struct("!HH")

Address = tuple[str, int]
Value = str | bytes | int | Address | tuple[int, str] | None


class StunError(ValueError):
    """Bytes that are no STUN message, or one that was damaged on its way."""


class Method(IntEnum):
    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Class(IntEnum):
    """The two class bits where RFC 8489 section 5 puts them in the message type."""

    REQUEST = 0x000
    INDICATION = 0x010
    RESPONSE = 0x100
    ERROR = 0x110


class Attribute(IntEnum):
    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C
    NETWORK_COST = 0xC057


_KNOWN: Final = frozenset(int(attribute) for attribute in Attribute)
_ADDRESSES: Final = frozenset(
    {Attribute.MAPPED_ADDRESS, Attribute.ALTERNATE_SERVER, Attribute.RESPONSE_ORIGIN, Attribute.OTHER_ADDRESS}
)
_XOR_ADDRESSES: Final = frozenset(
    {Attribute.XOR_MAPPED_ADDRESS, Attribute.XOR_PEER_ADDRESS, Attribute.XOR_RELAYED_ADDRESS}
)
# Attributes that are a number in the first bytes, with the format of the whole value.
_NUMBERS: Final = {
    int(attribute): struct.Struct(layout)
    for attribute, layout in {
        Attribute.PRIORITY: "!I",
        Attribute.LIFETIME: "!I",
        Attribute.CHANGE_REQUEST: "!I",
        Attribute.NETWORK_COST: "!I",
        Attribute.ICE_CONTROLLED: "!Q",
        Attribute.ICE_CONTROLLING: "!Q",
        Attribute.CHANNEL_NUMBER: "!Hxx",
        Attribute.RESPONSE_PORT: "!Hxx",
        Attribute.REQUESTED_TRANSPORT: "!Bxxx",
        Attribute.REQUESTED_ADDRESS_FAMILY: "!Bxxx",
        Attribute.EVEN_PORT: "!B",
    }.items()
}


class Message:
    """One STUN message. `attributes` keeps their order; of a repeated one the first counts (RFC 8489 section 14)."""

    __slots__ = ("_integrity_at", "_raw", "attributes", "message_class", "method", "transaction_id")

    def __init__(self, method: int, message_class: int, transaction_id: bytes) -> None:
        self.method = method
        self.message_class = message_class
        self.transaction_id = transaction_id
        self.attributes: list[tuple[int, bytes]] = []
        self._raw = b""
        self._integrity_at = 0

    def __repr__(self) -> str:
        names = ",".join(Attribute(kind).name if kind in _KNOWN else hex(kind) for kind, _ in self.attributes)
        return f"Message({self.method:#x}, {self.message_class:#x}, {self.transaction_id.hex()}, {names})"

    # Reading

    def get(self, attribute: int) -> bytes | None:
        """The bytes of the first such attribute."""
        for kind, value in self.attributes:
            if kind == attribute:
                return value
        return None

    def has(self, attribute: int) -> bool:
        return self.get(attribute) is not None

    def text(self, attribute: int) -> str | None:
        value = self.get(attribute)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None

    def number(self, attribute: int) -> int | None:
        value = self.get(attribute)
        layout = _NUMBERS.get(attribute)
        if value is None or layout is None or len(value) != layout.size:
            return None
        result: int = layout.unpack(value)[0]
        return result

    def address(self, attribute: int) -> Address | None:
        """The address in the first such attribute, XORed or not as its type wants it."""
        value = self.get(attribute)
        return None if value is None else self._decode_address(attribute, value)

    def addresses(self, attribute: int) -> list[Address]:
        found = (self._decode_address(attribute, value) for kind, value in self.attributes if kind == attribute)
        return [address for address in found if address is not None]

    @property
    def mapped_address(self) -> Address | None:
        """XOR-MAPPED-ADDRESS, or what a server of RFC 3489 sends in its place."""
        return self.address(Attribute.XOR_MAPPED_ADDRESS) or self.address(Attribute.MAPPED_ADDRESS)

    @property
    def error(self) -> tuple[int, str] | None:
        """Code and reason of an error response."""
        value = self.get(Attribute.ERROR_CODE)
        if value is None or len(value) < 4:
            return None
        return (value[2] & 7) * 100 + value[3], value[4:].decode(errors="replace")

    @property
    def unknown_required(self) -> list[int]:
        """Attributes that have to be understood (RFC 8489 section 14) and are not: a request with one gets a 420."""
        return [kind for kind, _ in self.attributes if kind < 0x8000 and kind not in _KNOWN]

    def check_integrity(self, key: bytes) -> bool:
        """Whether the message has a MESSAGE-INTEGRITY and it was made with `key`."""
        at = self._integrity_at
        if not at:
            return False
        raw = self._raw
        # RFC 8489 section 14.5: the length that is hashed ends with the attribute itself.
        head = raw[:2] + (at + _INTEGRITY_SIZE - HEADER_SIZE).to_bytes(2, "big") + raw[4:at]
        return hmac.compare_digest(hmac.digest(key, head, "sha1"), raw[at + 4 : at + _INTEGRITY_SIZE])

    # Writing

    def add(self, attribute: int, value: Value = None) -> Message:
        """Appends an attribute: text, bytes, number, address, (code, reason), or nothing for a flag."""
        self.attributes.append((int(attribute), self._encode(attribute, value)))
        return self

    def encode(self, key: bytes | None = None, *, fingerprint: bool = False) -> bytes:
        """The message on the wire, signed with `key` where one is given."""
        size = sum(4 + len(value) + -len(value) % 4 for _, value in self.attributes)
        if size > MAX_SIZE - HEADER_SIZE - _INTEGRITY_SIZE - _FINGERPRINT_SIZE:
            raise StunError(f"attributes of {size} bytes do not fit a message")
        parts = [b""]
        for kind, value in self.attributes:
            parts.append(_TLV.pack(kind, len(value)) + value + bytes(-len(value) % 4))
        if key is not None:
            size += _INTEGRITY_SIZE
            parts[0] = self._header(size)
            digest = hmac.digest(key, b"".join(parts), "sha1")
            parts.append(_TLV.pack(Attribute.MESSAGE_INTEGRITY, 20) + digest)
        if fingerprint:
            size += _FINGERPRINT_SIZE
            parts[0] = self._header(size)
            checksum = zlib.crc32(b"".join(parts)) ^ _FINGERPRINT_XOR
            parts.append(_TLV.pack(Attribute.FINGERPRINT, 4) + checksum.to_bytes(4, "big"))
        parts[0] = self._header(size)
        return b"".join(parts)

    def _header(self, size: int) -> bytes:
        return _HEADER.pack(_message_type(self.method) | self.message_class, size, COOKIE, self.transaction_id)

    def _encode(self, attribute: int, value: Value) -> bytes:
        if isinstance(value, int):
            layout = _NUMBERS[int(attribute)]
            return layout.pack(value)
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, tuple):
            first, second = value
            if isinstance(first, str) and isinstance(second, int):
                return self._encode_address(attribute, first, second)
            assert isinstance(first, int) and isinstance(second, str)
            return struct.pack("!HBB", 0, first // 100, first % 100) + second.encode()
        return value or b""

    def _encode_address(self, attribute: int, host: str, port: int) -> bytes:
        packed = ip_address(host).packed
        if attribute in _XOR_ADDRESSES:
            port ^= COOKIE >> 16
            packed = self._xor(packed)
        return struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port) + packed

    def _decode_address(self, attribute: int, value: bytes) -> Address | None:
        if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
            return None
        port, packed = int.from_bytes(value[2:4], "big"), value[4:]
        if attribute in _XOR_ADDRESSES:
            port ^= COOKIE >> 16
            packed = self._xor(packed)
        elif attribute not in _ADDRESSES:
            return None
        return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)), port

    def _xor(self, packed: bytes) -> bytes:
        mask = _COOKIE_BYTES + self.transaction_id
        return bytes(a ^ b for a, b in zip(packed, mask, strict=False))


def is_stun(first_byte: int) -> bool:
    """Whether a datagram that begins so is STUN (RFC 7983)."""
    return first_byte <= 3


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of RFC 8489 section 9.2.2, for TURN."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def peek_username(data: bytes) -> str | None:
    """The local half of the USERNAME of an ICE check, without parsing the rest: what shared sockets are sorted by."""
    if len(data) < HEADER_SIZE or data[4:8] != _COOKIE_BYTES:
        return None
    position = HEADER_SIZE
    for _ in range(MAX_ATTRIBUTES):
        if position + 4 > len(data):
            return None
        kind, length = _TLV.unpack_from(data, position)
        if kind == Attribute.USERNAME:
            value = data[position + 4 : position + 4 + length]
            try:
                return value.partition(b":")[0].decode("ascii")
            except UnicodeDecodeError:
                return None
        position += 4 + length + (-length % 4)
    return None


def parse(data: bytes) -> Message:
    """The message in `data`; raises StunError on anything that is not one, whole and undamaged."""
    size = len(data)
    if size < HEADER_SIZE or size > MAX_SIZE:
        raise StunError("not the size of a STUN message")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != COOKIE:
        raise StunError("no STUN header")
    if length + HEADER_SIZE != size or length % 4:
        raise StunError("the length in the header is not that of the message")
    message = Message(_method(kind), kind & 0x110, transaction_id)
    message._raw = data
    position = HEADER_SIZE
    while position < size:
        attribute, length = _TLV.unpack_from(data, position)
        end = position + 4 + length
        if end > size:
            raise StunError("an attribute is cut off")
        if len(message.attributes) >= MAX_ATTRIBUTES:
            raise StunError("too many attributes")
        if attribute == Attribute.FINGERPRINT:
            _check_fingerprint(data, position, length)
        # RFC 8489 section 14.5: what follows the integrity is not protected by it and is ignored.
        if not message._integrity_at:
            message.attributes.append((attribute, data[position + 4 : end]))
        if attribute == Attribute.MESSAGE_INTEGRITY and not message._integrity_at:
            if length != 20:
                raise StunError("MESSAGE-INTEGRITY has the wrong size")
            message._integrity_at = position
        position = end + (-length % 4)
    return message


def _check_fingerprint(data: bytes, position: int, length: int) -> None:
    if length != 4 or position + _FINGERPRINT_SIZE != len(data):
        raise StunError("FINGERPRINT is not at the end")
    if zlib.crc32(data[:position]) ^ _FINGERPRINT_XOR != int.from_bytes(data[position + 4 :], "big"):
        raise StunError("FINGERPRINT does not match")


def _message_type(method: int) -> int:
    return (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2


def _method(kind: int) -> int:
    return (kind & 0x000F) | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2
