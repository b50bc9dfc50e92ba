"""Fragments, the edits of descriptions, and Link headers: what goes out comes back, and nothing that comes in hurts."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.ice_servers import IceServer
from signaling.sdpfrag import (
    MAX_CANDIDATES,
    MAX_FRAGMENT,
    BadFragment,
    Fragment,
    fragment_of,
    ice_servers_of,
    links,
    media_of,
    mux_only,
    one_way,
    parse_fragment,
    restarted,
    with_candidates,
)

OFFER = """v=0
o=- 5228595038118931041 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=ice-options:trickle ice2
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y
a=candidate:1 1 udp 1 192.0.2.1 5000 typ host
a=mid:0
a=sendrecv
a=rtcp-mux
m=video 0 UDP/TLS/RTP/SAVPF 96
a=ice-ufrag:EsAw
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y
a=mid:1
a=bundle-only
a=rtcp-mux
""".replace("\n", "\r\n")
NEXT = Fragment("anew", "n" * 22, ("candidate:2 1 udp 1 192.0.2.1 5001 typ host",), ended=True)

ICE = string.ascii_letters + string.digits + "+/"
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
fragments = st.builds(
    Fragment,
    st.text(ICE, min_size=4, max_size=256),
    st.text(ICE, min_size=22, max_size=256),
    st.lists(printable.map("candidate:".__add__), unique=True, max_size=10).map(tuple),
    st.booleans(),
    st.none() | printable,
    st.sampled_from(["audio", "video", "application"]),
    st.lists(st.text(ICE, min_size=1, max_size=10), max_size=3).map(tuple),
    st.booleans(),
)
sdp_like = st.lists(
    st.sampled_from(OFFER.split("\r\n")) | st.text(max_size=30) | printable.map(lambda each: f"a={each}"), max_size=40
).map("\r\n".join)


@given(fragments)
def test_what_is_written_is_read(fragment: Fragment) -> None:
    assert parse_fragment(str(fragment)) == fragment


def test_the_example_of_the_rfc() -> None:
    """As in RFC 9725 section 4.3.2, with line ends as some send them."""
    text = """a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1
