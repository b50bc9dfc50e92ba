"""SRTP packets made and opened with one call into libsrtp, on one buffer for all: a third less time than by pylibsrtp.

The only file that touches private names of pylibsrtp; tests/rtc/test_srtp.py holds them against its public methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pylibsrtp
from pylibsrtp import _binding

from peer.rtc.header import NUMBER_AT

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PACKET: Final = 2048
"""Bytes; WebRTC sends no packets that are larger than an Ethernet frame."""

TRAILER: Final = 144
"""Bytes that SRTP may append, at most (libsrtp's SRTP_MAX_TRAILER_LEN)."""
MAX_SENT: Final = 1500 - TRAILER
"""Bytes of an RTP packet that is sent."""

_packet: Final[Any] = _binding.ffi.new("char[]", MAX_PACKET)
_octets: Final[Any] = _binding.ffi.cast("unsigned char *", _packet)
_buffer: Final[Any] = _binding.ffi.buffer(_packet)
_length: Final[Any] = _binding.ffi.new("int *")
_protect: Final[Callable[[Any, Any, Any], int]] = _binding.lib.srtp_protect
_unprotect: Final[Callable[[Any, Any, Any], int]] = _binding.lib.srtp_unprotect


def handle(session: pylibsrtp.Session) -> Any:
    """What libsrtp knows the session by; good for as long as the session is."""
    return session._srtp[0]


def protect(session: Any, data: bytes, number: int | None) -> bytes:
    """The SRTP packet of an RTP packet; `session` is its `handle`.

    `number`: what to write at NUMBER_AT, 16 bits; None where the packet has no room for it.

    Raises `pylibsrtp.Error` for what is no RTP packet, ValueError for what is too large.
    """
    size = len(data)
    if size > MAX_SENT:
        raise ValueError("an RTP packet larger than an Ethernet frame takes")
    _buffer[0:size] = data
    if number is not None:
        _octets[NUMBER_AT] = number >> 8
        _octets[NUMBER_AT + 1] = number & 0xFF
    _length[0] = size
    error = _protect(session, _packet, _length)
    if error:
        raise pylibsrtp.Error(f"libsrtp error {error}")
    made: bytes = _buffer[0 : _length[0]]
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
