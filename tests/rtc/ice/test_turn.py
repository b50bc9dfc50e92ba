"""An allocation is got, kept alive, and given up, whatever the server answers (RFC 8656)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice import stun, turnrequest
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from peer.rtc.ice.turn import (
    REFRESH_AGAIN,
    Allocated,
    AllocationFailed,
    AllocationLost,
    Deallocated,
    StreamSplitter,
    TurnClient,
    TurnOptions,
)
from tests.rtc.ice.fake_turn import KEY, MAPPED, PASSWORD, RELAYED, USER, FakeTurn

PEER = ("192.0.2.1", 5000)


def client_with(*, password: str = PASSWORD, stream: bool = False, both_families: bool = False) -> TurnClient:
    chance = random.Random(1)
    return TurnClient(
        TurnOptions(USER, password, stream=stream, both_families=both_families), lambda size: chance.randbytes(size)
    )


def allocated(server: FakeTurn, *, stream: bool = False) -> TurnClient:
    client = client_with(stream=stream)
    client.allocate(0.0)
    server.serve(client, 0.0)
    client.take_events()
    server.requests.clear()
    return client


def test_allocating_answers_the_challenge() -> None:
    server, client = FakeTurn(), client_with()
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.take_events() == [Allocated((RELAYED,), MAPPED)]
    assert [request.has(Attribute.USERNAME) for request in server.requests] == [False, True]
    assert server.requests[1].number(Attribute.REQUESTED_TRANSPORT) == 17


def test_a_wrong_password_is_asked_for_once() -> None:
    server, client = FakeTurn(), client_with(password="wrong")
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.take_events() == [AllocationFailed(401, "Unauthorized")]
    assert len(server.requests) == 2
    assert client.next_due() is None


@pytest.mark.parametrize("code", [403, 437, 441, 486, 508])
def test_a_refusal_is_told(code: int) -> None:
    server, client = FakeTurn(), client_with()
    server.refuse = lambda _: (code, "No")
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.take_events() == [AllocationFailed(code, "No")]


def test_another_server_is_told() -> None:
    client = client_with()
    client.allocate(0.0)
    request = stun.parse(client.take_outgoing()[0])
    answer = Message(Method.ALLOCATE, Class.ERROR, request.transaction_id)
    answer.add(Attribute.ERROR_CODE, (300, "Try Alternate")).add(Attribute.ALTERNATE_SERVER, ("192.0.2.99", 3478))
    client.receive(answer.encode(), 0.0)
    assert client.take_events() == [AllocationFailed(300, "Try Alternate", ("192.0.2.99", 3478))]


def test_a_server_that_chokes_on_the_second_family_is_asked_without() -> None:
    server, client = FakeTurn(), client_with(both_families=True)
    server.refuse = lambda request: (420, "Unknown Attribute") if request.has(0x8000) else None
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.take_events() == [Allocated((RELAYED,), MAPPED)]


def test_both_families_are_had_from_one_allocation() -> None:
    server, client = FakeTurn(), client_with(both_families=True)
    server.relayed = [RELAYED, ("2001:db8::7", 50001)]
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.take_events() == [Allocated((RELAYED, ("2001:db8::7", 50001)), MAPPED)]


def test_an_answer_without_an_address_is_none() -> None:
    server, client = FakeTurn(), client_with()
    server.relayed = []
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert [type(event) for event in client.take_events()] == [AllocationFailed]


def test_requests_are_sent_again_over_udp_until_it_is_no_use() -> None:
    client = client_with()
    client.allocate(0.0)
    times = []
    while (due := client.next_due()) is not None:
        client.poll(due)
        times.append(due)
    assert times == [0.25, 0.75, 1.75, 3.75, 5.75, 7.75, 8.0]
    assert len(set(client.take_outgoing())) == 1
    assert client.take_events() == [AllocationFailed(701, "no answer")]


def test_over_a_stream_nothing_is_sent_twice() -> None:
    client = client_with(stream=True)
    client.allocate(0.0)
    assert len(client.take_outgoing()) == 1
    assert client.next_due() == 8.0
    client.poll(8.0)
    assert not client.has_outgoing


@pytest.mark.parametrize(("lifetime", "due"), [(600, 540.0), (3600, 3540.0), (60, 30.0), (0, 1.0)])
def test_it_is_refreshed_before_it_expires(lifetime: int, due: float) -> None:
    server = FakeTurn()
    server.lifetime = lifetime
    client = allocated(server)
    assert client.next_due() == due
    client.poll(due)
    assert client.next_due() == due + 0.25  # not refreshed twice
    server.serve(client, due)
    assert server.methods() == [Method.REFRESH]
    assert client.next_due() == 2 * due


def test_a_stale_nonce_is_replaced() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.nonce = "nonce-2"
    client.poll(540.0)
    server.serve(client, 540.0)
    assert server.methods() == [Method.REFRESH, Method.REFRESH]
    assert client.take_events() == []


def test_a_nonce_that_is_always_stale_is_not_chased_for_ever() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.refuse = lambda _: (438, "Stale Nonce")
    client.poll(540.0)
    server.serve(client, 540.0)
    assert len(server.requests) == 5
    assert [type(event) for event in client.take_events()] == [AllocationLost]


def test_an_outage_is_survived_until_the_allocation_has_expired() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.silent = True
    now = 540.0
    while now < 590.0:
        client.poll(now)
        server.serve(client, now)
        due = client.next_due()
        assert due is not None and due >= now
        now = due
    assert client.take_events() == []
    server.silent = False
    client.poll(now)
    server.serve(client, now)
    assert client.take_events() == []
    assert (client.next_due() or 0) > 1000


def test_a_server_that_stays_silent_has_lost_it() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.silent = True
    while (due := client.next_due()) is not None:
        client.poll(due)
        server.serve(client, due)
    assert client.take_events() == [AllocationLost("the server does not answer any more")]
    assert due is None


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_a_server_that_forgot_it_has_lost_it(method: Method) -> None:
    """After a restart of the server every request gets a 437."""
    server = FakeTurn()
    client = allocated(server)
    server.refuse = lambda request: (437, "Allocation Mismatch") if request.method == method else None
    for now in (0.0, 1.0):
        client.send(b"\x80media", PEER, now)
        server.serve(client, now)
    client.poll(540.0)
    server.serve(client, 540.0)
    assert [type(event) for event in client.take_events()] == [AllocationLost]
    assert client.next_due() is None


def test_it_is_deleted_in_the_end() -> None:
    server = FakeTurn()
    client = allocated(server)
    client.send(b"\x80media", PEER, 1.0)
    server.nonce = "nonce-2"
    client.deallocate(1.0)
    server.serve(client, 1.0)
    assert server.requests[0].method == Method.CREATE_PERMISSION  # it was under way; its answer is of no interest
    assert [request.number(Attribute.LIFETIME) for request in server.requests[1:]] == [0, 0]
    assert client.take_events() == [Deallocated()]
    assert client.next_due() is None


def test_what_was_never_allocated_need_not_be_deleted() -> None:
    client = client_with()
    client.deallocate(0.0)
    assert client.take_events() == [Deallocated()]
    assert client.send(b"\x80", PEER, 0.0) is None


def test_an_answer_that_is_not_signed_counts_as_none() -> None:
    """RFC 8489 section 9.2.5: anybody could have sent it."""
    server = FakeTurn()
    client = allocated(server)
    client.poll(540.0)
    request = stun.parse(client.take_outgoing()[0])
    forged = Message(Method.REFRESH, Class.RESPONSE, request.transaction_id).add(Attribute.LIFETIME, 0)
    client.receive(forged.encode(), 540.1)
    client.receive(forged.encode(b"another key"), 540.1)
    assert client.next_due() == 540.25
    client.receive(forged.encode(KEY), 540.1)
    assert client.next_due() != 540.25


def test_what_a_peer_sends_comes_out() -> None:
    client = allocated(FakeTurn())
    indication = Message(Method.DATA, Class.INDICATION, bytes(12))
    indication.add(Attribute.XOR_PEER_ADDRESS, PEER).add(Attribute.DATA, b"hello")
    assert client.receive(indication.encode(), 0.0) == (b"hello", PEER)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x40\x00",
        b"\x40\x00\x00\x05hello",  # a channel that nobody bound
        b"\xff" * 30,
        Message(Method.DATA, Class.INDICATION, bytes(12)).encode(),
        Message(Method.DATA, Class.INDICATION, bytes(12)).add(Attribute.DATA, b"x").encode(),
        Message(Method.ALLOCATE, Class.RESPONSE, bytes(12)).encode(),
        Message(Method.ALLOCATE, Class.REQUEST, bytes(12)).encode(),
    ],
)
def test_what_means_nothing_is_ignored(data: bytes) -> None:
    client = allocated(FakeTurn())
    assert client.receive(data, 0.0) is None
    assert client.take_events() == [] and not client.has_outgoing


@given(st.binary(max_size=120))
def test_nothing_that_arrives_raises(data: bytes) -> None:
    client = allocated(FakeTurn())
    client.receive(data, 0.0)
    client.receive(b"\x40\x00" + data, 0.0)
    client.receive(b"\x01\x13" + data, 0.0)


def test_a_password_is_not_in_the_options_text() -> None:
    assert PASSWORD not in repr(TurnOptions(USER, PASSWORD))


# Streams


STREAM = [
    Message(Method.DATA, Class.INDICATION, bytes(12)).add(Attribute.DATA, b"12345").encode(),
    b"\x40\x00\x00\x05hello",
    b"\x4f\xff\x00\x04four",
    Message(Method.BINDING, Class.RESPONSE, bytes(12)).encode(),
]


@given(st.lists(st.integers(1, 30), max_size=20))
def test_a_stream_is_cut_into_messages(sizes: list[int]) -> None:
    data = b"".join(part + bytes(-len(part) % 4) for part in STREAM)
    splitter, found = StreamSplitter(), []
    for size in [*sizes, len(data)]:
        found += splitter.feed(data[:size])
        data = data[size:]
    assert found == STREAM


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", b"\x80\0\0\0", b"\x00\x01\x00\x03", STREAM[0] + b"\x50\0\0\0"])
def test_another_stream_is_refused(data: bytes) -> None:
    with pytest.raises(stun.StunError):
        StreamSplitter().feed(data)


def test_over_a_stream_messages_are_padded() -> None:
    server = FakeTurn()
    client = allocated(server, stream=True)
    for _ in range(3):
        sent = client.send(b"\x80media", PEER, 1.0)
        if sent is not None:
            server.receive(sent)
        server.serve(client, 1.0)
    sent = client.send(b"\x80media", PEER, 1.0)
    assert sent == b"\x40\x00\x00\x06\x80media\0\0"


def test_a_refresh_that_there_is_no_room_for_is_tried_again_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeTurn()
    client = allocated(server)
    due = client.next_due()
    assert due is not None
    with monkeypatch.context() as patch:
        patch.setattr(turnrequest, "MAX_REQUESTS", 0)
        client.poll(due)
        assert client.next_due() == due + REFRESH_AGAIN and client.take_outgoing() == []
    client.poll(due + REFRESH_AGAIN)
    server.serve(client, due + REFRESH_AGAIN)
    assert [request.method for request in server.requests] == [Method.REFRESH]
