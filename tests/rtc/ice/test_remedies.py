"""Failures are worded once, for logs, exceptions and the doctor, and each ends in what to do."""

from __future__ import annotations

import ssl

import pytest

from peer.rtc.ice import remedies
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.servers import UNREACHABLE
from peer.rtc.ice.tls import connection_failed


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (401, "", "wrong user or password"),
        (486, "Allocation Quota Reached", "allocation quota reached (Allocation Quota Reached)"),
        (499, "odd\x1b[2J\n", "refused (odd [2J)"),
        (500, "x" * 1000, f"refused ({'x' * 120})"),
    ],
)
def test_a_refusal_has_a_cause_that_can_be_shown(code: int, reason: str, text: str) -> None:
    assert remedies.cause(code, reason) == text


def test_every_refusal_has_advice() -> None:
    assert remedies.advice(403).startswith("the server does not allow this")
    assert remedies.advice(599) == remedies.REACHABLE


def test_a_sentence_names_the_server_the_cause_and_what_to_do() -> None:
    assert remedies.server_sentence("turn:a", 401, "wrong user or password", "check them") == (
        "turn:a: wrong user or password (401); check them"
    )
    assert remedies.server_sentence("stun:a", UNREACHABLE, "no answer", "check it") == "stun:a: no answer; check it"


def test_a_failure_carries_its_advice_to_the_exception() -> None:
    error = ServerFailed(486, "allocation quota reached").error("turn:a")
    assert error.advice == remedies.advice(486)


class _NotTrusted(ssl.SSLCertVerificationError):
    verify_code = 20
    verify_message = "unable to get local issuer certificate"


class _OtherName(ssl.SSLCertVerificationError):
    verify_code = 62
    verify_message = "Hostname mismatch"


@pytest.mark.parametrize(
    ("failure", "silent", "sign"),
    [
        (connection_failed(TimeoutError()), True, False),
        (ServerFailed(UNREACHABLE, "no answer within 5 s"), True, False),
        (connection_failed(ConnectionRefusedError()), False, False),
        (connection_failed(_NotTrusted()), False, True),
        (connection_failed(_OtherName()), False, True),
        (ServerFailed(401, remedies.cause(401)), False, True),
    ],
)
def test_silence_is_told_from_answers_of_no_use(failure: ServerFailed, silent: bool, sign: bool) -> None:
    assert remedies.is_silent(failure.code, failure.text) is silent
    assert remedies.shows_sign(failure.code, failure.text) is sign


def test_blocked_udp_has_a_way_out() -> None:
    works = remedies.udp_blocked(["stun:a", "stun:a", "turn:b"], "turns:a:443", "")
    assert "nothing comes back from stun:a, turn:b, but TCP" in works
    assert works.endswith("calls go through turns:a:443, which works")
    assert "turns:turn.example.org:443" in remedies.udp_blocked(["stun:a"], None, "turn.example.org")
    assert "stun:3 and 2 more, but" in remedies.udp_blocked([f"stun:{number}" for number in range(6)], None, "a")


def test_a_broken_family_can_be_left_out() -> None:
    assert "(--no-ipv6)" in remedies.family_broken(6, "2001:db8::1")
    assert "--no" not in remedies.family_broken(4, "192.0.2.1")


def test_of_several_failures_the_one_that_was_told_counts() -> None:
    dead = ServerFailed(UNREACHABLE, "no answer within 5 s").error("turn:dead")
    untrusted = connection_failed(_NotTrusted()).error("turns:a")
    refused = ServerFailed(401, remedies.cause(401)).error("turn:b")
    assert remedies.servers_advice([dead, untrusted]) == untrusted.advice
    assert remedies.servers_advice([dead, refused]) == remedies.advice(401)
    for silent in ([], [dead]):
        assert "port 443 (turns:)" in remedies.servers_advice(silent)
