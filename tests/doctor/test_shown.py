"""The findings as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from peer.doctor.findings import CallFinding, SignalingFinding
from peer.doctor.shown import Row, address, reached, rows, to_json
from tests.doctor.samples import DIRECT, SIGNALING, STUN, TURN, TURNS, failed, findings, nat


def test_each_check_is_a_row() -> None:
    relay = replace(DIRECT, path="relay", url=TURN.url, own=False, to="echo", round_trip=None)
    found = findings(
        STUN,
        TURN,
        failed(TURNS, text="its certificate is not trusted"),
        signaling=SIGNALING,
        nats=(nat("endpoint-independent", "address-dependent"),),
        calls=(DIRECT, relay, replace(relay, path="public address", error="no path")),
    )
    assert rows(found) == [
        Row("this host", True, None, "192.168.1.7 (eth0)"),
        Row("http://localhost:8080", True, 0.01, "room doctor; hands out 2 ICE servers"),
        Row("stun:stun.example.org", True, 0.02, "sees us as 198.51.100.7:61000"),
        Row(
            "turn:turn.example.org",
            True,
            0.04,
            "relays at 192.0.2.2:50000, a packet came through in 12 ms, sees us as 198.51.100.7:61001",
        ),
        Row("turns:turn.example.org", False, None, "its certificate is not trusted"),
        Row("gets out", None, None, "UDP yes, TCP not tried, TLS yes"),
        Row(
            "NAT before 192.168.1.7",
            None,
            None,
            "endpoint-independent mapping, address-dependent filtering (RFC 5780)",
        ),
        Row(
            "call, direct",
            True,
            0.21,
            "host 192.168.1.7:4000 to host 192.168.1.7:4001, udp, 1.0 ms, both ends on this host",
        ),
        Row(
            "call through turn:turn.example.org",
            True,
            0.21,
            "host 192.168.1.7:4000 to host 192.168.1.7:4001, udp, with echo",
        ),
        Row("call, over the public address", False, 0.21, "no path"),
    ]
    assert [row.result for row in rows(found)[4:6]] == ["failed", "-"]


@pytest.mark.parametrize(
    ("mapping", "filtering", "words"),
    [
        ("none", "unknown", "no NAT between this host and the servers (RFC 5780)"),
        (
            "none",
            "address-and-port-dependent",
            "no NAT between this host and the servers, address-and-port-dependent filtering (a firewall) (RFC 5780)",
        ),
        ("unknown", "unknown", "there is a NAT; two servers at different addresses would tell which kind (RFC 5780)"),
    ],
)
def test_nats_in_words(mapping: str, filtering: str, words: str) -> None:
    assert rows(findings(nats=(nat(mapping, filtering),)))[-1].details == words


def test_what_gets_out() -> None:
    assert reached(findings()) == {}
    assert reached(findings(failed(STUN, tcp_opens=True))) == {"udp": False, "tcp": True}
    assert reached(findings(failed(STUN), TURN)) == {"udp": True}
    assert reached(findings(failed(TURN, 401, "wrong user or password"))) == {"udp": True}
    assert reached(findings(failed(replace(STUN, address=None), text="the name is not found"))) == {}


def test_failures_are_failures() -> None:
    down = SignalingFinding(url="http://localhost:1", room="doctor", error="no answer")
    found = findings(failed(TURN, 401, "wrong"), replace(TURN, carried=None), signaling=down, hosts=())
    assert [row.good for row in rows(found)] == [False, False, False, False, None]
    assert rows(found)[2].details == "wrong (401)"
    assert "nothing came through" in rows(found)[3].details
    assert rows(findings(calls=(replace(DIRECT, echoed=False),)))[-1].good is False


def test_what_is_no_failure_is_not_shown_as_one() -> None:
    row = rows(findings(calls=(replace(DIRECT, path="public address", error="no path"),)))[-1]
    assert (row.good, row.details) == (None, "the NAT does not lead its own public address back (no hairpinning)")


def test_of_several_tcp_candidates_one_is_enough() -> None:
    broken = CallFinding(path="ICE-TCP", to="bot", own=False, error="192.168.1.7:443: no route to it from here")
    reached = CallFinding(path="ICE-TCP", to="bot", own=False, remote="host 192.0.2.7:443", seconds=0.1)
    assert rows(findings(calls=(broken, reached)))[1:] == [
        Row("ICE-TCP to bot", None, None, "192.168.1.7:443: no route to it from here"),
        Row("ICE-TCP to bot", True, 0.1, "host 192.0.2.7:443 answers by TCP"),
    ]
    assert rows(findings(calls=(broken,)))[1].good is False


def test_a_server_of_two_families_has_two_rows() -> None:
    found = findings(STUN, replace(STUN, address=("2001:db8::1", 3478)))
    assert [row.check for row in rows(found)[1:3]] == ["stun:stun.example.org (IPv4)", "stun:stun.example.org (IPv6)"]


def test_addresses_of_both_families() -> None:
    assert address(("192.0.2.1", 1)) == "192.0.2.1:1"
    assert address(("2001:db8::1", 1)) == "[2001:db8::1]:1"
    assert address(None) == ""


def test_json_holds_everything_and_no_password() -> None:
    found = findings(STUN, failed(TURN, 401, "wrong"), signaling=SIGNALING, nats=(nat(),), calls=(DIRECT,))
    told = json.loads(json.dumps(to_json(found)))
    assert told["exitCode"] == 8
    assert told["error"] == told["problems"][0]
    assert told["host"] == [{"address": "192.168.1.7", "interface": "eth0"}]
    assert told["signaling"]["iceServers"] == ["stun:s", "turn:t"]
    assert told["servers"][0] == {
        "url": "stun:stun.example.org",
        "origin": "--ice-server",
        "good": True,
        "transport": "udp",
        "address": "192.0.2.1:3478",
        "seconds": 0.02,
        "mapped": "198.51.100.7:61000",
        "relayed": [],
        "carriedSeconds": None,
        "tcpOpens": None,
        "errorCode": None,
        "errorText": None,
    }
    assert (told["servers"][1]["errorCode"], told["servers"][1]["good"]) == (401, False)
    assert told["nat"][0]["seen"] == [{"server": "192.0.2.1:3478", "mapped": "198.51.100.7:61000"}]
    assert told["calls"][0]["good"] and told["calls"][0]["to"] is None
    assert told["reached"] == {"udp": True}
    assert to_json(findings())["signaling"] is None
