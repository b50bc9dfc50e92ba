"""A delivery: either half is made from the other, once, and its kind is told without reading it."""

from __future__ import annotations

import json

import pytest

from signaling import messages as m
from signaling.delivery import Delivery, broadcast

MESSAGES = [
    m.MessageFrom("a", {"type": "left"}),
    m.Ack(3),
    m.Left(m.Member("A", "a"), "left"),
    m.IceServersChanged([]),
    m.ErrorMessage("bad-json", "x"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_each_half_is_made_of_the_other(message: m.ServerMessage) -> None:
    payload = m.to_json(message)
    assert Delivery("A", message).payload == payload
    read = Delivery("A", json=payload)
    assert read.kind is type(message) and read.known is None
    assert read.message == message and read.kind is type(message)
    assert read == Delivery("A", message) != Delivery("B", message)


def test_a_number_is_on_the_wire_only() -> None:
    delivery = Delivery("A", m.Ack(1), 7)
    assert json.loads(delivery.frame) == {"n": 7, "type": "ack", "got": 1}
    assert Delivery("A", m.Ack(1)).frame == delivery.payload


def test_a_broadcast_is_written_once() -> None:
    first, second = broadcast(["A", "B"], m.Ack(1))
    assert (first.to, second.to) == ("A", "B") and first.payload is second.payload
