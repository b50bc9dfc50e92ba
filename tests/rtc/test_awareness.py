"""Whether a description says that its sender records (RFC 7866)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc import sdp
from peer.rtc.awareness import announces_recording, with_recording_announced
from tests.rtc.descriptions import FIXTURES, OFFERS


@pytest.mark.parametrize("name", OFFERS)
def test_it_is_said_once_and_for_the_whole_session(name: str) -> None:
    offer = FIXTURES[name]
    said = with_recording_announced(offer)
    assert announces_recording(said) and not announces_recording(offer)
    assert said.index("a=record:on\r\n") < said.index("m=")
    assert said.replace("a=record:on\r\n", "") == offer
    assert with_recording_announced(said) == said


@pytest.mark.parametrize("name", OFFERS)
def test_the_rest_of_the_description_is_read_as_before(name: str) -> None:
    before, after = (sdp.parse(text) for text in (FIXTURES[name], with_recording_announced(FIXTURES[name])))
    assert [str(section) for section in after.media] == [str(section) for section in before.media]


@pytest.mark.parametrize("end", ["\r\n", "\n", " \r\n", ""])
def test_a_medium_that_is_recorded_counts(end: str) -> None:
    assert announces_recording(f"v=0\r\nm=audio 9 RTP/AVP 0\r\na=record:on{end}")


@pytest.mark.parametrize(
    "line", ["a=record:off", "a=record:paused", "a=recordpref:on", "s=a=record:on", "a=record:onward"]
)
def test_nothing_else_is_taken_for_it(line: str) -> None:
    assert not announces_recording(f"v=0\r\n{line}\r\n")


@given(st.text(alphabet=st.sampled_from("am=record:on\r\n 9x"), max_size=60))
def test_whatever_is_described_can_be_announced(text: str) -> None:
    assert announces_recording(with_recording_announced(text if text.endswith("\n") or not text else text + "\n"))
