"""Peers are let in before anything is sent to them, get a channel for media, and are kept while they are used."""

from __future__ import annotations

import pytest

from peer.rtc.ice.stun import Method
from peer.rtc.ice.turn import PeerRefused, TurnClient
from peer.rtc.ice.turnpeers import MAX_HOSTS, MAX_KEPT, MAX_PEERS
from tests.rtc.ice.fake_turn import FakeTurn
from tests.rtc.ice.test_turn import PEER, allocated

CHECK = b"\x00\x01check"
MEDIA = b"\x80media"


def send(client: TurnClient, server: FakeTurn, data: bytes, now: float, peer: tuple[str, int] = PEER) -> None:
    """As the shell does it: at once what can go at once, then what else is to be said."""
    sent = client.send(data, peer, now)
    if sent is not None:
        server.receive(sent)
    server.serve(client, now)


def test_the_first_packet_waits_for_the_permission() -> None:
    server = FakeTurn()
    client = allocated(server)
    assert client.send(CHECK, PEER, 0.0) is None
    assert client.send(CHECK, (PEER[0], 5001), 0.0) is None
    server.serve(client, 0.0)
    assert server.methods() == [Method.CREATE_PERMISSION]
    assert server.data == [(CHECK, PEER), (CHECK, (PEER[0], 5001))]


def test_what_waits_is_bounded() -> None:
    server = FakeTurn()
    client = allocated(server)
    for number in range(MAX_KEPT + 5):
        client.send(CHECK + bytes([number]), PEER, 0.0)
    server.serve(client, 0.0)
    assert [data[-1] for data, _ in server.data] == list(range(MAX_KEPT))


def test_checks_bind_no_channel_and_media_does() -> None:
    server = FakeTurn()
    client = allocated(server)
    for now in range(5):
        send(client, server, CHECK, float(now))
    assert Method.CHANNEL_BIND not in server.methods()
    send(client, server, MEDIA, 5.0)
    assert server.methods() == [Method.CHANNEL_BIND]
    indications = len(server.indications)
    send(client, server, MEDIA, 6.0)
    send(client, server, CHECK, 6.0)
    assert len(server.indications) == indications
    assert server.data[-2:] == [(MEDIA, PEER), (CHECK, PEER)]
    assert client.receive(b"\x40\x00\x00\x02hi", 6.0) == (b"hi", PEER)
    assert client.receive(b"\x40\x00\x00\x02hi..", 6.0) == (b"hi", PEER)
    assert client.receive(b"\x40\x00\x00\x00", 6.0) is None
    assert client.receive(b"\x40\x00\x00\x05hi", 6.0) is None


def test_a_refused_host_is_told_once_and_harms_nobody_else() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.refuse = lambda request: (403, "Forbidden IP") if request.method == Method.CREATE_PERMISSION else None
    send(client, server, CHECK, 0.0)
    send(client, server, CHECK, 1.0)
    assert client.take_events() == [PeerRefused(PEER[0], 403, "Forbidden IP")]
    assert server.methods() == [Method.CREATE_PERMISSION] and server.data == []
    server.refuse = lambda _: None
    send(client, server, CHECK, 2.0, ("192.0.2.2", 5000))
    assert server.data == [(CHECK, ("192.0.2.2", 5000))]


def test_a_permission_that_was_not_answered_is_asked_for_again() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.silent = True
    send(client, server, CHECK, 0.0)
    client.poll(8.0)
    server.silent = False
    send(client, server, CHECK, 9.0)
    assert server.data == [(CHECK, PEER)]


def test_a_refused_channel_leaves_indications() -> None:
    server = FakeTurn()
    client = allocated(server)
    server.refuse = lambda request: (400, "Bad Request") if request.method == Method.CHANNEL_BIND else None
    for now in range(5):
        send(client, server, MEDIA, float(now))
    assert server.methods() == [Method.CREATE_PERMISSION, Method.CHANNEL_BIND]
    assert [data for data, _ in server.data] == [MEDIA] * 5


def test_a_channel_that_was_not_answered_is_asked_for_again() -> None:
    server = FakeTurn()
    client = allocated(server)
    send(client, server, MEDIA, 0.0)
    server.silent = True
    send(client, server, MEDIA, 1.0)
    client.poll(9.0)
    server.silent = False
    server.requests.clear()
    send(client, server, MEDIA, 10.0)
    assert server.methods() == [Method.CHANNEL_BIND]


