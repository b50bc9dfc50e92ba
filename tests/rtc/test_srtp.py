"""What is made and opened here is what pylibsrtp makes and opens, and what it refuses is refused."""

from __future__ import annotations

import struct

import pylibsrtp
import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.header import NUMBER_AT
from peer.rtc.srtp import MAX_PACKET, MAX_SENT, handle, protect_all, unprotect

PACKET = struct.pack("!BBHII", 0x80, 96, 1, 2, 3)


def session(profile: object, way: int) -> pylibsrtp.Session:
    assert hasattr(profile, "key_length") and hasattr(profile, "salt_length") and hasattr(profile, "libsrtp_profile")
    key = bytes(range(profile.key_length + profile.salt_length))
    return pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=way, srtp_profile=profile.libsrtp_profile))


@pytest.mark.parametrize("profile", SRTP_PROFILES)
@pytest.mark.parametrize("size", [0, 1, 160, 1188])
def test_packets_come_out_as_they_went_in(profile: object, size: int) -> None:
    sent = PACKET + bytes(range(256)) * 5
    sent = sent[: 12 + size]
    protected = session(profile, pylibsrtp.Policy.SSRC_ANY_OUTBOUND).protect(sent)
    ours = session(profile, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    opened = unprotect(handle(ours), protected)
    assert type(opened) is bytes and opened == sent


@pytest.mark.parametrize("profile", SRTP_PROFILES)
@pytest.mark.parametrize("size", [0, 1, 160, MAX_SENT - 12])
def test_packets_are_made_as_pylibsrtp_makes_them(profile: object, size: int) -> None:
    sent = (PACKET + bytes(range(256)) * 8)[: 12 + size]
    ours, theirs = (session(profile, pylibsrtp.Policy.SSRC_ANY_OUTBOUND) for _ in range(2))
    (made,) = protect_all(handle(ours), [sent], None)
    assert type(made) is bytes and made == theirs.protect(sent)


def packet(sequence: int) -> bytes:
    return PACKET[:2] + sequence.to_bytes(2, "big") + PACKET[4:] + bytes(40)


@pytest.mark.parametrize("number", [0, 258, 65534, 65535])
def test_the_numbers_are_written_into_them(number: int) -> None:
    ours = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    theirs = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_INBOUND)
    opened = list(map(theirs.unprotect, protect_all(handle(ours), [packet(each) for each in range(3)], number)))
    assert [data[NUMBER_AT : NUMBER_AT + 2] for data in opened] == [
        (number + each & 0xFFFF).to_bytes(2, "big") for each in range(3)
    ]
    assert [data[:NUMBER_AT] + bytes(2) + data[NUMBER_AT + 2 :] for data in opened] == list(map(packet, range(3)))


def test_what_cannot_be_sent_is_left_out_with_its_number() -> None:
    ours = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    theirs = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_INBOUND)
    made = protect_all(handle(ours), [packet(1), bytes(MAX_SENT + 1), PACKET[:5], packet(2)], 7)
    assert [theirs.unprotect(data)[NUMBER_AT + 1] for data in made] == [7, 10]


def test_replays_and_forgeries_are_refused() -> None:
    protected = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_OUTBOUND).protect(PACKET + b"media")
    ours = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_INBOUND)
    with pytest.raises(pylibsrtp.Error):
        unprotect(handle(ours), protected[:-1] + bytes([protected[-1] ^ 1]))
    assert unprotect(handle(ours), protected) == PACKET + b"media"
    with pytest.raises(pylibsrtp.Error):
        unprotect(handle(ours), protected)


def test_what_no_sender_sends_is_refused() -> None:
    ours = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_INBOUND)
    with pytest.raises(ValueError, match="larger"):
        unprotect(handle(ours), bytes(MAX_PACKET + 1))


@given(st.binary(max_size=MAX_PACKET + 10))
def test_any_bytes_are_refused_in_one_of_two_ways(data: bytes) -> None:
    ours = session(SRTP_PROFILES[0], pylibsrtp.Policy.SSRC_ANY_INBOUND)
    with pytest.raises((pylibsrtp.Error, ValueError)):
        unprotect(handle(ours), data)
