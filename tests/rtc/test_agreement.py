"""What can be taken of an offer, what an answer has to have, and when there is something to negotiate."""

from __future__ import annotations

import pytest

from peer.rtc import agreement, codecs
from peer.rtc.codecs import codec
from peer.rtc.effects import RemoteMedia, Transceiver
from peer.rtc.sdp import DIRECTIONS, Description, Extension, SdpError, intersect, parse, reverse, sends
from tests.rtc.descriptions import FIXTURES, audio, data, rejected, text, video


def usable(*sections: list[str], bundle: str | None = None, data_mid: str | None = None) -> list[str]:
    return [section.mid for section in agreement.usable(parse(text(*sections, bundle=bundle)), data_mid)]


# What can be taken


@pytest.mark.parametrize(
    ("name", "mids"),
    [
        ("chromium-offer", ["0", "1", "2"]),
        ("firefox-offer", ["0", "1", "2"]),
        ("safari-offer", ["0", "1", "2"]),
        ("chromium-stopped", ["0", "2"]),
        ("firefox-stopped", ["0", "2"]),
        ("chromium-recycled", ["0", "3", "2"]),
        ("firefox-bundle-only", ["0", "1", "2"]),
        ("chromium-vp9-only", ["0", "1"]),
        ("firefox-vp9-only", ["0", "1"]),
        ("firefox-data-only", ["0"]),
    ],
)
def test_what_can_be_taken_of_browsers_offers(name: str, mids: list[str]) -> None:
    assert [section.mid for section in agreement.usable(parse(FIXTURES[name]))] == mids


@pytest.mark.parametrize(
    ("protocol", "fits"),
    [
        *((f"{prefix}RTP/{profile}", True) for prefix in ("", "UDP/TLS/", "TCP/DTLS/") for profile in ("AVP", "SAVPF")),
        *(("RTP/SAVP", True), ("RTP/AVPF", True), ("UDP/RTP/SAVPF", False), ("udp/tls/rtp/savpf", False)),
        *(("RTP/XAVPF", False), ("UDP/TLS/RTP/SAVPF/X", False)),
    ],
)
def test_protocols_of_media(protocol: str, fits: bool) -> None:
    section = [line.replace("UDP/TLS/RTP/SAVPF", protocol) for line in audio("0")]
    assert usable(section) == (["0"] if fits else [])


@pytest.mark.parametrize(
    ("mline", "fits"),
    [
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", True),
        ("m=application 9 TCP/DTLS/SCTP webrtc-datachannel", True),
        ("m=application 9 DTLS/SCTP 5000", True),
        ("m=application 9 DTLS/SCTP x", False),
        ("m=application 9 UDP/DTLS/SCTP other", False),
        ("m=application 9 TCP/MSRP *", False),
    ],
)
def test_protocols_of_data(mline: str, fits: bool) -> None:
    assert usable([mline, *data("0")[1:]]) == (["0"] if fits else [])


def test_what_cannot_be_taken() -> None:
    without_port = [line for line in data("1") if "sctp-port" not in line]
    without_mux = [line for line in video("2") if "rtcp-mux" not in line]
    unknown = ["m=text 9 RTP/SAVPF 98", "a=mid:3", "a=rtcp-mux", "a=rtpmap:98 t140/1000"]
    only_rtx = video("4", "a=fmtp:96 apt=97", mapping="96 rtx/90000")
    no_codec = video("5", formats="99")
    assert usable(audio("0"), without_port, without_mux, unknown, only_rtx, no_codec, rejected(audio("6"))) == ["0"]


def test_what_is_outside_of_the_bundle_cannot_be_taken() -> None:
    assert usable(audio("0"), video("1"), bundle="1") == ["1"]
    assert usable(rejected(audio("0")), video("1"), video("2"), bundle="") == ["1"]


def test_data_channels_have_one_m_line() -> None:
    assert usable(data("0"), audio("1"), data("2")) == ["0", "1"]
    assert usable(data("0"), audio("1"), data("2"), data_mid="2") == ["1", "2"]
    assert usable(data("0"), audio("1"), rejected(data("2")), data_mid="2") == ["0", "1"]


