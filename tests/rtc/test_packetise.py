"""What is made into packets comes out of them as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.payload.h264 import START_CODE, H264Depacketiser, split_nal_units
from peer.rtc.payload.packetise import MAX_PAYLOAD, Vp9Packetiser, packetise_h264, packetise_vp8, packetiser_of
from peer.rtc.payload.vp8 import Vp8Depacketiser
from peer.rtc.payload.vp9 import descriptor

bodies = st.binary(min_size=1, max_size=400).filter(lambda body: b"\0\0" not in body and not body.endswith(b"\0"))
units = st.builds(lambda head, body: bytes([head]) + body, st.sampled_from([0x67, 0x68, 0x65, 0x41, 0x06]), bodies)


@given(st.binary(min_size=1, max_size=3000), st.integers(2, 1200))
def test_a_frame_of_vp8_comes_out_as_it_was(body: bytes, most: int) -> None:
    frame = b"\x01" + body
    payloads = packetise_vp8(frame, most)
    sizes = [len(payload) for payload in payloads]
    assert max(sizes) <= most and len(sizes) == -(-len(frame) // (most - 1)), "no more packets than it takes"
    assert set(sizes[:-1]) <= {sizes[0]} and sizes[-1] <= sizes[0], "of one size, so many can be sent in one call"
    chunks = [Vp8Depacketiser().parse(payload) for payload in payloads]
    assert [chunk.starts_frame for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    assert b"".join(chunk.data for chunk in chunks) == frame


@given(st.lists(units, min_size=1, max_size=8), st.integers(40, 300))
def test_an_access_unit_of_h264_comes_out_as_it_was(sent: list[bytes], most: int) -> None:
    payloads = packetise_h264(b"".join(START_CODE + unit for unit in sent), most)
    assert max(map(len, payloads)) <= most
    data = b"".join(H264Depacketiser().parse(payload).data for payload in payloads)
    assert list(split_nal_units(data)) == sent


def test_small_units_share_a_packet_with_the_highest_importance() -> None:
    (payload,) = packetise_h264(START_CODE + b"\x06a" + START_CODE + b"\x67bc" + b"\0\0\1" + b"\x41d")
    assert payload == b"\x78" + b"\0\2\x06a" + b"\0\3\x67bc" + b"\0\2\x41d"


def test_fragments_say_which_is_the_first_and_which_the_last() -> None:
    unit = b"\x65" + b"x" * 3 * MAX_PAYLOAD
    payloads = packetise_h264(START_CODE + unit)
    assert [payload[0] for payload in payloads] == [0x7C] * 4
    assert [payload[1] for payload in payloads] == [0x85, 0x05, 0x05, 0x45]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), min_size=1, max_size=5), st.integers(20, 200))
def test_pictures_of_vp9_come_out_as_they_were(pictures: list[tuple[bool, bytes]], most: int) -> None:
    packetise, numbers = Vp9Packetiser(), []
    for key, body in pictures:
        frame = bytes((0x82 if key else 0x86,)) + (b"\x49\x83\x42" if key else b"") + body
        payloads = packetise(frame, most)
        assert all(len(each) <= most for each in payloads)
        said = [descriptor(each) for each in payloads]
        assert b"".join(each[have.size :] for each, have in zip(payloads, said, strict=True)) == frame
        assert [have.begins for have in said] == [True] + [False] * (len(said) - 1)
        assert all(have.predicted != key for have in said)
        assert [bool(each[0] & 0x04) for each in payloads] == [False] * (len(payloads) - 1) + [True]
        numbers.append(int.from_bytes(payloads[0][1:3], "big") & 0x7FFF)
    assert numbers == list(range(1, len(pictures) + 1))


def test_only_what_is_sent_has_a_packetiser() -> None:
    assert packetiser_of("opus")(b"a packet") == [b"a packet"]
    assert packetiser_of("opus")(b"") == packetiser_of("VP9")(b"") == []
    with pytest.raises(ValueError, match="AV1 is not sent"):
        packetiser_of("AV1")


@pytest.mark.parametrize("frame", [b"", b"no start code", b"\0\0\1"])
def test_what_holds_nothing_makes_no_packet(frame: bytes) -> None:
    assert packetise_h264(frame) == []
    assert packetise_vp8(b"") == []
