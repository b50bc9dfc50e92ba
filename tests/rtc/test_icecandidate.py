"""A candidate goes from one side to the other in each of the forms that programs pass on, and comes out the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from peer.rtc.ice.candidate import Candidate
from peer.rtc.icecandidate import IceCandidate, from_transport, given

HOST = Candidate("1", 1, "udp", 2130706431, "192.0.2.1", 50000, "host", username_fragment="abcdefgh")
RELAY = Candidate(
    *("2", 1, "udp", 16777215, "203.0.113.7", 3478, "relay"),
    related_address="192.0.2.1",
    related_port=50000,
    username_fragment="abcdefgh",
    url="turn:turn.example",
    relay_protocol="tls",
)
TCP = Candidate("3", 1, "tcp", 1, "192.0.2.1", 443, "host", tcp_type="passive", username_fragment="abcdefgh")


def test_what_the_event_gives() -> None:
    found = from_transport(RELAY, "video", 1)
    assert isinstance(found, RTCIceCandidate)
    assert (found.sdpMid, found.sdpMLineIndex, found.usernameFragment) == ("video", 1, "abcdefgh")
    assert (found.foundation, found.component, found.protocol, found.priority) == ("2", 1, "udp", 16777215)
    assert (found.address, found.ip, found.port, found.type) == ("203.0.113.7", "203.0.113.7", 3478, "relay")
    assert (found.relatedAddress, found.relatedPort, found.tcpType) == ("192.0.2.1", 50000, None)
    assert (found.url, found.relayProtocol) == ("turn:turn.example", "tls")
    assert found.candidate == RELAY.to_sdp()


@pytest.mark.parametrize("candidate", [HOST, RELAY, TCP], ids=["host", "relay", "tcp"])
def test_the_round_trip_through_json(candidate: Candidate) -> None:
    found = from_transport(candidate, "0", 0)
    taken = given(json.loads(json.dumps(found.toJSON())))
    assert (taken.mid, taken.index) == ("0", 0)
    assert taken.candidate is not None and taken.candidate.to_sdp() == candidate.to_sdp()
    assert given(found) == taken


@pytest.mark.parametrize("candidate", [HOST, RELAY, TCP], ids=["host", "relay", "tcp"])
def test_the_round_trip_through_aiortc(candidate: Candidate) -> None:
    theirs = candidate_from_sdp(candidate.to_sdp().removeprefix("candidate:"))
    theirs.sdpMid = "0"
    taken = given(theirs)
    assert taken.candidate is not None and (taken.mid, taken.index) == ("0", None)
    assert taken.candidate.to_sdp() == "candidate:" + candidate_to_sdp(theirs)
    assert taken.candidate.username_fragment is None


def test_aiortc_can_take_ours() -> None:
    found = from_transport(HOST, "0", 0)
    assert candidate_to_sdp(found) == HOST.to_sdp().removeprefix("candidate:").split(" ufrag")[0]


def test_the_fragment_may_come_beside_the_line() -> None:
    line = "candidate:1 1 udp 5 192.0.2.1 9 typ host"
    taken = given({"candidate": line, "sdpMid": "0", "usernameFragment": "wxyz"})
    assert taken.candidate is not None and taken.candidate.username_fragment == "wxyz"
    taken = given({"candidate": line + " ufrag abcd", "sdpMid": "0", "usernameFragment": "wxyz"})
    assert taken.candidate is not None and taken.candidate.username_fragment == "abcd"


@pytest.mark.parametrize(
    "end",
    [{"candidate": "", "sdpMid": "0"}, {"candidate": None, "sdpMLineIndex": 1}, IceCandidate(*([0] * 7), sdpMid="0")],
)
def test_the_end_of_the_candidates(end: Any) -> None:
    assert given(end).candidate is None


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        "candidate:1 1 udp 5 192.0.2.1 9 typ host",
        {},
        {"candidate": "candidate:1 1 udp 5 192.0.2.1 9 typ host"},
        {"candidate": "nonsense", "sdpMid": "0"},
        {"candidate": 5, "sdpMid": "0"},
        {"candidate": "", "sdpMid": 5},
        {"candidate": "", "sdpMLineIndex": -1},
        {"candidate": "", "sdpMLineIndex": "0"},
        {"candidate": "", "sdpMLineIndex": [0]},
        RTCIceCandidate(1, "1", "192.0.2.1", 9, 5, "udp", "host"),
    ],
)
def test_what_is_no_candidate_is_refused(hostile: Any) -> None:
    with pytest.raises(ValueError, match="."):
        given(hostile)