def test_which_m_line_stands_for_the_path() -> None:
    def tag(*sections: list[str], bundle: str | None = None) -> str:
        return agreement.tag(parse(text(*sections, bundle=bundle))).mid

    unknown = ["m=text 9 RTP/SAVPF 98", "a=mid:9"]
    assert tag(audio("0"), video("1"), bundle="1 0") == "1"
    assert tag(unknown, video("1"), audio("2")) == "1"
    assert tag(rejected(audio("0")), video("1"), bundle="0 1") == "1"
    assert tag(unknown, video("1"), bundle="") == "1"
    assert tag(unknown) == "9"
    with pytest.raises(SdpError, match="rejected"):
        tag(rejected(audio("0")))
    assert agreement.all_rejected(parse(text(rejected(audio("0")))))
    assert not agreement.all_rejected(parse(text(rejected(audio("0")), video("1"))))


# Codecs, extensions, streams


def test_codecs_are_taken_in_the_offerers_order_or_the_applications() -> None:
    section = next(each for each in parse(FIXTURES["safari-offer"]).media if each.kind == "video")
    taken = agreement.codecs_taken(Transceiver("video"), section)
    names = [(each.name, each.payload_type) for each in taken if not each.is_rtx]
    assert names == [("H264", 98), ("VP8", 106), ("VP9", 108)]
    vp8 = codec("video", "VP8", 90000, 1, 0)
    only = agreement.codecs_taken(Transceiver("video", preferences=(vp8,)), section)
    assert [each.payload_type for each in only] == [106]
    h265 = codec("video", "H265", 90000, 1, 0)
    assert agreement.codecs_taken(Transceiver("video", preferences=(h265,)), section) == []


@pytest.mark.parametrize(
    ("name", "events"),
    [("chromium-offer", ["telephone-event/48000"]), ("firefox-offer", ["telephone-event/8000"])],
)
def test_keys_are_taken_on_the_clock_of_the_first_codec(name: str, events: list[str]) -> None:
    section = next(each for each in parse(FIXTURES[name]).media if each.kind == "audio")
    taken = agreement.codecs_taken(Transceiver("audio"), section)
    assert [each.rtpmap for each in taken][0] == "opus/48000/2"
    assert [each.rtpmap for each in taken if each.is_event] == events


def test_an_m_line_for_keys_alone_is_not_taken() -> None:
    lines = [each.replace("111 opus/48000/2", "111 telephone-event/48000") for each in audio("0")]
    assert agreement.usable(parse(text(lines))) == []
    offer, answer = parse(text(audio("0", "a=rtpmap:112 telephone-event/48000"))), parse(text(lines))
    assert agreement.usable(offer)
    with pytest.raises(SdpError, match="without a codec"):
        agreement.check_answer(offer, answer)


def test_extensions_are_taken_as_the_other_side_sees_them() -> None:
    video = next(each for each in parse(FIXTURES["firefox-simulcast"]).media if each.kind == "video")
    assert agreement.extensions_taken(video) == [
        Extension(3, codecs.MID),
        Extension(4, codecs.ABS_SEND_TIME),
        Extension(7, codecs.TRANSPORT_WIDE),
        Extension(9, codecs.RID, "recvonly"),
        Extension(10, codecs.REPAIRED_RID, "recvonly"),
    ]
    lines = (f"a=extmap:1/inactive {codecs.MID}", f"a=extmap:2 {codecs.MID}", f"a=extmap:5 {codecs.MID}")
    assert agreement.extensions_taken(parse(text(audio("0", *lines))).media[0]) == [Extension(2, codecs.MID)]


def test_an_extension_is_agreed_under_one_id() -> None:
    mine = parse(text(audio("0", "a=extmap:1 urn:a", "a=extmap:2 urn:b", "a=extmap:3 urn:c"))).media[0]
    theirs = parse(text(audio("0", "a=extmap:1 urn:a", "a=extmap:3 urn:b", "a=extmap:4 urn:c"))).media[0]
    assert agreement.extensions_agreed(mine, theirs) == (Extension(1, "urn:a"),)


def test_what_is_said_of_a_stream() -> None:
    section = next(each for each in parse(FIXTURES["firefox-simulcast"]).media if each.kind == "video")
    media = agreement.remote_media(section)
    assert media.streams == (("-", "{b4040bfd-76bc-4ce1-9770-2dea4f12b666}"),)
    assert media.ssrcs == (1841317397, 3994563875, 415341402)
    assert media.repairs == ((3549332051, 1841317397), (281876742, 3994563875), (1488895812, 415341402))
    assert media.layers == ("q", "h", "f")
    assert agreement.remote_media(parse(text(audio("0"))).media[0]) == RemoteMedia()


