"""The messages of connectivity checks carry what RFC 8445 section 7 says."""

from __future__ import annotations

import pytest

from peer.rtc.ice import checks
from peer.rtc.ice.candidate import Candidate, IceParameters, candidate_priority
from peer.rtc.ice.stun import Attribute, Class, Method, parse

LOCAL = IceParameters("ours", "our-password-of-22-characters")
REMOTE = IceParameters("theirs", "their-password-of-22-characters")
ID = bytes(range(12))


@pytest.mark.parametrize("role", ["controlling", "controlled"])
@pytest.mark.parametrize("nominating", [False, True])
def test_a_check_names_both_sides_and_is_signed_with_the_password_of_the_other(role: str, *, nominating: bool) -> None:
    data = checks.Checks(LOCAL, REMOTE).request(ID, 7, role, 2**63, use_candidate=nominating)
    message = parse(data)
    assert (message.method, message.message_class, message.transaction_id) == (Method.BINDING, Class.REQUEST, ID)
    assert message.text(Attribute.USERNAME) == "theirs:ours"
    assert message.number(Attribute.PRIORITY) == 7
    assert message.number(checks.ROLES[role]) == 2**63
    assert not message.has(checks.ROLES[checks.other(role)])
    assert message.has(Attribute.USE_CANDIDATE) == nominating
    assert message.check_integrity(REMOTE.password.encode()) and message.has(Attribute.MESSAGE_INTEGRITY)
    assert data[-8:-4] == bytes.fromhex("80280004")  # FINGERPRINT is last


def test_answers_are_signed_with_our_own_password() -> None:
    request = parse(checks.Checks(REMOTE, LOCAL).request(ID, 7, "controlling", 1, use_candidate=False))
    key = LOCAL.password.encode()
    answer = parse(checks.success(request, ("192.0.2.1", 5), key))
    assert answer.mapped_address == ("192.0.2.1", 5) and answer.transaction_id == ID and answer.check_integrity(key)
    refusal = parse(checks.refusal(request, 420, "Unknown Attribute", key, [0x7777, 0x7778]))
    assert refusal.error == (420, "Unknown Attribute") and refusal.check_integrity(key)
    assert refusal.get(Attribute.UNKNOWN_ATTRIBUTES) == b"\x77\x77\x77\x78"


def test_the_priority_is_that_of_what_the_check_would_find() -> None:
    host = Candidate("1", 1, "udp", candidate_priority("host", local_preference=17), "192.0.2.1", 5, "host")
    relay = Candidate("1", 1, "udp", candidate_priority("relay", local_preference=17), "192.0.2.1", 5, "relay")
    assert checks.check_priority(host) == candidate_priority("prflx", local_preference=17)
    assert checks.check_priority(relay) == relay.priority
