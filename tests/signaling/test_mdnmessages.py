"""The words of MDN's chat: what is harmless in a page, what can be a name, and what a message of a member says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.mdnmessages import chat, frame, shown, text_of, usable
from signaling.messages import check_label


@given(st.text(max_size=100))
def test_whatever_somebody_wants_to_be_called_gives_a_name(wanted: str) -> None:
    check_label("name", usable(wanted))
    check_label("name", usable(wanted) + "100")


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_line_of_the_chat_begins_a_tag(name: str, text: str) -> None:
    assert "<" not in chat(name, text, 0.0)


def test_what_is_shown_is_otherwise_as_it_was() -> None:
    assert shown("a & b > c") == "a & b > c"
    assert shown("<b>") == "\uff1cb>"
    assert json.loads(frame("x", a=1)) == {"type": "x", "a": 1}


@pytest.mark.parametrize(
    ("data", "text"), [("a", "a"), ({"text": "a"}, "a"), ([1], "[1]"), ({"text": [1]}, '{"text":[1]}')]
)
def test_data_in_words(data: object, text: str) -> None:
    assert text_of(data) == text