@pytest.mark.parametrize("data", [CHECK, MEDIA])
def test_what_is_used_is_refreshed_in_time(data: bytes) -> None:
    """A permission lasts 300 s, a channel 600 s: for half an hour neither is ever older."""
    server = FakeTurn()
    client = allocated(server)
    last: dict[int, float] = {}
    for now in range(0, 1800, 10):
        send(client, server, data, float(now))
        client.poll(float(now))
        server.serve(client, float(now))
        for method in server.methods():
            last[method] = now
        renewed = max(last.get(Method.CREATE_PERMISSION, 0), last.get(Method.CHANNEL_BIND, 0))
        assert now - renewed < 300
        assert now - last.get(Method.CHANNEL_BIND, now) < 600
    assert client.take_events() == []


def test_what_is_not_used_runs_out_and_comes_back() -> None:
    server = FakeTurn()
    client = allocated(server)
    for now in range(3):
        send(client, server, MEDIA, float(now))
    server.methods()
    for now in range(10, 530, 10):
        client.poll(float(now))
        server.serve(client, float(now))
    assert server.methods() == []
    for later in (530.0, 531.0, 532.0):
        send(client, server, MEDIA, later)
    assert Method.CREATE_PERMISSION in server.methods()
    assert len(server.channels) == 1  # the number of a peer is not given away
    assert client.receive(b"\x40\x00\x00\x02hi", 533.0) == (b"hi", PEER)


def test_hosts_and_peers_are_bounded() -> None:
    server = FakeTurn()
    client = allocated(server)
    for number in range(MAX_HOSTS + MAX_PEERS + 50):
        peer = (f"192.0.{number // 250}.{number % 250 + 1}", 5000)
        for _ in range(3):
            send(client, server, MEDIA, float(number), peer)
    peers = client._peers
    assert len(peers._hosts) <= MAX_HOSTS
    assert len(peers._peers) <= MAX_PEERS
    assert len(peers._by_number) <= MAX_PEERS
    assert len(peers.bound) <= MAX_PEERS
    assert server.data[-1] == (MEDIA, peer)


def test_channel_numbers_are_not_given_out_twice() -> None:
    server = FakeTurn()
    client = allocated(server)
    client._peers._next_number = 0x4FFE
    for port in (1, 2, 3):
        for _ in range(3):
            send(client, server, MEDIA, 0.0, (PEER[0], port))
    assert sorted(server.channels) == [0x4FFE, 0x4FFF]
    assert server.data[-1] == (MEDIA, (PEER[0], 3))


def test_a_permission_that_ran_out_unnoticed_is_asked_for_again() -> None:
    """As after the host was asleep: the timers come late, the packet first."""
    server = FakeTurn()
    client = allocated(server)
    send(client, server, CHECK, 0.0)
    server.methods()
    send(client, server, CHECK, 500.0)
    assert server.methods() == [Method.CREATE_PERMISSION]
    assert server.data == [(CHECK, PEER)] * 2


def test_when_too_much_is_asked_at_once_the_rest_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeTurn()
    client = allocated(server)
    send(client, server, CHECK, 0.0)
    monkeypatch.setattr("peer.rtc.ice.turnrequest.MAX_REQUESTS", 0)
    send(client, server, MEDIA, 1.0)
    send(client, server, CHECK, 1.0, ("192.0.2.2", 5000))
    assert server.data == [(CHECK, PEER), (MEDIA, PEER)]
    monkeypatch.undo()
    send(client, server, MEDIA, 2.0)
    send(client, server, CHECK, 2.0, ("192.0.2.2", 5000))
    assert server.data[2:] == [(MEDIA, PEER), (CHECK, ("192.0.2.2", 5000))]
    assert server.methods()[-2:] == [Method.CHANNEL_BIND, Method.CREATE_PERMISSION]


def test_answers_for_peers_that_were_dropped_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.rtc.ice.turnpeers.MAX_PEERS", 1)
    monkeypatch.setattr("peer.rtc.ice.turnpeers.MAX_HOSTS", 1)
    server = FakeTurn()
    client = allocated(server)
    other = ("192.0.2.2", 5000)
    send(client, server, CHECK, 0.0)
    client.send(MEDIA, PEER, 1.0)  # its channel is asked for, and dropped before the answer
    client.send(CHECK, other, 2.0)
    for message in client.take_outgoing()[::-1]:
        answer = server.receive(message)
        assert answer is not None
        client.receive(answer, 2.0)
    server.serve(client, 2.0)
    send(client, server, MEDIA, 3.0, other)
    send(client, server, MEDIA, 4.0, other)
    assert list(client._peers.bound) == [other]


def test_a_channel_outlives_the_permission_of_its_host() -> None:
    server = FakeTurn()
    client = allocated(server)
    for now in range(3):
        send(client, server, MEDIA, float(now))
    client._peers._hosts.clear()
    client.send(MEDIA, PEER, 240.0)
    client.poll(241.0)
    server.serve(client, 241.0)
    assert server.methods()[-1] == Method.CHANNEL_BIND
    assert PEER in client._peers.bound
