"""The backlog: numbers, what is kept, and when a member has missed too much."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from signaling.backlog import Backlog, numbered

LIMIT, SIZE = 5, 40


def test_a_number_is_put_into_the_message_without_writing_it_anew() -> None:
    assert json.loads(numbered(b'{"type":"ack","got":3}', 7)) == {"n": 7, "type": "ack", "got": 3}


def test_the_oldest_go() -> None:
    backlog = Backlog(2, 100)
    for payload in (b"1", b"2", b"3"):
        backlog.append(payload)
    assert backlog.since(0) is None
    assert backlog.since(1) == [(2, b"2"), (3, b"3")]
    assert backlog.since(3) == []
    assert backlog.since(4) is None


def test_bytes_are_bounded_too() -> None:
    backlog = Backlog(10, 5)
    assert backlog.append(b"123456") == 1
    assert len(backlog) == 0
    assert backlog.append(b"1234") == 2
    assert backlog.since(0) is None
    assert backlog.since(1) == [(2, b"1234")]


@given(st.lists(st.one_of(st.binary(max_size=12), st.integers(0, 30)), max_size=40))
def test_what_is_kept_is_the_end_of_all_there_was(steps: list[bytes | int]) -> None:
    backlog, sent, acknowledged = Backlog(LIMIT, SIZE), [], 0
    for step in steps:
        if isinstance(step, bytes):
            sent.append(step)
            assert backlog.append(step) == len(sent)
        else:
            backlog.acknowledge(step)
            if step <= len(sent):
                acknowledged = max(acknowledged, step)
        assert len(backlog) <= LIMIT
        for got in range(len(sent) + 2):
            missed = backlog.since(got)
            if missed is not None:
                assert missed == list(enumerate(sent[got:], got + 1))
            elif got <= len(sent):
                behind = sent[got:]
                assert got < acknowledged or len(behind) > LIMIT or sum(map(len, behind)) > SIZE
