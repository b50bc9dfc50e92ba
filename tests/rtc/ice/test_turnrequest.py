"""Requests carry credentials once they are known, and there are only so many."""

from __future__ import annotations

import itertools

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from peer.rtc.ice.turnrequest import MAX_REQUESTS, Credentials, Request, Requests


def numbers() -> itertools.count[int]:
    return itertools.count(1)


def requests(credentials: Credentials | None = None) -> Requests:
    counter = numbers()
    credentials = credentials or Credentials("user", "secret")
    return Requests(credentials, lambda size: next(counter).to_bytes(size, "big"), False)


def test_there_are_only_so_many() -> None:
    pending = requests()
    answers: list[Message | None] = []

    def done(answer: Message | None, now: float) -> None:
        answers.append(answer)

    assert all(pending.add(Request(Method.REFRESH, [], done), 0.0) for _ in range(MAX_REQUESTS))
    assert not pending.add(Request(Method.REFRESH, [], done), 0.0)
    pending.poll(100.0)
    assert answers == [None] * MAX_REQUESTS
    assert pending.next_due() is None


def test_an_answer_to_another_method_is_none() -> None:
    pending = requests()
    answers: list[Message | None] = []
    pending.add(Request(Method.REFRESH, [], lambda answer, now: answers.append(answer)), 0.0)
    for method in (Method.ALLOCATE, Method.REFRESH):
        message = Message(method, Class.ERROR, (1).to_bytes(12, "big")).add(Attribute.ERROR_CODE, (400, "Bad"))
        pending.answered(stun.parse(message.encode()), 0.0)
    assert [answer and answer.method for answer in answers] == [Method.REFRESH]


def test_a_challenge_without_a_nonce_is_a_refusal() -> None:
    pending = requests()
    answers: list[Message | None] = []
    pending.add(Request(Method.REFRESH, [], lambda answer, now: answers.append(answer)), 0.0)
    message = Message(Method.REFRESH, Class.ERROR, (1).to_bytes(12, "big")).add(Attribute.ERROR_CODE, (401, "No"))
    pending.answered(stun.parse(message.encode()), 0.0)
    assert [answer and answer.error for answer in answers] == [(401, "No")]


def test_a_challenge_that_is_too_long_is_a_refusal() -> None:
    """Repeated in the request it would not fit a message."""
    pending = requests()
    answers: list[Message | None] = []
    pending.add(Request(Method.REFRESH, [], lambda answer, now: answers.append(answer)), 0.0)
    message = Message(Method.REFRESH, Class.ERROR, (1).to_bytes(12, "big")).add(Attribute.ERROR_CODE, (401, "No"))
    message.add(Attribute.REALM, "r" * 60000).add(Attribute.NONCE, "nonce")
    pending.answered(stun.parse(message.encode()), 0.0)
    assert len(answers) == 1 and pending.outgoing[1:] == []


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("user", "secret", key=b"secret"))
