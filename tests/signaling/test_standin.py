"""What is answered in the place of a client: what it said before, as an answer; and only where nothing changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.messages import SessionDescription
from signaling.standin import StandIn

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def sdp(setup: str, *directions: str, head: str = HEAD, ufrag: str = "uf", port: int = 9) -> str:
    kinds = ("audio", "video", "video")
    sections = [
        f"m={kind} {port} UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\n"
        f"a=setup:{setup}\r\na={direction}\r\n"
        for mid, (kind, direction) in enumerate(zip(kinds, directions, strict=False))
    ]
    return head + "".join(sections)


def offer(text: str) -> SessionDescription:
    return SessionDescription("offer", text)


def answer(text: str) -> SessionDescription:
    return SessionDescription("answer", text)


@pytest.fixture
def called() -> StandIn:
    """A client that called, and was answered by one who only listens to its pictures."""
    said = StandIn()
    said.client = offer(sdp("actpass", "sendrecv", "sendrecv"))
    said.other = answer(sdp("active", "sendrecv", "recvonly", ufrag="of"))
    return said


RECORDING = HEAD + "a=record:on\r\n"


def test_an_offer_that_only_says_that_it_records(called: StandIn) -> None:
    again = offer(sdp("actpass", "sendrecv", "recvonly", ufrag="of", head=RECORDING, port=4711))
    assert called.answer(again) == answer(sdp("passive", "sendrecv", "sendonly"))
    assert called.answer(offer(sdp("actpass", "sendrecv", "recvonly", ufrag="of"))) == answer(
        sdp("passive", "sendrecv", "sendonly")
    )


def test_the_answer_of_a_client_is_repeated() -> None:
    said = StandIn()
    said.other = offer(sdp("actpass", "sendrecv", "sendrecv"))
    said.client = answer(sdp("active", "sendrecv", "inactive"))
    assert said.answer(offer(sdp("actpass", "sendrecv", "sendrecv", head=RECORDING))) == said.client


@pytest.mark.parametrize(
    "changed",
    [
        sdp("actpass", "sendrecv", "recvonly", "sendonly", ufrag="of"),
        sdp("actpass", "sendrecv", ufrag="of"),
        sdp("actpass", "sendrecv", "sendrecv", ufrag="of"),
        sdp("actpass", "sendrecv", "recvonly", ufrag="another path"),
        sdp("actpass", "sendrecv", "recvonly", ufrag="of", port=0),
        HEAD,
        "",
    ],
)
def test_what_changes_more_is_for_the_client(called: StandIn, changed: str) -> None:
    assert called.answer(offer(changed)) is None


def test_before_anything_is_agreed_nobody_answers() -> None:
    said = StandIn()
    assert said.answer(offer(sdp("actpass", "sendrecv"))) is None
    said.other = offer(sdp("actpass", "sendrecv"))
    assert said.answer(offer(sdp("actpass", "sendrecv"))) is None


def test_of_too_many_m_lines_none_is_read() -> None:
    said = StandIn()
    said.client = said.other = offer("m=audio 9 x 0\r\n" * 1000)
    assert said.answer(offer("m=audio 9 x 0\r\n" * 1000)) is None


lines = st.lists(
    st.sampled_from(["m=", "m=audio", "m=audio 0", "a=mid:", "a=setup:", "a=setup:x", "a=sendonly", "\x00"])
)


@given(lines, lines, lines)
def test_whatever_is_said_nothing_breaks(ours: list[str], theirs: list[str], again: list[str]) -> None:
    said = StandIn()
    said.client, said.other = offer("\r\n".join(ours)), answer("\n".join(theirs))
    result = said.answer(offer("\r\n".join(again)))
    assert result is None or result.type == "answer"
