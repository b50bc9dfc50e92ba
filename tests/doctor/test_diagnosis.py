"""Every finding that matters has a sentence that says what is wrong and what to do; the exit code follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from peer.doctor.diagnosis import diagnose, exit_code, summary
from peer.doctor.findings import CallFinding, HostAddress, SignalingFinding
from peer.rtc.ice import remedies
from tests.doctor.samples import DIRECT, NOW, SIGNALING, STUN, TURN, TURNS, failed, findings, nat

if TYPE_CHECKING:
    from peer.doctor.findings import Findings


def problems(found: Findings) -> list[str]:
    return [sentence.text for sentence in diagnose(found) if sentence.level == "problem"]


def notes(found: Findings) -> list[str]:
    return [sentence.text for sentence in diagnose(found) if sentence.level == "note"]


def test_all_is_well() -> None:
    relay = replace(DIRECT, path="relay", url=TURNS.url, own=False, to="echo")
    found = findings(STUN, TURN, TURNS, nats=(nat(),), signaling=SIGNALING, calls=(replace(DIRECT, own=False), relay))
    assert diagnose(found) == []
    assert exit_code(found) == 0
    assert summary(found) == "all is well; calls work directly, through turns:turn.example.org (1.2 s)"


def test_without_servers_calls_work_within_the_network() -> None:
    found = findings()
    assert notes(found) == [remedies.NO_SERVER]
    assert exit_code(found) == 0


def test_what_is_missing_is_noted() -> None:
    assert notes(findings(STUN)) == [remedies.NO_TURN]
    assert notes(findings(STUN, TURN)) == [remedies.NO_STREAM]
    assert notes(findings(TURN, TURNS)) == []


def test_a_wrong_password_names_the_user_and_where_to_correct_it() -> None:
    found = findings(failed(TURN, 401, "wrong user or password (Unauthorized)"), TURNS)
    assert problems(found) == [
        "turn:turn.example.org: user alice or the password is refused (401); correct them in --ice-server"
    ]
    assert exit_code(found) == 8
    assert summary(found) == "1 problem found in 1.2 s"
    handed = findings(failed(replace(TURN, origin="the signaling server"), 401, "wrong user or password"))
    assert problems(handed)[0].endswith("correct them on the signaling server")


@pytest.mark.parametrize(
    ("past", "words"), [(7200, "2 hours"), (300, "5 minutes"), (30, "30 s"), (86400 * 3, "3 days")]
)
def test_an_expired_password_is_told_from_a_wrong_one(past: int, words: str) -> None:
    user = f"{int(NOW) - past}:alice"
    (sentence,) = problems(findings(failed(replace(TURN, username=user), 401, "wrong user or password")))
    assert f"the password of user {user} expired {words} ago (401); renew it in --ice-server" in sentence


def test_a_password_that_still_holds_is_wrong() -> None:
    (sentence,) = problems(findings(failed(replace(TURN, username=f"{int(NOW) + 60}:alice"), 401, "wrong")))
    assert "expired" not in sentence


def test_a_long_user_is_cut() -> None:
    (sentence,) = problems(findings(failed(replace(TURN, username="x" * 1000), 401, "wrong")))
    assert len(sentence) < 200


def test_a_dead_server_beside_good_ones_is_its_own_fault() -> None:
    dead = failed(replace(STUN, url="stun:dead.example.org"), tcp_opens=False)
    found = findings(STUN, TURN, TURNS, dead)
    assert problems(found) == [
        "stun:dead.example.org: no answer within 5 s, and TCP to the same port does not open; check it"
    ]


def test_who_named_a_server_is_told_where_it_was_not_the_flag() -> None:
    found = findings(failed(replace(STUN, origin="the signaling server", address=None), text="the name is not found"))
    assert problems(found) == [
        "stun:stun.example.org: the name is not found; check it; it is named on the signaling server"
    ]


def test_udp_that_does_not_get_out_is_one_problem() -> None:
    silent = (failed(STUN, tcp_opens=True), failed(TURN, tcp_opens=True))
    urls = [STUN.url, TURN.url]
    assert problems(findings(*silent)) == [remedies.udp_blocked(urls, None, "stun.example.org")]
    # A relay by TLS is all that such a network needs.
    assert problems(findings(*silent, TURNS)) == [remedies.udp_blocked(urls, TURNS.url, "")]
    # Where it fails for another reason, it is still UDP that is blocked.
    found = problems(findings(*silent, failed(TURNS, text="its certificate is not trusted", tcp_opens=True)))
    assert found[0] == remedies.udp_blocked(urls, None, "stun.example.org")
    assert found[1].startswith("turns:turn.example.org: its certificate is not trusted; ")
    # Where one answers by UDP, the others are silent for reasons of their own.
    assert not any("UDP does not get out" in text for text in problems(findings(STUN, *silent[1:])))


def test_a_family_that_does_not_get_out_is_one_problem() -> None:
    by_ipv6 = [
        failed(replace(server, address=("2001:db8::1", 3478)), tcp_opens=False) for server in (STUN, TURN, TURNS)
    ]
    hosts = (HostAddress("192.168.1.7", "eth0"), HostAddress("2001:db8:1::7", "eth0"))
    found = findings(STUN, TURN, TURNS, *by_ipv6, hosts=hosts)
    assert problems(found) == [remedies.family_broken(6, "2001:db8:1::7")]
    assert "--no-ipv6" in problems(found)[0]
    # One server that is dead at one of its addresses says nothing of the family.
    alive = replace(TURN, address=("2001:db8::2", 3478), mapped=("2001:db8:1::7", 1))
    found = findings(STUN, TURN, TURNS, by_ipv6[0], alive, hosts=hosts)
    assert problems(found) == [
        "stun:stun.example.org (IPv6): no answer within 5 s, and TCP to the same port does not open; check it"
    ]


def test_nothing_that_answers() -> None:
    dead = failed(STUN, tcp_opens=False), failed(TURNS, tcp_opens=False)
    assert remedies.NOTHING_ANSWERS in problems(findings(*dead))
    assert remedies.NOTHING_ANSWERS not in problems(findings(dead[0]))  # one server: its own sentence is enough
    assert not any("UDP does not get out" in text for text in problems(findings(*dead)))


def test_a_symmetric_nat_needs_turn() -> None:
    symmetric = (nat("address-and-port-dependent"),)
    assert problems(findings(STUN, nats=symmetric)) == [remedies.SYMMETRIC]
    assert remedies.SYMMETRIC_RELAYED in notes(findings(STUN, TURN, TURNS, nats=symmetric))
    assert remedies.SYMMETRIC in problems(findings(STUN, failed(TURN), nats=symmetric))


def test_a_relay_that_carries_nothing() -> None:
    (sentence,) = problems(findings(replace(TURN, carried=None), TURNS))
    assert "the relay at 192.0.2.2:50000 was given, but no packet came through it" in sentence


def test_a_relay_at_a_private_address_of_a_public_server() -> None:
    public = replace(TURN, address=("8.8.8.8", 3478), relayed=(("10.0.0.5", 50000),))
    (sentence,) = problems(findings(public, TURNS))
    assert "it relays at 10.0.0.5, which nobody outside its network reaches" in sentence
    assert "external-ip" in sentence


def test_a_signaling_server_that_cannot_be_reached() -> None:
    down = SignalingFinding(url="http://localhost:1", room="doctor", error="no answer; start it")
    found = findings(failed(STUN), signaling=down)
    assert problems(found)[0] == "no answer; start it"
    assert exit_code(found) == 3


def test_calls_that_fail_say_why() -> None:
    broken = CallFinding(path="relay", url=TURN.url, own=False, to="echo", error="no path worked; add a TURN server")
    found = findings(TURN, TURNS, signaling=SIGNALING, calls=(replace(broken, path="direct", url=None), broken))
    assert problems(found) == [
        "the direct call to echo failed: no path worked; add a TURN server",
        "the call to echo through turn:turn.example.org failed: no path worked; add a TURN server",
    ]
    absent = CallFinding(
        path="direct", own=False, to="x", answered=False, error="x is not in room doctor; correct --to"
    )
    assert problems(findings(TURNS, calls=(absent,))) == ["x is not in room doctor; correct --to"]
    silent = replace(DIRECT, echoed=False, own=False, to="echo")
    assert "the direct call to echo opened, but no text came back" in problems(findings(TURNS, calls=(silent,)))[0]


def test_a_nat_without_hairpinning_is_no_failure() -> None:
    hairpin = CallFinding(path="public address", url=STUN.url, error="no path worked")
    found = findings(TURN, TURNS, signaling=SIGNALING, calls=(DIRECT, hairpin))
    assert problems(found) == []
    assert any("no hairpinning" in text for text in notes(found))


def test_ice_tcp_is_a_problem_where_no_candidate_is_reached() -> None:
    broken = CallFinding(path="ICE-TCP", to="bot", own=False, error="192.0.2.7:443: connection refused; check it")
    direct = replace(DIRECT, own=False, to="bot")
    found = findings(TURN, TURNS, signaling=SIGNALING, calls=(direct, broken, broken))
    assert problems(found) == [
        "bot offers ICE-TCP, but not so that we reach it: 192.0.2.7:443: connection refused; check it"
    ]
    reached = replace(broken, error=None, seconds=0.1)
    found = findings(TURN, TURNS, signaling=SIGNALING, calls=(direct, broken, reached))
    assert problems(found) == []
    assert "calls work directly, by TCP without TURN" in summary(found)


def test_own_ends_are_said_to_be_own() -> None:
    found = findings(TURNS, signaling=SIGNALING, calls=(DIRECT,))
    assert notes(found) == [
        (
            "both ends of the calls were on this host, so they prove the signaling server, not the network of others; "
            "to have that tried, run on another machine: peer call http://localhost:8080 --room doctor --name echo"
        )
    ]


def test_problems_come_first_and_once() -> None:
    found = findings(failed(TURN), failed(TURN), remarks=("bob does not answer",))
    levels = [sentence.level for sentence in diagnose(found)]
    assert levels == sorted(levels, reverse=True)
    assert len(levels) == len(set(diagnose(found)))
