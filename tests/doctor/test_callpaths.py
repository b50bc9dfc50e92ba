"""A call is tried for each kind of path that the servers opened, and candidates are told as the path wants it."""

from __future__ import annotations

from dataclasses import replace

from peer.doctor.callpaths import MAX_CALLS, call_paths, told
from peer.rtc.ice.servers import parse_server_url
from signaling.messages import ByeTo, CandidateTo, DescriptionTo, IceCandidate, IceServer, SessionDescription
from tests.doctor.samples import STUN, TURN, TURNS, failed, nat

URLS = [
    parse_server_url("stun:stun.example.org"),
    parse_server_url("turn:turn.example.org", "alice", "secret"),
    parse_server_url("turns:turn.example.org", "alice", "secret"),
]
HOST = "candidate:1 1 udp 2130706431 192.168.1.7 4000 typ host"
SRFLX = "candidate:2 1 udp 1694498815 198.51.100.7 61000 typ srflx raddr 192.168.1.7 rport 4000"


def test_one_call_for_each_path() -> None:
    paths = call_paths(URLS, [STUN, TURN, TURNS], [nat()])
    assert [(each.path, each.url) for each in paths] == [
        ("direct", None),
        ("public address", "stun:stun.example.org"),
        ("relay", "turn:turn.example.org"),
        ("relay", "turns:turn.example.org"),
    ]
    assert paths[2].servers == (IceServer(["turn:turn.example.org"], "alice", "secret"),)
    assert [each.relayed for each in paths] == [False, False, True, True]


def test_servers_that_gave_nothing_carry_no_call() -> None:
    assert [each.path for each in call_paths(URLS, [failed(STUN), failed(TURN), failed(TURNS)], [nat()])] == ["direct"]


def test_without_a_nat_there_is_no_public_address_to_try() -> None:
    assert [each.path for each in call_paths(URLS, [STUN], [nat("none")])] == ["direct"]
    assert [each.path for each in call_paths(URLS, [STUN], [])] == ["direct"]


def test_calls_are_bounded() -> None:
    urls = [parse_server_url(f"turn:t{number}.example", "a", "b") for number in range(30)]
    assert len(call_paths(urls, [replace(TURN, url=url.url) for url in urls], [])) == MAX_CALLS


def test_candidates_of_other_types_are_not_told() -> None:
    only = frozenset({"srflx"})
    for line, passes in ((HOST, False), (SRFLX, True), ("", True), ("garbage", False)):
        message = CandidateTo("to", "session", IceCandidate(line))
        assert (told(message, only) is message) == passes
    end = CandidateTo("to", "session", None)
    assert told(end, only) is end
    bye = ByeTo("to", "session", "hung-up")
    assert told(bye, only) is bye
    sdp = f"v=0\r\na=ice-ufrag:x\r\na={HOST}\r\na={SRFLX}\r\n"
    offer = told(DescriptionTo("to", "session", SessionDescription("offer", sdp)), only)
    assert isinstance(offer, DescriptionTo)
    assert offer.description.sdp == f"v=0\r\na=ice-ufrag:x\r\na={SRFLX}\r\n"
