"""The descriptions that we write say what they should, and can be read again."""

from __future__ import annotations

import pytest

from peer.rtc import codecs, describe
from peer.rtc.effects import Transceiver
from peer.rtc.sdp import DIRECTIONS, Description, Extension, Section, parse
from tests.rtc.descriptions import FIXTURES, audio, data, local, rejected, sending, text, video

VIDEO = codecs.CAPABILITIES["video"]
OPUS = codecs.CAPABILITIES["audio"][:1]


def written(section: Section) -> Section:
    """As it is read by who gets it."""
    return parse(str(describe.session([section], [section.mid], number=1, version=2))).media[0]


def offered(*lines: str, mline: str = "m=video 9 UDP/TLS/RTP/SAVPF 97") -> Section:
    return parse(text([mline, "a=mid:0", *lines])).media[0]


def test_the_session_part() -> None:
    description = describe.session([], ["0", "left"], number=7, version=3)
    assert parse(str(description)).bundle == []  # there are no such m-lines
    assert description.session[:5] == [
        *("v=0", "o=- 7 3 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 left"),
    ]
    assert "a=group:BUNDLE" in describe.session([], [], number=7, version=3).session
    assert not any("group" in line for line in describe.session([], None, number=7, version=3).session)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_offered_m_line(direction: str) -> None:
    extensions = [Extension(1, codecs.MID), Extension(4, codecs.RID, "recvonly")]
    section = written(describe.media(sending("video"), "0", direction, VIDEO, extensions))
    assert (section.kind, section.protocol, section.mid) == ("video", "UDP/TLS/RTP/SAVPF", "0")
    assert section.direction == direction
    assert section.codecs == list(VIDEO)
    assert section.extensions == extensions
    for flag in ("rtcp-mux", "rtcp-rsize", "extmap-allow-mixed"):
        assert section.value(flag) == ""
    sends = direction in ("sendrecv", "sendonly")
    assert section.streams == ((("stream", "track"),) if sends else ())
    assert section.ssrcs == ({1: {"cname": "us"}, 2: {"cname": "us"}} if sends else {})
    assert section.repairs == ({2: 1} if sends else {})


def test_without_retransmissions_there_is_one_ssrc() -> None:
    section = written(describe.media(sending("audio"), "0", "sendonly", OPUS, []))
    assert (list(section.ssrcs), section.repairs) == ([1], {})


def test_a_transceiver_that_has_nothing_to_send_yet() -> None:
    section = written(describe.media(Transceiver("audio"), "0", "sendrecv", OPUS, []))
    assert (section.streams, section.ssrcs) == ((("-", ""),), {})
    assert "a=msid:-" in section.lines


def test_an_answer_says_only_what_was_offered() -> None:
    bare = describe.media(sending("audio"), "0", "sendrecv", OPUS, [], offered=offered(mline="m=audio 9 RTP/SAVPF 96"))
    assert written(bare).protocol == "RTP/SAVPF"
    for flag in ("rtcp-rsize", "extmap-allow-mixed"):
        assert bare.value(flag) is None
        asked = offered(f"a={flag}")
        assert describe.media(sending("video"), "0", "sendrecv", VIDEO, [], offered=asked).value(flag) == ""
    in_session = parse(text(video("0"), session=("a=extmap-allow-mixed",))).media[0]
    answer = describe.media(sending("video"), "0", "sendrecv", VIDEO, [], offered=in_session)
    assert answer.value("extmap-allow-mixed") == ""


def test_all_simulcast_layers_are_taken() -> None:
    asked = offered("a=rid:q send", "a=rid:h send max-width=640", "a=simulcast:send q;h")
    answer = describe.media(sending("video"), "0", "recvonly", VIDEO, [], offered=asked)
    assert answer.lines[-3:] == ["a=rid:q recv", "a=rid:h recv max-width=640", "a=simulcast:recv q;h"]
    held = describe.media(sending("video"), "0", "sendonly", VIDEO, [], offered=asked)
    assert held.value("simulcast") is None and held.value("rid") is None
    plain = describe.media(sending("video"), "0", "recvonly", VIDEO, [], offered=offered())
    assert plain.value("simulcast") is None


def test_data_channels() -> None:
    section = written(describe.data("2", legacy=False))
    assert (section.mline, section.mid) == ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "2")
    assert (section.sctp_port, section.max_message_size) == (describe.SCTP_PORT, describe.MAX_MESSAGE_SIZE)
    over_tcp = Section("m=application 9 TCP/DTLS/SCTP webrtc-datachannel")
    assert describe.data("2", legacy=False, offered=over_tcp).protocol == "TCP/DTLS/SCTP"


def test_data_channels_as_they_were_before_their_rfc() -> None:
    section = written(describe.data("2", legacy=True))
    assert (section.mline, section.sctp_port) == ("m=application 9 DTLS/SCTP 5000", 5000)
    assert "a=sctpmap:5000 webrtc-datachannel 65535" in section.lines


def test_a_rejected_m_line_keeps_its_kind_and_formats() -> None:
    section = written(describe.rejected(offered(mline="m=text 9 X/Y 1 2"), "5"))
    assert (section.mline, section.mid, section.direction) == ("m=text 0 X/Y 1 2", "5", "inactive")
    assert section.rejected and section.credentials is None


def test_the_path() -> None:
    section = written(describe.with_transport(describe.data("0", legacy=False), local("ours"), "actpass"))
    assert section.credentials == (local("ours").username_fragment, local("ours").password)
    assert (section.fingerprints, section.setup) == (local("ours").fingerprints, "actpass")
    assert section.value("sctp-port") == "5000"


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("bundle", [None, ""])
def test_candidates_are_on_every_m_line_that_has_the_path(complete: bool, bundle: str | None) -> None:
    gone = [line for line in rejected(video("1")) if not line.startswith("a=ice")]
    description = parse(text(audio("0"), gone, data("2"), bundle=bundle))
    found = parse(
        describe.with_candidates(description, ["candidate:1 1 udp 1 192.0.2.1 5 typ host"], complete=complete)
    )
    assert [section.candidates for section in found.media] == [
        ["1 1 udp 1 192.0.2.1 5 typ host"],
        [],
        ["1 1 udp 1 192.0.2.1 5 typ host"],
    ]
    assert [section.candidates_end for section in found.media] == [complete, False, complete]


@pytest.mark.parametrize("name", FIXTURES)
def test_without_candidates_nothing_changes(name: str) -> None:
    description: Description = parse(FIXTURES[name])
    assert describe.with_candidates(description, [], complete=False) == FIXTURES[name]