a=end-of-candidates
"""
    found = parse_fragment(text)
    assert (found.ufrag, found.mid, found.kind, found.ended, len(found.candidates)) == ("EsAw", "0", "audio", True, 2)


def test_m_lines_that_say_the_same_are_one() -> None:
    line = "m=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:{pwd}\r\na=candidate:{n} 1 udp 1 192.0.2.1 9\r\n"
    both = line.format(pwd="p" * 22, n=1) + line.format(pwd="p" * 22, n=2)
    assert parse_fragment(both).candidates == ("candidate:1 1 udp 1 192.0.2.1 9", "candidate:2 1 udp 1 192.0.2.1 9")
    with pytest.raises(BadFragment, match="different"):
        parse_fragment(line.format(pwd="p" * 22, n=1) + line.format(pwd="q" * 22, n=2))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither"),
        ("a=ice-ufrag:EsAw", "only one"),
        ("a=ice-pwd:" + "p" * 22, "only one"),
        ("a=ice-ufrag:EsA\na=ice-pwd:" + "p" * 22, "too short"),
        ("a=ice-ufrag:EsAw\na=ice-pwd:" + "p" * 257, "too long"),
        ("m=audio\na=candidate:1", "m-line"),
        ("a=candidate:", "empty"),
        ("a=candidate:1\x00", "odd"),
        ("a=candidate:" + "x" * 1025, "too long"),
        ("".join(f"a=candidate:{n}\n" for n in range(MAX_CANDIDATES + 1)), "more than"),
        ("a" * (MAX_FRAGMENT + 1), "more than"),
    ],
)
def test_what_is_no_fragment(text: str, why: str) -> None:
    with pytest.raises(BadFragment, match=why):
        parse_fragment(text)


@given(sdp_like)
def test_nothing_but_its_own_error_comes_of_any_text(text: str) -> None:
    for read in (parse_fragment, fragment_of, media_of):
        try:
            read(text)
        except BadFragment as error:
            assert str(error)
    for edited in (with_candidates(text, ["candidate:1"], ended=True), one_way(text, "sendonly"), mux_only(text)):
        assert len(edited) <= 3 * len(text) + 200


def test_of_a_description_the_first_m_line_counts() -> None:
    found = fragment_of(OFFER)
    assert (found.ufrag, found.pwd, found.mid) == ("EsAw", "bP+XJMM09aR8AiX1jdukzR6Y", "0")
    assert found.candidates == ("candidate:1 1 udp 1 192.0.2.1 5000 typ host",)
    assert found.options == ("trickle", "ice2")


def test_an_ice_restart_changes_ice_and_nothing_else() -> None:
    text = restarted(OFFER, NEXT)
    assert fragment_of(text) == Fragment(NEXT.ufrag, NEXT.pwd, NEXT.candidates, True, "0", "audio", ("trickle", "ice2"))
    assert text.count("a=ice-ufrag:anew\r\n") == text.count(f"a=ice-pwd:{NEXT.pwd}\r\n") == 2
    assert "o=- 5228595038118931041 3 IN IP4 127.0.0.1\r\n" in text
    ice = re.compile(r"(a=ice-(ufrag|pwd)|a=candidate|a=end-of|o=).*\r\n")
    assert ice.sub("", text) == ice.sub("", OFFER)


def test_a_restart_needs_credentials() -> None:
    with pytest.raises(BadFragment, match="needs"):
        restarted(OFFER, Fragment())


@given(fragments)
def test_credentials_are_no_patterns(fragment: Fragment) -> None:
    fragment = Fragment("a\\1b", "\\g<0>" + "p" * 22, fragment.candidates)
    assert fragment_of(restarted(OFFER, fragment)).pwd == fragment.pwd


def test_candidates_are_added_once_and_to_the_m_line_that_has_the_transport() -> None:
    rejected = OFFER.replace("m=audio 9", "m=audio 0").replace("m=video 0", "m=video 9")
    text = with_candidates(rejected, ["candidate:7", "candidate:8"], ended=True)
    assert text.endswith("a=candidate:7\r\na=candidate:8\r\na=end-of-candidates\r\n")
    assert with_candidates(text, ["candidate:7", "candidate:8"], ended=True) == text


def test_media_and_their_directions() -> None:
    audio, video = media_of(OFFER)
    assert (audio.kind, audio.direction, audio.rejected) == ("audio", "sendrecv", False)
    assert (video.kind, video.direction, video.rejected) == ("video", "sendrecv", False)
    assert media_of("v=0\na=recvonly\nm=audio 0 X 0\n")[0].direction == "recvonly"
    assert media_of("v=0\nm=audio 0 X 0\n")[0].rejected


def test_both_directions_become_one() -> None:
    text = one_way(OFFER, "sendonly")
    assert [each.direction for each in media_of(text)] == ["sendonly", "sendonly"]
    assert one_way(text, "recvonly") == text
    data = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sendrecv\r\n"
    assert one_way(data, "sendonly") == data


def test_mux_only_is_said_once() -> None:
    text = mux_only(OFFER)
    assert text.count("a=rtcp-mux\r\na=rtcp-mux-only\r\n") == 2
    assert mux_only(text) == text


# Link headers

urls = st.sampled_from(["stun:192.0.2.1", "turn:turn.example.net?transport=udp", "turns:[2001:db8::1]:5349"])
secrets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)
servers = st.builds(IceServer, st.lists(urls, min_size=1, max_size=1), secrets, secrets)


@given(st.lists(servers, max_size=8, unique_by=str))
def test_servers_come_back_from_headers(servers: list[IceServer]) -> None:
    values = links(servers)
    assert ice_servers_of(values) == servers
    assert ice_servers_of([", ".join(values)]) == servers
    assert all(value.isprintable() for value in values)


def test_each_url_is_a_link() -> None:
    server = IceServer(["turn:a.example?transport=udp", "turns:a.example?transport=tcp"], "user", 'pass"word\\')
    assert links([server, IceServer(["stun:b.example"])]) == [
        (
            '<turn:a.example?transport=udp>; rel="ice-server"; username="user"; credential="pass\\"word\\\\"; '
            'credential-type="password"'
        ),
        (
            '<turns:a.example?transport=tcp>; rel="ice-server"; username="user"; credential="pass\\"word\\\\"; '
            'credential-type="password"'
        ),
        '<stun:b.example>; rel="ice-server"',
    ]


def test_what_a_header_cannot_hold_is_left_out() -> None:
    assert links([IceServer(["turn:a.example"], "user\r\nSet-Cookie: x", "y")]) == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "<stun:a.example>",
        '<stun:a.example>; rel="next"',
        '<turn:a.example>; rel="ice-server"',
        '<turn:a.example>; rel="ice-server"; username="u"; credential="c"; credential-type="oauth"',
        '<http://a.example>; rel="ice-server"',
        '<stun:a.example; rel="ice-server"',
        "<https://a.example/sse>; rel=urn:ietf:params:whip:ext:example:server-sent-events",
    ],
)
def test_what_is_no_ice_server_is_passed_over(value: str) -> None:
    good = "<stun:b.example>; rel=ice-server"
    assert ice_servers_of([value]) == []
    assert ice_servers_of([good, value]) == [IceServer(["stun:b.example"])]


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_header_can_be_read(values: list[str]) -> None:
    assert isinstance(ice_servers_of(values), list)


def test_many_servers_are_some() -> None:
    assert len(ice_servers_of([f"<stun:{n}.example>; rel=ice-server" for n in range(100)])) == 16
