"""The TCP candidates of the other side are read from the messages of a call, whatever else these hold."""

from __future__ import annotations

from peer.doctor.tcpoffers import MAX_OFFERS, TcpOffer, TcpOffers
from signaling.messages import (
    ByeFrom,
    CandidateFrom,
    DescriptionFrom,
    DescriptionTo,
    IceCandidate,
    SessionDescription,
)


def passive(host: str = "192.0.2.7", port: int = 443) -> str:
    return f"candidate:1 1 tcp 1518149375 {host} {port} typ host tcptype passive"


def candidate(line: str) -> CandidateFrom:
    return CandidateFrom("m2", "s", IceCandidate(line))


def answer(*lines: str) -> DescriptionFrom:
    sdp = "v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:secret-of-theirs-22-long\r\n"
    return DescriptionFrom("m2", "s", SessionDescription("answer", sdp + "".join(f"a={line}\r\n" for line in lines)))


def dialled() -> TcpOffers:
    offers = TcpOffers()
    sdp = "v=0\r\na=ice-ufrag:ours\r\na=ice-pwd:ours-as-long-as-theirs-is\r\n"
    assert offers.sent(DescriptionTo("m2", "s", SessionDescription("offer", sdp))) == []
    return offers


OFFER = TcpOffer("192.0.2.7", 443, "theirs:ours", "secret-of-theirs-22-long")


def test_candidates_in_an_answer_and_after_it() -> None:
    offers = dialled()
    assert offers.received(answer(passive())) == [OFFER]
    assert offers.received(candidate(passive())) == []  # known
    (other,) = offers.received(candidate(passive("2001:db8::7")))
    assert other.host == "2001:db8::7"


def test_candidates_wait_for_the_credentials() -> None:
    offers = dialled()
    assert offers.received(candidate(passive())) == []
    assert offers.received(answer()) == [OFFER]


def test_what_is_of_no_use_is_passed_over() -> None:
    offers = dialled()
    lines = (
        "candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host",
        "candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active",
        passive("secret.local"),
        "candidate:passive garbage",
        "",
    )
    assert offers.received(answer(*lines)) == []
    for line in lines:
        assert offers.received(candidate(line)) == []
    assert offers.received(CandidateFrom("m2", "s", None)) == []
    assert offers.received(ByeFrom("m2", "s", "busy")) == []
    offers = dialled()
    assert offers.received(DescriptionFrom("m2", "s", SessionDescription("answer", "v=0\r\n"))) == []


def test_they_are_bounded() -> None:
    offers = dialled()
    found = offers.received(answer(*(passive(port=port) for port in range(1, 1000))))
    found += offers.received(candidate(passive(port=2000)))
    assert len(found) == MAX_OFFERS
