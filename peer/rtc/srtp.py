"""SRTP packets opened with one call into libsrtp, on one buffer for all: a third less time than by way of pylibsrtp.

The only file that touches private names of pylibsrtp; tests/rtc/test_srtp.py holds them against its public methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pylibsrtp
from pylibsrtp import _binding

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PACKET: Final = 2048
"""Bytes; WebRTC sends no packets that are larger than an Ethernet frame."""

_packet: Final[Any] = _binding.ffi.new("char[]", MAX_PACKET)
_buffer: Final[Any] = _binding.ffi.buffer(_packet)
_length: Final[Any] = _binding.ffi.new("int *")
_unprotect: Final[Callable[[Any, Any, Any], int]] = _binding.lib.srtp_unprotect


def handle(session: pylibsrtp.Session) -> Any:
    """What libsrtp knows the session by; good for as long as the session is."""
    return session._srtp[0]


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
