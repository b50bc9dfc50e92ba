"""Packets find their m-line, and its layer, by what they say; what was understood once is remembered, within bounds."""

from __future__ import annotations

import pytest

from peer.rtc.packet import RtpPacket
from peer.rtc.router import LOOKS, MAX_STREAMS, Router

MID, RID, REPAIRED = 1, 2, 3
VP8, H264, OPUS = 96, 98, 111


def packet(ssrc: int, payload_type: int = VP8, **said: str | bytes) -> RtpPacket:
    """`mid`, `rid`, `repaired`: what the header extensions say."""
    extensions = b""
    for name, value in said.items():
        number = {"mid": MID, "rid": RID, "repaired": REPAIRED}[name]
        data = value if isinstance(value, bytes) else value.encode()
        extensions += bytes([number << 4 | len(data) - 1]) + data
    extensions += bytes(-len(extensions) % 4)
    head = bytes([0x90, payload_type]) + bytes(6) + ssrc.to_bytes(4, "big")
    return RtpPacket(head + b"\xbe\xde" + (len(extensions) // 4).to_bytes(2, "big") + extensions + b"x")


@pytest.fixture
def router() -> Router[str]:
    one: Router[str] = Router()
    one.extensions(MID, RID, REPAIRED)
    return one


def where(router: Router[str], one: RtpPacket) -> tuple[str, str] | None:
    route = router.route(one)
    return (route.target, route.layer) if route else None


def test_by_mid_where_no_ssrc_was_announced(router: Router[str]) -> None:
    """Two video m-lines with the same payload types."""
    router.add("0", "camera", [VP8])
    router.add("1", "screen", [VP8])
    assert where(router, packet(5)) is None, "nothing says whose it is"
    assert where(router, packet(5, mid="1")) == ("screen", "")
    assert where(router, packet(6, mid="0")) == ("camera", "")
    assert where(router, packet(5)) == ("screen", ""), "what was learned is remembered"
    assert (router.target(5), router.target(6), router.target(7)) == ("screen", "camera", None)


def test_by_the_ssrc_of_the_description(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [5, 6])
    router.add("1", "screen", [VP8], [7])
    assert [where(router, packet(ssrc)) for ssrc in (5, 6, 7, 8)] == [
        ("camera", ""),
        ("camera", ""),
        ("screen", ""),
        None,
    ]
    assert router.target(7) == "screen"


def test_by_a_payload_type_that_only_one_has(router: Router[str]) -> None:
    router.add("0", "sound", [OPUS])
    router.add("1", "camera", [VP8, H264])
    router.add("2", "screen", [VP8])
    assert where(router, packet(1, OPUS)) == ("sound", "")
    assert where(router, packet(2, H264)) == ("camera", "")
    assert where(router, packet(3, VP8)) is None
    assert where(router, packet(4, 50)) is None


def test_the_mid_counts_more_than_the_description(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [5])
    router.add("1", "screen", [VP8])
    assert where(router, packet(5)) == ("camera", "")
    assert where(router, packet(5, mid="1")) == ("screen", "")


def test_a_mid_that_there_is_not_says_nothing(router: Router[str]) -> None:
    router.add("0", "camera", [VP8])
    assert where(router, packet(5, mid="nine")) == ("camera", "")
    assert where(router, packet(6, mid=b"\xff\xfe")) == ("camera", "")


def test_layers_are_told_apart(router: Router[str]) -> None:
    router.add("0", "camera", [VP8])
    assert where(router, packet(5, mid="0", rid="h")) == ("camera", "h")
    assert where(router, packet(6, mid="0", rid="q")) == ("camera", "q")
    assert where(router, packet(7, mid="0", repaired="q")) == ("camera", "q")
    assert where(router, packet(5)) == ("camera", "h")
    assert where(router, packet(7)) == ("camera", "q")


def test_a_layer_is_looked_for_where_the_ssrc_is_known(router: Router[str]) -> None:
    """Firefox lists the SSRCs of a simulcast too."""
    router.add("0", "camera", [VP8], [5, 6])
    assert where(router, packet(5)) == ("camera", "")
    assert where(router, packet(5, rid="h")) == ("camera", "h")
    assert where(router, packet(5)) == ("camera", "h")


def test_what_was_learned_outlives_a_negotiation(router: Router[str]) -> None:
    """A sender whose MID and RID were understood does not say them again."""
    router.add("0", "camera", [VP8])
    router.add("1", "screen", [VP8])
    router.route(packet(5, mid="0", rid="h"))
    router.add("0", "camera", [VP8, H264])
    assert where(router, packet(5)) == ("camera", "h")


def test_what_was_learned_outlives_a_hold(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [9])
    router.add("1", "screen", [VP8])
    router.route(packet(5, mid="0", rid="h"))
    router.hold("0")
    router.hold("0")
    router.hold("never there")
    assert [where(router, packet(ssrc)) for ssrc in (5, 9)] == [None, None], "a straggler is of no other m-line"
    assert where(router, packet(10)) == ("screen", "")
    router.add("0", "camera", [VP8])
    assert where(router, packet(5)) == ("camera", "h")


def test_nothing_is_taken_while_an_m_line_is_held(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [5])
    router.route(packet(5))
    router.hold("0")
    assert where(router, packet(5)) is None
    assert where(router, packet(5, mid="0")) is None
    assert router.target(5) is None


def test_a_stopped_m_line_leaves_nothing(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [5])
    router.route(packet(6, mid="0", rid="h"))
    router.hold("0")
    router.remove("0")
    router.add("0", "another", [VP8])
    assert where(router, packet(6)) == ("another", "")


def test_another_receiver_on_the_same_m_line_begins_anew(router: Router[str]) -> None:
    router.add("0", "camera", [VP8])
    router.route(packet(5, mid="0", rid="h"))
    router.add("0", "recycled", [VP8])
    assert where(router, packet(5)) == ("recycled", "")


def test_a_stream_that_moves_to_another_m_line_is_followed(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], [5])
    router.add("1", "screen", [VP8])
    for _ in range(LOOKS + 10):
        assert where(router, packet(5)) == ("camera", "")
    router.add("0", "camera", [VP8])
    router.add("1", "screen", [VP8], [5])
    assert where(router, packet(5)) == ("screen", "")
    assert router.target(5) == "screen"


def test_a_stream_says_itself_that_it_moved(router: Router[str]) -> None:
    router.add("0", "camera", [VP8])
    router.add("1", "screen", [VP8])
    for _ in range(LOOKS + 10):
        router.route(packet(5, mid="0"))
    assert where(router, packet(5, mid="1")) == ("camera", ""), "without a negotiation nobody looks any more"
    router.add("1", "screen", [VP8])
    assert where(router, packet(5, mid="1")) == ("screen", "")


def test_the_streams_that_are_remembered_are_bounded(router: Router[str]) -> None:
    router.add("0", "camera", [VP8], range(10_000, 10_000 + 2 * MAX_STREAMS))
    router.add("1", "screen", [VP8])
    for ssrc in range(3 * MAX_STREAMS):
        assert where(router, packet(ssrc, mid="0", rid="h")) == ("camera", "h")
    assert len(vars(router)["_routes"]) == MAX_STREAMS
    assert len(vars(router)["_announced"]) == MAX_STREAMS


def test_without_extensions_nothing_is_read() -> None:
    router: Router[str] = Router()
    router.add("0", "camera", [VP8])
    router.add("1", "screen", [H264])
    assert where(router, packet(5, mid="1", rid="h")) == ("camera", "")
