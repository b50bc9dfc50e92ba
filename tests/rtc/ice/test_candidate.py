"""Candidates: what browsers and other peers write, what has to be refused, priorities as the RFCs have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice.candidate import (
    MAX_TEXT,
    Candidate,
    IceParameters,
    candidate_foundation,
    candidate_priority,
    endpoint,
    pair_priority,
)

CHROMIUM = (
    "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag EsAw network-id 1"
    " network-cost 10"
)
FIREFOX = "candidate:1 1 UDP 1686052863 203.0.113.7 42938 typ srflx raddr 0.0.0.0 rport 0"
PASSIVE = "candidate:2 1 TCP 2105524479 2001:DB8:0::1 443 typ host tcptype passive"
MDNS = "candidate:0 1 UDP 2122252543 5b7b1a4e-7d0a-4a2e-9a8d-0d8d4b1f8e5e.local 50000 typ host"


@pytest.mark.parametrize(("host", "written"), [("192.0.2.1", "192.0.2.1:9"), ("2001:db8::1", "[2001:db8::1]:9")])
def test_an_endpoint_as_people_write_it(host: str, written: str) -> None:
    assert endpoint(host, 9) == written


def test_what_chromium_writes() -> None:
    candidate = Candidate.parse(CHROMIUM)
    assert candidate == Candidate(
        "1467250027", 1, "udp", 2122260223, "192.168.0.196", 46243, "host", username_fragment="EsAw"
    )
    assert candidate.to_sdp() == "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host ufrag EsAw"
    assert candidate.is_ip and candidate.family == 4


def test_what_firefox_writes() -> None:
    candidate = Candidate.parse("a=" + FIREFOX)
    assert (candidate.protocol, candidate.type) == ("udp", "srflx")
    assert (candidate.related_address, candidate.related_port) == ("0.0.0.0", 0)
    assert candidate.to_sdp().lower() == FIREFOX.lower()


def test_tcp_and_ipv6() -> None:
    candidate = Candidate.parse(PASSIVE)
    assert (candidate.protocol, candidate.tcp_type, candidate.address) == ("tcp", "passive", "2001:db8::1")
    assert candidate.to_sdp().endswith("2001:db8::1 443 typ host tcptype passive")
    assert candidate.family == 6


def test_a_name_is_kept_for_whoever_resolves_it() -> None:
    candidate = Candidate.parse(MDNS)
    assert candidate.address.endswith(".local") and not candidate.is_ip and candidate.family == 0
    assert Candidate.parse(candidate.to_sdp()) == candidate


def test_all_but_host_have_a_related_address() -> None:
    relayed = Candidate("1", 1, "udp", 1, "2001:db8::2", 5, "relay")
    assert relayed.to_sdp() == "candidate:1 1 udp 1 2001:db8::2 5 typ relay raddr :: rport 0"


@pytest.mark.parametrize(
    "tail", ["", " odd", " raddr", " raddr [] rport 99999999", " ufrag \u00e9", " tcptype active", " x y z"]
)
def test_odd_extensions_do_no_harm(tail: str) -> None:
    candidate = Candidate.parse("candidate:1 1 udp 1 192.0.2.1 5 typ host" + tail)
    assert (candidate.address, candidate.port, candidate.tcp_type) == ("192.0.2.1", 5, None)
    assert candidate.username_fragment is None and candidate.related_address is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:1 1 udp 1 192.0.2.1 5 typ",
        "candidate:1 1 udp 1 192.0.2.1 5 type host",
        "candidate:1 1 udp 1 192.0.2.1 5 typ magic",
        "candidate:1 1 sctp 1 192.0.2.1 5 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 5 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 5 typ host tcptype odd",
        "candidate:1 0 udp 1 192.0.2.1 5 typ host",
        "candidate:1 257 udp 1 192.0.2.1 5 typ host",
        "candidate:1 1 udp -1 192.0.2.1 5 typ host",
        "candidate:1 1 udp 4294967296 192.0.2.1 5 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 192.0.2.1 \u0665 typ host",
        "candidate:1 1 udp 1 192.0.2.256 5 typ host",
        "candidate:1 1 udp 1 fe80::1%eth0 5 typ host",
        "candidate:1 1 udp 1 a..b 5 typ host",
        "candidate:" + "1" * 33 + " 1 udp 1 192.0.2.1 5 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5 typ host" + " x" * MAX_TEXT,
    ],
)
def test_what_is_no_candidate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Candidate.parse(text)


@given(st.text(max_size=200))
def test_any_text_is_a_candidate_or_a_value_error(text: str) -> None:
    for line in (text, "candidate:1 1 udp 1 " + text, CHROMIUM + " " + text):
        try:
            candidate = Candidate.parse(line)
        except ValueError:
            continue
        assert Candidate.parse(candidate.to_sdp()) == candidate


def test_priorities_follow_the_formulas() -> None:
    assert candidate_priority("host") == 2130706431  # RFC 8445 section 5.1.2.1 with 126 and 65535
    order = [
        candidate_priority("host"),
        candidate_priority("prflx"),
        candidate_priority("srflx"),
        candidate_priority("host", protocol="tcp"),
        candidate_priority("relay"),
        candidate_priority("relay", relay_protocol="tcp"),
        candidate_priority("relay", relay_protocol="tls"),
    ]
    assert order == sorted(order, reverse=True)
    assert candidate_priority("host", local_preference=1) < candidate_priority("host", local_preference=2)
    assert pair_priority(2, 1) == (1 << 32) + 4 + 1
    assert pair_priority(1, 2) == (1 << 32) + 4


def test_foundations_tell_what_differs() -> None:
    base = ("host", "udp", "192.0.2.1")
    assert candidate_foundation(*base) == candidate_foundation(*base)
    others = [("srflx", "udp", "192.0.2.1"), ("host", "tcp", "192.0.2.1"), ("host", "udp", "192.0.2.2")]
    found = {candidate_foundation(*base), *(candidate_foundation(*other) for other in others)}
    found.add(candidate_foundation("srflx", "udp", "192.0.2.1", "192.0.2.9"))
    assert len(found) == 5
    assert all(Candidate.parse(f"{each} 1 udp 1 192.0.2.1 5 typ host") for each in found)


@pytest.mark.parametrize(
    ("fragment", "password", "good"),
    [
        ("abcd", "p" * 22, True),
        ("a-b_c=", "p" * 22, True),
        ("", "p" * 22, False),
        ("a:b", "p" * 22, False),
        ("abcd", "short", False),
        ("abcd", "p" * 300, False),
        ("abcd", "p" * 21 + " ", False),
    ],
)
def test_credentials_that_cannot_work_are_refused(fragment: str, password: str, *, good: bool) -> None:
    parameters = IceParameters(fragment, password)
    if good:
        parameters.validate()
    else:
        with pytest.raises(ValueError):
            parameters.validate()


def test_a_password_is_not_printed() -> None:
    assert "secret" not in repr(IceParameters("abcd", "secret" * 4))
