"""SRTP packets made and opened with one call into libsrtp, on one buffer for all: a third less time than by pylibsrtp.

The only file that touches private names of pylibsrtp; tests/rtc/test_srtp.py holds them against its public methods.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import pylibsrtp
from pylibsrtp import _binding

from peer.rtc.header import NUMBER_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

MAX_PACKET: Final = 2048
"""Bytes; WebRTC sends no packets that are larger than an Ethernet frame."""

TRAILER: Final = 144
"""Bytes that SRTP may append, at most (libsrtp's SRTP_MAX_TRAILER_LEN)."""
MAX_SENT: Final = 1500 - TRAILER
"""Bytes of an RTP packet that is sent."""

_NUMBER_END: Final = NUMBER_AT + 1

_packet: Final[Any] = _binding.ffi.new("char[]", MAX_PACKET)
_octets: Final[Any] = _binding.ffi.cast("unsigned char *", _packet)
_buffer: Final[Any] = _binding.ffi.buffer(_packet)
_length: Final[Any] = _binding.ffi.new("int *")
_protect: Final[Callable[[Any, Any, Any], int]] = _binding.lib.srtp_protect
_unprotect: Final[Callable[[Any, Any, Any], int]] = _binding.lib.srtp_unprotect


def handle(session: pylibsrtp.Session) -> Any:
    """What libsrtp knows the session by; good for as long as the session is."""
    return session._srtp[0]


def protect_all(session: Any, packets: Sequence[bytes], number: int | None) -> list[bytes]:
    """The SRTP packets of RTP packets, in order; `session` is its `handle`.

    `number`: what to write at NUMBER_AT of the first, 16 bits, those of the others follow; None where the packets have
    no room for it. What is no RTP packet or too large is left out.
    """
    buffer, octets, packet, length = _buffer, _octets, _packet, _length
    made: list[bytes] = []
    for data in packets:
        size = len(data)
        if size <= MAX_SENT:
            buffer[0:size] = data
            if number is not None:
                octets[NUMBER_AT] = number >> 8
                octets[_NUMBER_END] = number & 0xFF
            length[0] = size
            error = _protect(session, packet, length)
            if error:
                logger.debug("RTP not sent: libsrtp error %d", error)
            else:
                made.append(buffer[0 : length[0]])
        else:
            logger.debug("RTP not sent: a packet of %d bytes, larger than an Ethernet frame takes", size)
        if number is not None:
            number = number + 1 & 0xFFFF
    return made


def unprotect(session: Any, data: bytes) -> bytes:
    """The RTP packet in an SRTP packet; `session` is its `handle`.

    Raises `pylibsrtp.Error` for a forgery or a replay, ValueError for what is too large.
    """
    size = len(data)
    if size > MAX_PACKET:
        raise ValueError("an SRTP packet larger than any that WebRTC sends")
    _buffer[0:size] = data
    _length[0] = size
    error = _unprotect(session, _packet, _length)
    if error:
        raise pylibsrtp.Error(f"libsrtp error {error}")
    opened: bytes = _buffer[0 : _length[0]]
    return opened
