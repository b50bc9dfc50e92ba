"""What remote descriptions look like, also hostile ones, and what the engine gets to see of them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription as EngineDescription
from aiortc.sdp import candidate_from_sdp
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.rtc import sdp
from peer.rtc.connection import CODECS

FIXTURES = Path(__file__).parent / "fixtures"
OFFERS = {path.stem: path.read_bytes().decode() for path in sorted(FIXTURES.glob("*.sdp"))}
"""Written by the browsers themselves: a call, m-lines stopped, recycled, bundle-only, one codec, simulcast."""
BROWSERS = ("chromium", "firefox")

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
TRANSPORT = ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", FINGERPRINT, "a=setup:actpass"]
CHROMIUM = OFFERS["chromium-offer"]


def offer(*sections: list[str], session: tuple[str, ...] = (), bundle: str | None = None) -> str:
    mids = " ".join(line[6:] for section in sections for line in section if line.startswith("a=mid:"))
    group = [] if bundle == "" else [f"a=group:BUNDLE {bundle or mids}"]
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *group, *session]
    return "\r\n".join([*lines, *(line for section in sections for line in section)]) + "\r\n"


def audio(mid: str = "0", *lines: str, transport: bool = True) -> list[str]:
    return [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        *lines,
        *(TRANSPORT if transport else []),
    ]


def video(mid: str = "1", *lines: str, formats: str = "96", mapping: str = "96 VP8/90000") -> list[str]:
    return [
        f"m=video 9 UDP/TLS/RTP/SAVPF {formats}",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        f"a=rtpmap:{mapping}",
        *lines,
        *TRANSPORT,
    ]


def data(mid: str = "2", *lines: str) -> list[str]:
    return [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        f"a=mid:{mid}",
        "a=sctp-port:5000",
        *lines,
        *TRANSPORT,
    ]


def engine(text: str, own_offer: str | None = None) -> tuple[EngineDescription, dict[str, str]]:
    safe, standins = sdp.for_engine(text, CODECS, own_offer)
    return EngineDescription.parse(safe), standins


# What browsers write


@pytest.mark.parametrize("name", OFFERS)
def test_what_browsers_write_is_understood(name: str) -> None:
    description, standins = engine(OFFERS[name])
    assert len(description.media) == OFFERS[name].count("\r\nm=")
    assert all(media.dtls and media.ice.usernameFragment and media.ice.password for media in description.media)
    assert (standins != {}) == ("stopped" in name or "vp9" in name)


@pytest.mark.parametrize("browser", BROWSERS)
def test_an_ordinary_offer_keeps_everything_that_matters(browser: str) -> None:
    description, standins = engine(OFFERS[f"{browser}-offer"])
    assert standins == {}
    assert [media.kind for media in description.media] == ["audio", "video", "application"]
    assert [str(group) for group in description.group] == ["BUNDLE 0 1 2"]
    sound, pictures, channel = description.media
    assert sound.rtcp_mux and pictures.rtcp_mux
    assert {"opus"} <= {codec.name for codec in sound.rtp.codecs}
    assert {"VP8", "rtx"} <= {codec.name for codec in pictures.rtp.codecs}
    assert pictures.direction == "sendrecv" and pictures.ssrc
    assert channel.sctp_port == 5000
    assert channel.sctpCapabilities is not None and channel.sctpCapabilities.maxMessageSize >= 65536


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_stopped_m_line_is_stood_in_for_and_answered_as_rejected(browser: str) -> None:
    text = OFFERS[f"{browser}-stopped"]
    assert sdp.directions(text)["1"] == "stopped"
    description, standins = engine(text)
    assert list(standins) == ["1"]
    assert [media.kind for media in description.media] == ["audio", "video", "application"]
    assert description.media[1].direction == "inactive"
    assert str(description.group[0]) == "BUNDLE 0 2"
    answer = sdp.parse(sdp.for_remote(str(description), standins))
    assert [section.rejected for section in answer.media] == [False, True, False]
    assert answer.bundle == ["0", "2"]
    assert answer.media[1].mid == "1"
    assert answer.media[1].formats == sdp.parse(text).media[1].formats


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_recycled_m_line_has_its_new_mid(browser: str) -> None:
    description, standins = engine(OFFERS[f"{browser}-recycled"])
    assert standins == {}
    assert [media.rtp.muxId for media in description.media] == ["0", "3", "2"]


@pytest.mark.parametrize("browser", BROWSERS)
def test_bundle_only_m_lines_are_not_rejected_ones(browser: str) -> None:
    text = OFFERS[f"{browser}-bundle-only"]
    description, standins = engine(text)
    assert standins == {}
    assert all(media.port != 0 for media in description.media)
    assert "stopped" not in sdp.directions(text).values()


def test_firefox_writes_port_0_for_bundle_only() -> None:
    assert re.search(r"m=video 0 [^\n]*\n(?:(?!m=).*\n)*a=bundle-only", OFFERS["firefox-bundle-only"])
    assert all(media.port == 9 for media in engine(OFFERS["firefox-bundle-only"])[0].media[1:])


@pytest.mark.parametrize("browser", BROWSERS)
def test_without_a_codec_in_common_only_that_m_line_goes(browser: str) -> None:
    description, standins = engine(OFFERS[f"{browser}-vp9-only"])
    assert list(standins) == ["1"]
    assert "VP9" not in str(description)
    rejected = sdp.parse(sdp.for_remote(str(description), standins)).media[1]
    assert rejected.rejected
    assert rejected.formats == sdp.parse(OFFERS[f"{browser}-vp9-only"]).media[1].formats


@pytest.mark.parametrize("browser", BROWSERS)
def test_simulcast_is_received_as_one_stream(browser: str) -> None:
    text = OFFERS[f"{browser}-simulcast"]
    assert "a=simulcast:" in text and "a=rid:" in text
    safe, standins = sdp.for_engine(text, CODECS)
    assert standins == {}
    assert "simulcast" not in safe and "a=rid" not in safe


def test_local_names_tcp_and_second_components_are_no_candidates() -> None:
    for name in OFFERS:
        for media in engine(OFFERS[name])[0].media:
            assert all(c.protocol.lower() == "udp" and c.component == 1 for c in media.ice_candidates)
            assert not any(c.ip.endswith(".local") for c in media.ice_candidates)
    assert ".local" in CHROMIUM and "tcptype" in OFFERS["firefox-offer"]
    assert engine(OFFERS["firefox-offer"])[0].media[0].ice_candidates
    assert not engine(CHROMIUM)[0].media[0].ice_candidates


def test_the_end_of_candidates_is_not_passed_on() -> None:
    assert "a=end-of-candidates" in OFFERS["firefox-offer"]
    assert not any(media.ice_candidates_complete for media in engine(OFFERS["firefox-offer"])[0].media)


# M-lines


def test_an_m_line_of_an_unknown_kind_is_rejected_under_its_own_name() -> None:
    text = offer(audio(), ["m=text 9 RTP/SAVPF 98", "a=mid:1", *TRANSPORT], bundle="0 1")
    description, standins = engine(text)
    assert standins == {"1": "m=text 9 RTP/SAVPF 98"}
    answer = sdp.parse(sdp.for_remote(str(description), standins))
    assert answer.media[1].mline == "m=text 0 RTP/SAVPF 98"
    assert answer.media[1].direction == "inactive"


def test_without_a_bundle_the_first_live_m_line_is_taken() -> None:
    stopped = audio("0")
    stopped[0] = stopped[0].replace(" 9 ", " 0 ")
    description, standins = engine(offer(stopped, video("1"), video("2"), bundle=""))
    assert sorted(standins) == ["0", "2"]
    assert str(description.group[0]) == "BUNDLE 1"


def test_what_is_outside_the_bundle_is_rejected() -> None:
    assert list(engine(offer(audio("0"), video("1"), bundle="0"))[1]) == ["1"]


def test_other_groups_are_no_bundle() -> None:
    text = offer(audio("0"), video("1"), session=("a=group:LS 0 1",))
    assert sdp.parse(text).bundle == ["0", "1"]
    assert sdp.parse(offer(audio("0"), bundle="", session=("a=group:LS 0",))).bundle is None


def test_m_lines_without_mid_get_their_place_as_mid() -> None:
    sections = [[line for line in section if "a=mid" not in line] for section in (audio(), video())]
    description, standins = engine(offer(*sections, bundle=""))
    assert [media.rtp.muxId for media in description.media] == ["0", "1"]
    assert list(standins) == ["1"]


def test_two_m_lines_with_one_mid_are_refused() -> None:
    with pytest.raises(sdp.SdpError, match="same mid"):
        sdp.for_engine(offer(audio("0"), video("0")), CODECS)


def test_what_is_said_twice_counts_as_it_was_said_first() -> None:
    twice = audio("0", "a=sendonly", "a=mid:1", "a=inactive", "a=setup:active")
    text, _ = sdp.for_engine(offer(twice, video("1"), bundle="0 1"), CODECS)
    first = sdp.parse(text).media[0]
    assert (first.values("mid"), first.direction, first.values("setup")) == (["0"], "sendonly", ["active"])
    assert "a=inactive" not in text


@pytest.mark.parametrize("missing", ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup", "a=rtcp-mux"])
def test_an_m_line_that_lacks_something_cannot_be_used(missing: str) -> None:
    broken = [line for line in video() if not line.startswith(missing)]
    assert list(engine(offer(audio(), broken))[1]) == ["1"]


@pytest.mark.parametrize(
    "line",
    [
        "m=video 9/2 UDP/TLS/RTP/SAVPF 96",
        "m=video 9 udp/tls/rtp/savpf 96",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 999",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 72",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 x",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 ９６",
        "m=application 9 TCP/MSRP *",
    ],
)
def test_an_m_line_that_the_engine_would_stumble_over_is_rejected(line: str) -> None:
    assert list(engine(offer(audio(), [line, *video()[1:]]))[1]) == ["1"]


def test_data_channels_as_they_were_written_before_their_rfc() -> None:
    old = ["m=application 9 DTLS/SCTP 5000", "a=mid:1", "a=sctpmap:5000 webrtc-datachannel 1024", *TRANSPORT]
    description, standins = engine(offer(audio(), old))
    assert standins == {}
    assert description.media[1].sctpCapabilities is not None
    broken = ["m=application 9 DTLS/SCTP x", *old[1:]]
    assert list(engine(offer(audio(), broken))[1]) == ["1"]
    without_port = [line for line in data() if "sctp-port" not in line]
    assert list(engine(offer(audio(), without_port))[1]) == ["2"]


def test_a_missing_message_size_means_64_kib() -> None:
    capabilities = engine(offer(data()))[0].media[0].sctpCapabilities
    assert capabilities is not None and capabilities.maxMessageSize == 65536
    capabilities = engine(offer(data("2", "a=max-message-size:1000")))[0].media[0].sctpCapabilities
    assert capabilities is not None and capabilities.maxMessageSize == 1000


def test_static_payload_types_need_no_mapping() -> None:
    section = ["m=audio 9 UDP/TLS/RTP/SAVPF 0 8", "a=mid:0", "a=rtcp-mux", "a=fmtp:0 x=1", *TRANSPORT]
    description, standins = engine(offer(section))
    assert standins == {}
    assert [codec.name for codec in description.media[0].rtp.codecs] == ["PCMU", "PCMA"]


@pytest.mark.parametrize(
    ("fmtp", "usable"),
    [
        ("packetization-mode=1;profile-level-id=42e01f", True),
        ("level-asymmetry-allowed=1; packetization-mode=1; profile-level-id=42001F", True),
        ("packetization-mode=1", True),
        ("packetization-mode=0;profile-level-id=42e01f", False),
        ("profile-level-id=42e01f", False),
        ("packetization-mode=1;profile-level-id=640c1f", False),
        ("packetization-mode=1;profile-level-id=42e0ff", False),
        ("packetization-mode=1;profile-level-id=42", False),
    ],
)
def test_h264_is_taken_as_the_engine_can_decode_it(fmtp: str, usable: bool) -> None:
    section = video("1", f"a=fmtp:96 {fmtp}", mapping="96 H264/90000")
    description, standins = engine(offer(audio(), section))
    assert (standins == {}) == usable
    if usable:
        parameters = description.media[1].rtp.codecs[0].parameters
        assert parameters["packetization-mode"] == "1"


# Lines


def test_the_session_part_speaks_for_m_lines_that_say_nothing() -> None:
    text = offer(audio("0", transport=False), session=(*TRANSPORT, "a=recvonly"))
    media = engine(text)[0].media[0]
    assert media.direction == "recvonly"
    assert media.dtls is not None and media.dtls.role == "auto"
    assert [f.algorithm for f in media.dtls.fingerprints] == ["sha-256"]
    assert media.ice.usernameFragment == "abcd"


def test_an_m_line_goes_before_the_session_part() -> None:
    text = offer(audio("0", "a=sendonly"), session=("a=inactive", "a=fingerprint:sha-1 00:11", "a=setup:passive"))
    media = engine(text)[0].media[0]
    assert media.direction == "sendonly"
    assert media.dtls is not None and [f.algorithm for f in media.dtls.fingerprints] == ["sha-256"]


def test_an_ice_lite_agent_stays_one() -> None:
    assert engine(offer(audio(), session=("a=ice-lite",)))[0].media[0].ice.iceLite


@pytest.mark.parametrize(
    "line",
    [
        "a=ssrc:1",
        "a=ssrc:1 cname",
        "a=ssrc:x cname:y",
        "a=ssrc-group:FID",
        "a=ssrc-group:FID 1 x",
        "a=fmtp:96",
        "a=fmtp:97 apt=96",
        "a=fmtp:96 apt=x",
        "a=fmtp:96 max-fr=99999999999999999999999",
        "a=rtpmap:97",
        "a=rtpmap:97 VP8",
        "a=rtpmap:97 VP8/x",
        "a=rtcp-fb:96",
        "a=rtcp-fb:x nack",
        "a=extmap:x urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:256 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid vad=on",
        "a=extmap:4/a/b urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-256 xx yy",
        "a=candidate:1 1 udp",
        "a=rtcp:x",
        "a=rtcp",
        "a=msid-semantic",
        "a=sctp-port:x",
        "a=sctpmap:x",
        "a=max-message-size:x",
        "a=setup:holdconn",
        "a=mid:",
        "a=ice-ufrag:ab",
        "c=nonsense",
        "b=AS:x",
        "a=",
        "a",
        "=",
    ],
)
def test_a_malformed_line_harms_nothing(line: str) -> None:
    section = video()
    description, standins = engine(offer(audio(), [section[0], line, *section[1:]], session=(line,)))
    assert standins == {}
    media = description.media[1]
    assert [codec.name for codec in media.rtp.codecs] == ["VP8"]
    assert media.rtp.headerExtensions == []
    assert media.rtp.codecs[0].parameters == {}


def test_broken_session_lines_do_not_reach_the_engine() -> None:
    text = "v=x\r\no\r\nc=IN\r\n" + "\r\n".join(audio())
    assert engine(text)[0].media[0].kind == "audio"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n",
        "v=0",
        "x=0\r\n" + "\r\n".join(audio()),
        "\r\n".join(audio()),
        offer(["m=audio"]),
        offer(["m=audio 9 UDP/TLS/RTP/SAVPF"]),
        offer(["m=audio 999999 UDP/TLS/RTP/SAVPF 111"]),
        offer(["m=audio x UDP/TLS/RTP/SAVPF 111"]),
        offer(*([audio()] * 33)),
        offer(audio(transport=False)),
        "v=0\r\n" + "a=x\r\n" * 60_000,
        "m=" * 100_000,
    ],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(sdp.SdpError):
        sdp.for_engine(text, CODECS)


@pytest.mark.parametrize("line", ["a=ssrc:{} cname:x", "a=rtpmap:{} x/1", "a=rtcp-fb:{} nack", "a=extmap:{} urn:x"])
def test_a_flood_of_lines_is_cut_off(line: str) -> None:
    flood = [line.format(number % 256) for number in range(4000)]
    safe, _ = sdp.for_engine(offer(audio(), video("1", *flood)), CODECS)
    assert safe.count(line.split(":")[0]) <= sdp.MAX_REPEATS + 10


def test_a_flood_of_candidates_is_cut_off() -> None:
    flood = [f"a=candidate:1 1 udp 1 192.0.2.1 {port} typ host" for port in range(1, 1000)]
    assert len(engine(offer(audio("0", *flood)))[0].media[0].ice_candidates) == sdp.MAX_CANDIDATES


@pytest.mark.parametrize(
    ("candidate", "usable"),
    [
        ("candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host generation 0 ufrag abcd network-id 1", True),
        ("a=candidate:1 1 UDP 1 fd00::1 5000 typ srflx raddr 0.0.0.0 rport 0", True),
        ("1 1 udp 1 192.0.2.1 5000 typ relay raddr 192.0.2.7 rport 7 network-cost 999", True),
        ("candidate:1 1 udp 1 3e2c.local 5000 typ host", False),
        ("candidate:1 1 udp 1 3E2C.LOCAL 5000 typ host", False),
        ("candidate:1 1 udp 1 example.org 5000 typ host", False),
        ("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active", False),
        ("candidate:1 2 udp 1 192.0.2.1 5000 typ host", False),
        ("candidate:1 1 udp 1 192.0.2.1 0 typ host", False),
        ("candidate:1 1 udp 1 192.0.2.1 70000 typ host", False),
        ("candidate:1 1 udp 1 192.0.2.999 5000 typ host", False),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ prflx", False),
        ("candidate:1 1 udp x 192.0.2.1 5000 typ host", False),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ host raddr 192.0.2.2 rport x", False),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ host dangling", False),
        ("candidate:", False),
        ("", False),
    ],
)
def test_which_candidates_can_be_paired(candidate: str, usable: bool) -> None:
    assert sdp.usable_candidate(candidate) is usable
    if usable:
        candidate_from_sdp(candidate.removeprefix("a=").removeprefix("candidate:"))


# Answers


def test_an_answer_that_rejects_an_m_line_keeps_its_place() -> None:
    own = offer(audio("0"), video("1"), data("2"))
    answer = offer(
        ["m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=mid:0"], video("1", "a=recvonly"), data("2"), bundle="1 2"
    ).replace("actpass", "active")
    description, standins = engine(answer, own)
    assert list(standins) == ["0"]
    assert [media.kind for media in description.media] == ["audio", "video", "application"]
    assert description.media[0].direction == "inactive"
    assert [codec.payloadType for codec in description.media[0].rtp.codecs] == [111]


def test_an_answer_that_rejects_the_data_channel() -> None:
    own = offer(audio("0"), data("1"))
    answer = offer(audio("0"), ["m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1"], bundle="0")
    description, standins = engine(answer, own)
    assert list(standins) == ["1"]
    assert description.media[1].kind == "application"
    assert description.media[1].sctpCapabilities is not None


def test_an_answer_takes_its_mids_from_the_offer() -> None:
    own = offer(audio("left"), video("right"))
    sections = [[line for line in section if "a=mid" not in line] for section in (audio(), video())]
    description, _ = engine(offer(*sections, bundle="left right"), own)
    assert [media.rtp.muxId for media in description.media] == ["left", "right"]


def test_an_answer_with_another_number_of_m_lines_is_refused() -> None:
    with pytest.raises(sdp.SdpError, match="1 m-lines, the offer had 2"):
        sdp.for_engine(offer(audio()), CODECS, offer(audio(), video()))


def test_directions_are_those_of_the_writer() -> None:
    held = audio("0", "a=inactive")
    stopped = ["m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:1"]
    text = offer(held, stopped, video("2", "a=sendonly"), video("3"))
    assert sdp.directions(text) == {"0": "inactive", "1": "stopped", "2": "sendonly", "3": "sendrecv"}


# Whatever comes


@given(st.text())
def test_any_text_is_refused_or_understood(text: str) -> None:
    _digest(text)


@given(st.lists(st.sampled_from(CHROMIUM.splitlines()), max_size=40), st.text(max_size=10))
def test_any_heap_of_lines_is_refused_or_understood(lines: list[str], rubbish: str) -> None:
    _digest("\r\n".join(["v=0", *lines[:20], rubbish, *lines[20:]]))


@settings(max_examples=150)
@given(st.sampled_from(sorted(OFFERS)), st.integers(0, 2**32), st.integers(1, 12))
def test_damaged_offers_are_refused_or_understood(name: str, seed: int, wounds: int) -> None:
    _digest(_damaged(OFFERS[name], random.Random(seed), wounds))


@settings(max_examples=50)
@given(st.sampled_from(sorted(OFFERS)), st.integers(0, 2**32), st.integers(1, 12))
def test_damaged_answers_are_refused_or_understood(name: str, seed: int, wounds: int) -> None:
    chance = random.Random(seed)
    own = OFFERS[chance.choice(["chromium-offer", "chromium-data-only", "firefox-offer"])]
    _digest(_damaged(OFFERS[name], chance, wounds), own)


def _digest(text: str, own: str | None = None) -> None:
    try:
        safe, standins = sdp.for_engine(text, CODECS, own)
    except sdp.SdpError:
        return
    description = EngineDescription.parse(safe)
    places = len(description.media)
    assert places == len(sdp.parse(text).media)
    for media in description.media:
        assert media.ice.usernameFragment and media.ice.password
        assert media.dtls is not None and media.dtls.fingerprints
        assert media.rtcp_mux or media.kind == "application"
        assert media.kind == "application" or media.rtp.codecs
    rejected = [section.rejected for section in sdp.parse(sdp.for_remote(safe, standins)).media]
    assert rejected.count(True) == len(standins)
    assert len(sdp.directions(safe)) == places


def _damaged(text: str, chance: random.Random, wounds: int) -> str:
    lines = text.splitlines()
    for _ in range(wounds):
        place = chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(7):
            case 0:
                del lines[place]
            case 1:
                lines.insert(chance.randrange(len(lines)), line)
            case 2:
                lines[place] = line[: chance.randrange(len(line) + 1)]
            case 3:
                at = chance.randrange(len(line) + 1)
                lines[place] = (
                    line[:at] + chance.choice([" ", ":", "/", "0", "x", "٣", "\0", "-1", "=", ";"]) + line[at:]
                )
            case 4:
                lines[place] = re.sub(r"\d+", lambda _: str(chance.choice([0, 1, 71, 72, 200, 65536, 10**12])), line)
            case 5:
                lines[place] = chance.choice(
                    ["m=video 9 X 1", "a=mid:0", "a=setup:active", "a=bundle-only", line[::-1]]
                )
            case 6:
                lines[place] = line.partition(":")[0]
        if not lines:
            return ""
    return "\r\n".join(lines)
