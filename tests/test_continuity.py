"""What a member keeps to come back: numbers, what is sent again, and when that cannot be."""

from __future__ import annotations

import json

from peer.continuity import UNACKNOWLEDGED, Continuity
from signaling.messages import ACK_EVERY, Ack, ErrorMessage, MessageFrom, Resume


def message(number: int | None) -> MessageFrom:
    return MessageFrom("b", number, n=number)


def test_ours_are_numbered_and_kept_until_they_are_taken() -> None:
    place = Continuity("lab", "a", "s")
    texts = [place.numbered('{"type":"leave"}') for _ in range(3)]
    assert [json.loads(text) for text in texts] == [{"n": n, "type": "leave"} for n in (1, 2, 3)]
    place.taken(1)
    assert place.resumed(1) == texts[1:]
    assert not place.fresh(Ack(2))
    assert place.resumed(2) == texts[2:]
    assert place.resumed(3) == []
    assert place.resumed(4) is None, "a server that took what was never sent is another one"


def test_a_message_is_worked_off_once() -> None:
    place = Continuity("lab", "a", "s")
    assert [place.fresh(message(n)) for n in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert place.fresh(message(None)) and place.fresh(ErrorMessage("bad-json", "x"))
    assert place.resume() == Resume("lab", "a", "s", 3, 1)


def test_the_server_is_told_now_and_then() -> None:
    place, told = Continuity("lab", "a", "s"), []
    for n in range(1, 3 * ACK_EVERY):
        place.fresh(message(n))
        told.append(place.due())
    assert [ack for ack in told if ack] == [Ack(ACK_EVERY), Ack(2 * ACK_EVERY)]
    assert place.resumed(0) == []
    place.fresh(message(3 * ACK_EVERY))
    assert place.due() is None, "the resume told it"


def test_what_is_kept_is_bounded() -> None:
    place = Continuity("lab", "a", "s")
    for _ in range(UNACKNOWLEDGED + 1):
        place.numbered("{}")
    assert place.resumed(0) is None
    again = place.resumed(1)
    assert again is not None and len(again) == UNACKNOWLEDGED