# Answers


def check(offer: str, answer: str) -> None:
    agreement.check_answer(parse(offer), parse(answer))


def test_answers_that_fit() -> None:
    offer = text(audio("0"), video("1"), data("2"))
    check(offer, offer)
    check(offer, text(audio("0"), rejected(video("1")), rejected(data("2")), bundle="0"))
    check(offer, text(rejected(audio("0")), rejected(video("1")), data("2"), bundle=""))
    check(offer, text(rejected(audio("0")), rejected(video("1")), rejected(data("2")), bundle=""))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (text(audio("0"), video("1")), "not those of the offer"),
        (text(audio("0"), video("1"), data("2"), data("3")), "not those of the offer"),
        (text(audio("0"), video("2"), data("1")), "not those of the offer"),
        (text(audio("0"), audio("1"), data("2")), "not those of the offer"),
        (text(audio("0"), video("1"), data("2"), bundle=""), "out of the bundle"),
        (text(audio("0"), video("1"), data("2"), bundle="0 2"), "1 out of the bundle"),
        (text(audio("0"), video("1", mapping="96 H265/90000"), data("2")), "without a codec"),
        (text(audio("0"), video("1", formats="98", mapping="98 VP8/90000"), data("2")), "without a codec"),
        (text(audio("0"), [x for x in video("1") if "mux" not in x], data("2")), "rtcp-mux"),
        (text(audio("0"), video("1"), [x for x in data("2") if "sctp-port" not in x]), "sctp-port"),
    ],
)
def test_answers_that_do_not_fit(answer: str, complaint: str) -> None:
    with pytest.raises(SdpError, match=complaint):
        check(text(audio("0"), video("1"), data("2")), answer)


def test_an_answer_cannot_take_what_the_offer_rejects() -> None:
    with pytest.raises(SdpError, match="which the offer rejects"):
        check(text(audio("0"), rejected(video("1"))), text(audio("0"), video("1")))


# Whether there is something to negotiate


def needed(
    transceiver: Transceiver, mine: str | None, theirs: str | None, *, offered_locally: bool = True, stream: str = "s"
) -> bool:
    """`mine`, `theirs`: directions in the current descriptions."""

    def described(direction: str | None) -> Description | None:
        if direction is None:
            return None
        lines = [f"a=msid:{stream} t"] if sends(direction) else []
        return parse(text(audio("0", f"a={direction}", *lines)))

    return agreement.needs_negotiation(transceiver, described(mine), described(theirs), offered_locally=offered_locally)


def test_a_transceiver_that_is_not_in_the_descriptions() -> None:
    assert needed(Transceiver("audio"), "sendrecv", "sendrecv")
    assert needed(Transceiver("audio", mid="0"), None, None)
    assert needed(Transceiver("audio", mid="0"), "sendrecv", None)
    assert needed(Transceiver("audio", mid="1"), "sendrecv", "sendrecv")


def test_a_transceiver_that_is_stopped() -> None:
    assert not needed(Transceiver("audio", stopped=True), None, None)
    assert needed(Transceiver("audio", stopping=True, mid="0"), "sendrecv", "sendrecv")
    assert not needed(Transceiver("audio", stopping=True), None, None)


def test_a_transceiver_that_sends_other_streams() -> None:
    for streams, expected in ((("s",), False), (("other",), True), (("s", "other"), True), ((), True)):
        transceiver = Transceiver("audio", mid="0", streams=streams)
        assert needed(transceiver, "sendrecv", "sendrecv") == expected
    assert not needed(Transceiver("audio", mid="0"), "sendrecv", "sendrecv", stream="-")
    # Where we are not to send, streams do not matter yet.
    assert not needed(Transceiver("audio", mid="0"), "recvonly", "sendonly", offered_locally=False)


@pytest.mark.parametrize("wanted", DIRECTIONS)
@pytest.mark.parametrize("mine", DIRECTIONS)
@pytest.mark.parametrize("theirs", DIRECTIONS)
def test_directions(wanted: str, mine: str, theirs: str) -> None:
    transceiver = Transceiver("audio", wanted, mid="0", streams=("s",))
    assert needed(transceiver, mine, theirs) == (wanted not in (mine, reverse(theirs)))
    assert needed(transceiver, mine, theirs, offered_locally=False) == (mine != intersect(wanted, reverse(theirs)))
