"""What is read and agreed of the path: credentials, certificate, DTLS role, restarts and moves."""

from __future__ import annotations

import copy

import pytest

from peer.rtc import effects
from peer.rtc.sdp import SdpError, Section, parse
from peer.rtc.transport_section import TransportAgreement
from tests.rtc.descriptions import FINGERPRINT, PATH, audio, text

OTHER = "a=fingerprint:sha-256 " + ":".join(["CD"] * 32)


def section(*lines: str, mid: str = "0", setup: str = "actpass", ufrag: str = "abcd") -> Section:
    path = [line for line in PATH if not line.startswith(("a=setup", "a=ice-ufrag"))]
    said = [f"a=ice-ufrag:{ufrag}", *([f"a=setup:{setup}"] if setup else [])]
    return parse(text(audio(mid, *lines, path=[*path, *said]))).media[0]


def agreed(**changes: str) -> TransportAgreement:
    """What holds after a first offer of the other side, which we answered."""
    transport = TransportAgreement()
    transport.take(section(**changes), lite=False, is_answer=False)
    transport.agree(section(setup=transport.answering_setup(section(**changes))), answered_locally=True)
    return transport


def remote(found: list[effects.Effect]) -> effects.RemoteTransport:
    (transport,) = (effect for effect in found if isinstance(effect, effects.RemoteTransport))
    return transport


def test_the_path_of_a_description() -> None:
    transport = TransportAgreement()
    lines = ("a=candidate:1 1 udp 1 192.0.2.1 5000 typ host", "a=end-of-candidates")
    assert transport.take(section(*lines), lite=True, is_answer=False) == [
        effects.RemoteTransport("abcd", "0123456789012345678901", True, (FINGERPRINT,), restarted=False),
        effects.RemoteCandidates(("1 1 udp 1 192.0.2.1 5000 typ host",), True),
    ]
    assert (transport.tag, transport.agreed, transport.restarting) == ("0", False, False)


@pytest.mark.parametrize("missing", ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint"])
@pytest.mark.parametrize("is_answer", [True, False])
def test_a_path_that_lacks_something_is_refused(missing: str, is_answer: bool) -> None:
    path = [line for line in PATH if not line.startswith(missing)]
    transport = TransportAgreement()
    with pytest.raises(SdpError, match="missing"):
        transport.take(parse(text(audio(path=path))).media[0], lite=False, is_answer=is_answer)
    assert transport == TransportAgreement()


@pytest.mark.parametrize("setup", ["actpass", "holdconn", ""])
def test_an_answer_has_to_decide_who_begins(setup: str) -> None:
    with pytest.raises(SdpError, match="who begins"):
        TransportAgreement().take(section(setup=setup), lite=False, is_answer=True)


@pytest.mark.parametrize(
    ("offered", "answered", "role"),
    [
        ("actpass", "active", "client"),
        ("passive", "active", "client"),
        ("active", "passive", "server"),
        ("", "active", "client"),
        ("holdconn", "active", "client"),
    ],
)
def test_our_role_when_we_answer(offered: str, answered: str, role: str) -> None:
    transport = TransportAgreement()
    offer = section(setup=offered)
    transport.take(offer, lite=False, is_answer=False)
    assert transport.answering_setup(offer) == answered
    assert transport.agree(section(setup=answered), answered_locally=True) == [effects.RoleAgreed(role)]
    assert transport.role == role and transport.agreed


@pytest.mark.parametrize(("answered", "role"), [("active", "server"), ("passive", "client")])
def test_our_role_when_we_are_answered(answered: str, role: str) -> None:
    transport = TransportAgreement()
    answer = section(setup=answered)
    transport.take(answer, lite=False, is_answer=True)
    assert transport.agree(answer, answered_locally=False) == [effects.RoleAgreed(role)]


def test_a_role_once_agreed_stays() -> None:
    transport = agreed()
    for said in ("actpass", "passive", "active", ""):
        offer = section(setup=said)
        transport.take(offer, lite=False, is_answer=False)
        assert transport.answering_setup(offer) == "active"
        assert transport.agree(section(setup="active"), answered_locally=True) == []
    transport.take(section(setup="active"), lite=False, is_answer=True)
    assert transport.agree(section(setup="active"), answered_locally=False) == []
    assert agreed(setup="active").answering_setup(section()) == "passive"


def test_a_certificate_that_changes_in_mid_call_is_refused() -> None:
    transport = agreed()
    before = copy.copy(transport)
    changed = [line if not line.startswith("a=fingerprint") else OTHER for line in PATH]
    for mid in ("0", "1"):  # also where another m-line stands for the path
        with pytest.raises(SdpError, match="fingerprint changed"):
            transport.take(parse(text(audio(mid, path=changed))).media[0], lite=False, is_answer=False)
    assert transport == before


def test_the_order_of_fingerprints_does_not_count() -> None:
    transport = TransportAgreement()
    transport.take(section(OTHER), lite=False, is_answer=False)
    transport.agree(section(OTHER, setup="active"), answered_locally=True)
    assert transport.fingerprints == (tuple(OTHER.removeprefix("a=fingerprint:").split()), FINGERPRINT)
    transport.take(parse(text(audio("0", path=[*PATH, OTHER]))).media[0], lite=False, is_answer=False)


def test_new_credentials_are_a_restart() -> None:
    transport = agreed()
    found = remote(transport.take(section(ufrag="efgh"), lite=False, is_answer=False))
    assert (found.restarted, found.moved, transport.restarting) == (True, False, True)
    transport.agree(section(setup="active"), answered_locally=True)
    assert not transport.restarting
    assert not remote(transport.take(section(ufrag="efgh"), lite=False, is_answer=False)).restarted
    assert remote(transport.take(section(ufrag="ijkl"), lite=False, is_answer=True)).restarted


def test_before_there_is_a_path_nothing_restarts_or_moves() -> None:
    transport = TransportAgreement()
    transport.take(section(), lite=False, is_answer=False)
    found = remote(transport.take(section(ufrag="efgh", mid="1"), lite=False, is_answer=False))
    assert (found.restarted, found.moved, transport.restarting) == (False, False, False)


def test_another_first_m_line_moves_the_path() -> None:
    transport = agreed()
    found = remote(transport.take(section(mid="1"), lite=False, is_answer=False))
    assert (found.restarted, found.moved, transport.restarting) == (False, True, True)
    assert transport.answering_setup(section()) == "active"
    transport.agree(section(mid="1", setup="active"), answered_locally=True)
    assert not remote(transport.take(section(mid="1"), lite=False, is_answer=False)).moved
    assert not remote(transport.take(section(mid="2"), lite=False, is_answer=True)).moved


def test_which_m_line_stands_for_the_path() -> None:
    transport = TransportAgreement()
    transport.take(section(), lite=False, is_answer=False)
    assert not transport.stands_on("0")
    assert agreed().stands_on("0") and not agreed().stands_on("1")
