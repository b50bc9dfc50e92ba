"""What was sent is found by its number, across wrap-arounds, for as long as it can be sent again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.history import HISTORY, MAX_HISTORY, History, SentFrame


def frame(first: int, count: int, at: float = 1.0) -> SentFrame:
    payloads = [str(first + index).encode() for index in range(count)]
    return SentFrame(first, payloads, 96, 97, count - 1, 0, 0, None, at, sum(map(len, payloads)))


def payload(history: History, number: int) -> bytes | None:
    found = history.find(number & 0xFFFF)
    return None if found is None else found[0].payloads[found[1]]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(0, 1 << 17))
def test_every_packet_is_found_by_its_number(counts: list[int], first: int) -> None:
    history, number = History(), first
    for count in counts:
        history.add(frame(number, count), 1.0)
        number += count
    kept = range(max(first, number - MAX_HISTORY + 200), number)
    assert all(payload(history, each) == str(each).encode() for each in kept)
    assert payload(history, number) is None and payload(history, first - 1) is None
    assert [sent.first + index for sent, index in history.newest()][:3] == list(range(number - 1, first - 1, -1))[:3]


def test_nothing_was_sent_yet() -> None:
    assert History().find(5) is None and list(History().newest()) == []


def test_it_is_known_how_much_was_sent_of_late() -> None:
    history = History()
    for second in (1.0, 1.5, 2.0):
        history.add(frame(0, 3, at=second), second)
    assert [history.sent_since(then) for then in (0.0, 1.5, 1.6, 3.0)] == [9, 6, 3, 0]
    assert History().sent_since(0.0) == 0


def test_what_is_too_old_or_too_much_is_forgotten() -> None:
    history = History()
    history.add(frame(0, 3, at=1.0), 1.0)
    history.add(frame(3, 3, at=2.0), 2.0)
    history.forget(1.0 + HISTORY + 0.1)
    assert payload(history, 2) is None and payload(history, 3) == b"3"
    for turn in range(MAX_HISTORY // 100 + 1):
        history.add(frame(6 + 100 * turn, 100, at=2.0), 2.0)
    assert payload(history, 3) is None and payload(history, 6 + MAX_HISTORY) is not None
