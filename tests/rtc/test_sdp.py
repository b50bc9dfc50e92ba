"""A description is read without loss, tolerantly, and in time that grows with its length and no faster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc import sdp
from peer.rtc.sdp import DIRECTIONS, SdpError, Section
from tests.rtc.descriptions import FIXTURES, PATH, audio, data, rejected, text, video


def only(*lines: str, mline: str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97") -> Section:
    return Section(mline, list(lines))


# Whole descriptions


@pytest.mark.parametrize("name", FIXTURES)
def test_nothing_is_lost(name: str) -> None:
    assert str(sdp.parse(FIXTURES[name])) == FIXTURES[name]
    assert str(sdp.parse(FIXTURES[name].replace("\r\n", "\n"))) == FIXTURES[name]
    assert str(sdp.parse(FIXTURES[name].replace("\r\n", "\r"))) == FIXTURES[name]


def test_white_space_around_lines_and_empty_lines_do_not_count() -> None:
    assert str(sdp.parse(" v=0 \n\n\ts=-\n")) == "v=0\r\ns=-\r\n"


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("", "v=0"),
        ("\r\n", "v=0"),
        ("x=0\r\n" + "\r\n".join(audio()), "v=0"),
        ("\r\n".join(audio()), "v=0"),
        (text(["m=audio"]), "not an m-line"),
        (text(["m=audio 9 UDP/TLS/RTP/SAVPF"]), "not an m-line"),
        (text(["m=audio 999999 UDP/TLS/RTP/SAVPF 111"]), "not an m-line"),
        (text(["m=audio x UDP/TLS/RTP/SAVPF 111"]), "not an m-line"),
        (text(["m=audio 9 UDP/TLS/RTP/SAVPF ٣"]), "not an m-line"),
        (text(["m=audio ٩ UDP/TLS/RTP/SAVPF 96"]), "not an m-line"),
        (text(audio("0"), video("0")), "same mid"),
        (text(*(audio(str(number)) for number in range(sdp.MAX_SECTIONS + 1))), "more than 64"),
        ("v=0\r\n" + "a" * sdp.MAX_CHARACTERS, "longer than"),
    ],
)
def test_what_is_no_description_is_refused(broken: str, complaint: str) -> None:
    with pytest.raises(SdpError, match=complaint):
        sdp.parse(broken)


def test_the_bundle() -> None:
    assert sdp.parse(text(audio("0"), video("1"))).bundle == ["0", "1"]
    assert sdp.parse(text(audio("0"), video("1"), bundle="1 0 1 nobody")).bundle == ["1", "0"]
    assert sdp.parse(text(audio("0"), bundle="")).bundle is None
    assert sdp.parse(text(audio("0"), bundle="", session=("a=group:LS 0", "a=group:BUNDLED 0"))).bundle is None
    assert sdp.parse(text(audio("0"), bundle="", session=("a=group:BUNDLE",))).bundle == []
    assert sdp.parse(text(audio("0"), bundle="", session=("a=group:LS 0", "a=group:BUNDLE 0"))).bundle == ["0"]


def test_sections_are_found_by_mid() -> None:
    description = sdp.parse(text(audio("left"), video("right"), session=("a=ice-lite",)))
    assert description.section("right") is description.media[1]
    assert description.section("nobody") is None
    assert description.lite and not sdp.parse(FIXTURES["chromium-offer"]).lite


def test_m_lines_without_a_mid_get_one() -> None:
    nameless = [line for line in audio() if not line.startswith("a=mid")]
    description = sdp.parse(text(nameless, audio("left"), nameless, nameless, bundle="left"))
    description.name_sections(["a", "", "left"])
    assert [section.mid for section in description.media] == ["a", "left", "0", "1"]
    assert description.bundle == ["left"]
    assert str(description).count("a=mid:") == 4


# M-lines


def test_the_m_line() -> None:
    section = only(mline="m=video 49170/2 UDP/TLS/RTP/SAVPF 96 97")
    assert (section.kind, section.port, section.protocol) == ("video", 49170, "UDP/TLS/RTP/SAVPF")
    assert section.formats == ["96", "97"]


def test_port_0_rejects_unless_it_is_bundle_only() -> None:
    assert only(mline="m=video 0 RTP/SAVPF 96").rejected
    assert not only("a=bundle-only", mline="m=video 0 RTP/SAVPF 96").rejected
    assert not only().rejected


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_direction(direction: str) -> None:
    assert only(f"a={direction}", "a=inactive").direction == direction
    assert sdp.parse(text(audio("0"), session=(f"a={direction}",))).media[0].direction == direction
    opposite = sdp.reverse(direction)
    assert sdp.sends(opposite) == sdp.receives(direction)
    assert sdp.reverse(opposite) == direction
    assert sdp.direction_of(send=sdp.sends(direction), receive=sdp.receives(direction)) == direction
    assert sdp.intersect(direction, "sendrecv") == direction
    assert sdp.intersect(direction, "inactive") == "inactive"


def test_without_a_direction_both_are_meant() -> None:
    assert only().direction == "sendrecv"
    assert only("a=sendonly:x").direction == "sendrecv"
    assert sdp.intersect("sendonly", "recvonly") == "inactive"


def test_the_session_part_speaks_for_m_lines_that_say_nothing() -> None:
    session = (*PATH, "a=recvonly", "a=end-of-candidates", "a=extmap:7 urn:x")
    section = sdp.parse(text(audio("0", path=[]), session=session)).media[0]
    assert section.credentials == ("abcd", "0123456789012345678901")
    assert section.fingerprints[0][0] == "sha-256"
    assert (section.setup, section.direction, section.candidates_end) == ("actpass", "recvonly", True)
    assert [each.id for each in section.extensions] == [7]


def test_an_m_line_goes_before_the_session_part() -> None:
    session = ("a=inactive", "a=setup:passive", "a=ice-ufrag:other")
    section = sdp.parse(text(audio("0", "a=sendonly"), session=session)).media[0]
    assert (section.direction, section.setup) == ("sendonly", "actpass")
    assert section.credentials == ("abcd", "0123456789012345678901")


def test_a_path_that_is_not_there() -> None:
    assert only("a=ice-ufrag:abcd").credentials is None
    assert only("a=ice-pwd:0123456789012345678901").credentials is None
    assert only().fingerprints == () and only().setup is None
    assert not only().candidates_end and only().candidates == []


def test_fingerprints_are_compared_in_one_case() -> None:
    digest = ":".join(["ab"] * 32)
    assert only(f"a=fingerprint:SHA-256 {digest}").fingerprints == (("sha-256", digest.upper()),)


def test_what_is_said_twice_counts_as_it_was_said_first() -> None:
    section = only("a=mid:0", "a=mid:1", "a=sendonly", "a=inactive", "a=setup:active", "a=setup:passive")
    assert (section.mid, section.direction, section.setup) == ("0", "sendonly", "active")


@pytest.mark.parametrize(
    "line",
    [
        *("a=ssrc:1", "a=ssrc:1 :x", "a=ssrc:x cname:y", f"a=ssrc:{1 << 32} cname:y", "a=ssrc-group:FID"),
        *("a=ssrc-group:FID 1 x", "a=ssrc-group:FID 1", f"a=ssrc-group:FID 1 {1 << 32}", "a=ssrc-group:SIM 1 2"),
        *("a=fmtp:96", "a=fmtp:x y=z", "a=rtpmap:97", "a=rtpmap:97 VP8", "a=rtpmap:97 VP8/x", "a=rtpmap:97 VP8/0"),
        *("a=rtcp-fb:96", "a=rtcp-fb:x nack", "a=extmap:x urn:x", "a=extmap:0 urn:x", "a=extmap:15 urn:x"),
        *("a=extmap:256 urn:x", "a=extmap:4/a/b urn:x", "a=fingerprint:sha-256", "a=fingerprint:sha-256 xx:yy"),
        *("a=msid:", "a=rid:q", "a=rid:q both", "a=rid: send", "a=simulcast:", "a=sctp-port:x", "a=sctp-port:123456"),
        *("a=max-message-size:x", "a=setup:sometimes", "a=mid:", "a=mid:with space", "a=mid:é", "a=ice-ufrag:ab"),
        *("a=ice-pwd:short", "a=rtcp-mux:x", "c=nonsense", "b=AS:x", "a=", "a", "=", "a=rtpmap:٩٦ VP8/90000"),
    ],
)
def test_a_malformed_line_does_not_count(line: str) -> None:
    plain = sdp.parse(text(video("1"))).media[0]
    head, *rest = video("1")
    section = sdp.parse(text([head, line, *rest])).media[0]
    for name in ("mid", "codecs", "extensions", "ssrcs", "repairs", "streams", "sending_layers", "credentials"):
        assert getattr(section, name) == getattr(plain, name)
    assert (section.setup, section.direction, section.fingerprints) == (
        plain.setup,
        plain.direction,
        plain.fingerprints,
    )
    assert line in str(sdp.parse(text([head, line, *rest])))


# Streams


def test_streams_and_their_ssrcs() -> None:
    section = only("a=msid:s t", "a=msid:s2 t", "a=msid:s t", "a=msid:-", "a=ssrc:1 cname:c", "a=ssrc:2 cname:c")
    assert section.streams == (("s", "t"), ("s2", "t"), ("-", ""))
    assert section.ssrcs == {1: {"cname": "c"}, 2: {"cname": "c"}}
    assert only("a=ssrc-group:FID 1 2", "a=ssrc-group:SIM 1 3 5").repairs == {2: 1}


def test_streams_as_they_were_written_before_unified_plan() -> None:
    section = only("a=ssrc:1 cname:c", "a=ssrc:1 msid:s t", "a=ssrc:2 msid:s t", "a=ssrc:3 label")
    assert section.streams == (("s", "t"),)
    assert section.ssrcs[3] == {"label": ""}


def test_extensions() -> None:
    section = only("a=extmap:1 urn:a", "a=extmap:2/recvonly urn:b attributes", "a=extmap:16/other urn:c")
    assert [(each.id, each.uri, each.direction) for each in section.extensions] == [
        (1, "urn:a", "sendrecv"),
        (2, "urn:b", "recvonly"),
        (16, "urn:c", "sendrecv"),
    ]


def test_simulcast_layers() -> None:
    rids = ("a=rid:q send", "a=rid:h send max-width=640;max-fps=30", "a=rid:f send", "a=rid:r recv")
    assert only(*rids).sending_layers == {}
    assert list(only(*rids, "a=simulcast:send q;h;f").sending_layers) == ["q", "h", "f"]
    found = only(*rids, "a=simulcast:recv r send f,q;~h;x;f;r").sending_layers
    assert found == {"f": "", "h": "max-width=640;max-fps=30"}
    assert only(*rids, "a=simulcast:recv r").sending_layers == {}
    many = [f"a=rid:{number} send" for number in range(50)]
    assert len(only(*many, "a=simulcast:send " + ";".join(map(str, range(50)))).sending_layers) == sdp.MAX_LAYERS


# Codecs


def test_codecs_in_the_order_of_the_m_line() -> None:
    lines = (
        *("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=rtcp-fb:96 nack"),
        *("a=rtcp-fb:* goog-remb", "a=fmtp:96 max-fs=100", "a=fmtp:96 max-fr=30;max-fs=7", "a=rtpmap:96 other/8000"),
    )
    rtx, vp8 = only(*lines, mline="m=video 9 UDP/TLS/RTP/SAVPF 97 96 98 96 x 72 200 0").codecs
    assert (rtx.payload_type, rtx.apt, rtx.feedback) == (97, 96, ("goog-remb",))
    assert (vp8.name, vp8.clock_rate, vp8.feedback) == ("VP8", 90000, ("nack", "goog-remb"))
    assert vp8.fmtp == "max-fs=100;max-fr=30"


def test_static_payload_types_need_no_mapping() -> None:
    section = only("a=rtpmap:0 PCMU/8000/1", mline="m=audio 9 RTP/AVP 0 8 9 13")
    assert [(each.payload_type, each.name) for each in section.codecs] == [(0, "PCMU"), (8, "PCMA"), (9, "G722")]
    assert only(mline="m=video 9 RTP/AVP 0 8").codecs == []


# Data channels


def test_the_port_of_the_data_channels() -> None:
    section = sdp.parse(text(data("0"))).media[0]
    assert (section.sctp_port, section.max_message_size) == (5000, 65536)
    for value, port in (("1", 1), ("65535", 65535), ("65536", None), ("0", None)):
        assert only(f"a=sctp-port:{value}", mline="m=application 9 UDP/DTLS/SCTP webrtc-datachannel").sctp_port == port
    assert only(mline="m=application 9 DTLS/SCTP 5000").sctp_port == 5000
    assert only(mline="m=application 9 DTLS/SCTP x").sctp_port is None


def test_the_size_of_messages() -> None:
    assert only("a=max-message-size:1000").max_message_size == 1000
    assert only("a=max-message-size:0").max_message_size == sdp.UNLIMITED


# Whatever comes


@given(st.text())
def test_any_text_is_refused_or_understood(given_text: str) -> None:
    _read(given_text)


@given(st.lists(st.sampled_from(FIXTURES["chromium-offer"].splitlines()), max_size=40), st.text(max_size=10))
def test_any_heap_of_lines_is_refused_or_understood(lines: list[str], rubbish: str) -> None:
    _read("\r\n".join(["v=0", *lines[:20], rubbish, *lines[20:]]))


@pytest.mark.parametrize("line", ["a=ssrc:{} cname:x", "a=rtpmap:{} x/1", "a=rtcp-fb:{} nack", "a=extmap:{} urn:x"])
def test_a_flood_of_lines_is_cut_off(line: str) -> None:
    flood = [line.format(number % 256) for number in range(10_000)]
    for description in (sdp.parse(text(video("1", *flood))), sdp.parse(text(video("1"), session=tuple(flood)))):
        for values in description.media[0].attributes.values():
            assert len(values) <= sdp.MAX_REPEATS
        assert str(description).count(line.split(":")[0]) >= 10_000


def test_ever_new_attributes_are_not_kept() -> None:
    section = sdp.parse(text(video("1", *(f"a=x{number}" for number in range(10_000))))).media[0]
    assert len(section.attributes) < 20


def _read(given_text: str) -> None:
    try:
        description = sdp.parse(given_text)
    except SdpError:
        return
    assert sdp.parse(str(description)) == description
    for section in description.media:
        for name in dir(Section):
            getattr(section, name)
    description.name_sections([])
    assert len({section.mid for section in description.media} - {""}) == len(description.media)
    assert description.bundle is None or set(description.bundle) <= {section.mid for section in description.media}


def test_rejected_m_lines_stay_readable() -> None:
    assert sdp.parse(text(rejected(video("1")))).media[0].rejected
