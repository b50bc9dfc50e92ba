"""The transport on real sockets: against another one and against aioice, through restarts, outages and the close."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aioice
import pytest

from peer.rtc.ice import interfaces
from peer.rtc.ice.bases import bind_udp
from peer.rtc.ice.candidate import Candidate, IceParameters
from peer.rtc.ice.gather import Gatherer
from peer.rtc.ice.generation import MAX_NAMES
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.netwatch import AddressWatch
from peer.rtc.ice.pairs import MAX_PAIRS, MAX_REMOTE
from peer.rtc.ice.servers import IceSettings
from peer.rtc.ice.transport import UP
from signaling.messages import IceServer
from tests.rtc.ice.fakes import (
    EmptyGatherer,
    LoopbackGatherer,
    Peer,
    SilentGatherer,
    close,
    connect,
    introduce,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STRANGER = IceParameters("stranger", "strangerspassword-of-22")


class Cable:
    """What lies between two transports; while it is pulled out, whatever they send is lost."""

    def __init__(self) -> None:
        self.out = False

    def gatherer(self, *args: Any) -> LoopbackGatherer:
        cable = self

        class Gatherer(LoopbackGatherer):
            async def start(self) -> None:
                await super().start()
                assert self.base is not None
                send = self.base.send
                self.base.send = lambda data, address: None if cable.out else send(data, address)  # type: ignore[method-assign]

        return Gatherer(*args)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Peer, Peer]]:
    one, other = Peer(), Peer(role="controlled")
    yield one, other
    await close(one, other)


@pytest.fixture
async def connected(pair: tuple[Peer, Peer]) -> tuple[Peer, Peer]:
    await connect(*pair)
    await asyncio.gather(*(peer.reaches("completed") for peer in pair))
    return pair


async def test_two_transports_connect_and_carry_data(connected: tuple[Peer, Peer]) -> None:
    one, other = connected
    assert one.states == other.states == ["checking", "connected", "completed"]
    assert one.gathering == ["gathering", "complete"] and one.local[-1] is None
    one.transport.send_all([b"\x80there"])
    other.transport.send_all([b"\x80back"])
    await other.until(lambda: other.data == [b"\x80there"])
    await one.until(lambda: one.data == [b"\x80back"])
    used = one.transport.selected_pair
    assert used is not None and used.selected and used.nominated and used.state == "succeeded"
    assert (used.packets_sent, used.bytes_sent, used.packets_received, used.bytes_received) == (1, 6, 1, 5)
    assert used.round_trip_time is not None and "direct UDP" in used.reason
    assert used.local.port == one.transport.candidates[0].port
    assert used.remote.port == other.transport.candidates[0].port
    assert one.transport.pairs() == [used] and one.transport.remote_candidates == [used.remote]


async def test_trickled_candidates_start_the_checks(pair: tuple[Peer, Peer]) -> None:
    one, other = pair
    one.trickle_to, other.trickle_to = other, one
    one.transport.start(other.transport.parameters)
    other.transport.start(one.transport.parameters)
    await one.transport.gather()  # the other side has only this candidate to reply to
    await other.transport.gather()
    await asyncio.gather(one.up(), other.up())


async def test_candidates_may_come_before_the_description(pair: tuple[Peer, Peer]) -> None:
    one, other = pair
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    for candidate in one.transport.candidates:
        other.transport.add_remote_candidate(candidate)
    other.transport.start(one.transport.parameters)
    one.transport.start(other.transport.parameters)
    await asyncio.gather(one.up(), other.up())


async def test_candidates_of_another_generation_are_ignored(pair: tuple[Peer, Peer]) -> None:
    one, other = pair
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    old = Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host", username_fragment="older")
    other.transport.add_remote_candidate(old)
    other.transport.start(one.transport.parameters)
    other.transport.add_remote_candidate(old)
    assert other.transport.pairs() == []


@pytest.mark.parametrize("role", ["controlling", "controlled"])
async def test_equal_roles_repair_themselves(role: str) -> None:
    one, other = Peer(role=role), Peer(role=role)
    await connect(one, other)
    await asyncio.gather(one.reaches("completed"), other.reaches("completed"))
    assert {one.transport.role, other.transport.role} == {"controlling", "controlled"}
    await close(one, other)


@pytest.fixture
def loopback_for_aioice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def for_aioice(candidate: Candidate) -> aioice.Candidate:
    return aioice.Candidate.from_sdp(candidate.to_sdp().removeprefix("candidate:"))


@pytest.mark.usefixtures("loopback_for_aioice")
@pytest.mark.parametrize("role", ["controlling", "controlled"])
@pytest.mark.parametrize("trickled", [False, True], ids=["plain", "trickled"])
async def test_stock_aioice_connects_and_carries_data(role: str, *, trickled: bool) -> None:
    ours, theirs = Peer(role=role), aioice.Connection(ice_controlling=role == "controlled")
    await asyncio.gather(ours.transport.gather(), theirs.gather_candidates())
    parameters = ours.transport.parameters
    theirs.remote_username, theirs.remote_password = parameters.username_fragment, parameters.password

    async def tell_them() -> None:
        for candidate in ours.transport.candidates:
            await theirs.add_remote_candidate(for_aioice(candidate))
        await theirs.add_remote_candidate(None)

    def tell_us() -> None:
        for candidate in theirs.local_candidates:
            ours.transport.add_remote_candidate(Candidate.parse(candidate.to_sdp()))
        ours.transport.add_remote_candidate(None)

    ours.transport.start(IceParameters(theirs.local_username, theirs.local_password))
    if not trickled:
        tell_us()
        await tell_them()
    connecting = asyncio.create_task(theirs.connect())
    if trickled:
        await asyncio.sleep(0.05)  # both are at it, without a candidate
        tell_us()
        await tell_them()
    await asyncio.gather(connecting, ours.reaches("completed"))
    ours.transport.send_all([b"\x80there"])
    assert await theirs.recv() == b"\x80there"
    await theirs.send(b"\x80back")
    await ours.until(lambda: ours.data == [b"\x80back"])
    await theirs.close()
    await close(ours)


# Restarts


async def stream(sender: Peer, stop: asyncio.Event) -> int:
    """Numbered packets without a pause until it is stopped; how many."""
    count = 0
    while not stop.is_set():
        sender.transport.send_all([b"\x80" + count.to_bytes(4, "big")])
        count += 1
        await asyncio.sleep(0)
    return count


def numbers(peer: Peer) -> list[int]:
    return [int.from_bytes(data[1:], "big") for data in peer.data]


@pytest.mark.parametrize("first", [0, 1], ids=["by the controlling", "by the controlled"])
async def test_a_restart_loses_nothing_and_moves_to_new_sockets(connected: tuple[Peer, Peer], first: int) -> None:
    offerer, answerer = connected[first], connected[1 - first]
    ports = {peer.transport.candidates[0].port for peer in connected}
    stop = asyncio.Event()
    sending = [asyncio.create_task(stream(peer, stop)) for peer in connected]
    offerer.transport.restart()
    assert offerer.transport.restarting and offerer.transport.gathering_state == "new"
    assert offerer.transport.candidates == []
    await offerer.transport.gather()
    await asyncio.sleep(0.05)  # the offer is on its way; the old generation carries on
    answerer.transport.restart()
    await answerer.transport.gather()
    introduce(answerer, offerer)
    await asyncio.gather(*(peer.until(lambda peer=peer: peer.pairs_changed == 2) for peer in connected))
    assert not offerer.transport.restarting
    await asyncio.sleep(0.05)
    stop.set()
    sent = await asyncio.gather(*sending)
    one, other = connected
    await other.until(lambda: len(other.data) == sent[0])
    await one.until(lambda: len(one.data) == sent[1])
    assert sorted(numbers(one)) == list(range(sent[1])) and sorted(numbers(other)) == list(range(sent[0]))
    assert ports.isdisjoint({peer.transport.candidates[0].port for peer in connected})
    assert all(set(peer.states[3:]) <= set(UP) for peer in connected)


@pytest.mark.virtual_time
async def test_the_old_generation_ends_about_a_second_after_the_new_one_took_over() -> None:
    one, other = Peer(), Peer(role="controlled")
    await connect(one, other)
    old = one.transport.candidates[0].port
    one.transport.restart()
    other.transport.restart()
    await connect(one, other)
    await one.until(lambda: one.pairs_changed == 2)
    assert not is_free(old)
    await asyncio.sleep(1.5)
    assert is_free(old)
    await close(one, other)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.virtual_time
async def test_the_old_generation_goes_on_while_the_other_side_still_sends_over_it() -> None:
    one, other = Peer(), Peer(role="controlled")
    await connect(one, other)
    port = one.transport.candidates[0].port
    for peer in (one, other):
        peer.transport.restart()
    await connect(one, other)
    await asyncio.gather(*(peer.until(lambda peer=peer: peer.pairs_changed == 2) for peer in (one, other)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow:
        for number in range(10):  # every half a second
            slow.sendto(b"\x80late", ("127.0.0.1", port))
            await one.until(lambda number=number: one.data.count(b"\x80late") == number + 1)
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.5)
        before = len(one.data)
        slow.sendto(b"\x80too late", ("127.0.0.1", port))
        await asyncio.sleep(0.5)
        assert len(one.data) == before
    await close(one, other)


async def test_both_may_restart_at_once_where_one_gives_way(connected: tuple[Peer, Peer]) -> None:
    impolite, polite = connected
    for peer in connected:
        peer.transport.restart()
        await peer.transport.gather()
    polite.transport.rollback()
    polite.transport.restart()
    await polite.transport.gather()
    introduce(impolite, polite)
    await asyncio.gather(*(peer.until(lambda peer=peer: peer.pairs_changed == 2) for peer in connected))
    polite.transport.send_all([b"\x80here"])
    await impolite.until(lambda: impolite.data == [b"\x80here"])


async def test_one_restart_after_another_leads_to_the_last(connected: tuple[Peer, Peer]) -> None:
    one, other = connected
    seen = set()
    for _ in range(5):
        one.transport.restart()
        await one.transport.gather()
        seen.add(one.transport.parameters.username_fragment)
    assert len(seen) == 5
    other.transport.restart()
    await connect(one, other)
    await asyncio.gather(*(peer.until(lambda peer=peer: peer.pairs_changed == 2) for peer in connected))


async def test_a_rollback_leaves_everything_as_it_was(connected: tuple[Peer, Peer]) -> None:
    one, other = connected
    before = (one.transport.parameters, one.transport.candidates, one.transport.gathering_state, one.transport.state)
    one.transport.restart()
    await one.transport.gather()
    one.transport.rollback()
    after = (one.transport.parameters, one.transport.candidates, one.transport.gathering_state, one.transport.state)
    assert after == before and not one.transport.restarting
    one.transport.rollback()
    one.transport.send_all([b"\x80still"])
    await other.until(lambda: other.data == [b"\x80still"])


async def test_the_same_credentials_once_more_change_nothing(connected: tuple[Peer, Peer]) -> None:
    one, other = connected
    one.transport.start(other.transport.parameters)
    one.transport.start(STRANGER)  # without a restart: a mistake, and no reason to lose the path
    assert one.transport.state == "completed" and one.transport.remote_parameters == other.transport.parameters


async def test_candidates_for_the_old_generation_still_reach_it(connected: tuple[Peer, Peer]) -> None:
    one, other = connected
    one.transport.restart()
    fragment = other.transport.parameters.username_fragment
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host", username_fragment=fragment))
    assert len(one.transport.pairs()) == 2


async def test_credentials_that_cannot_be_are_refused(pair: tuple[Peer, Peer]) -> None:
    with pytest.raises(ValueError, match="ice-pwd"):
        pair[0].transport.start(IceParameters("abcd", "short"))
    assert pair[0].transport.state == "new"


# Outages


@pytest.mark.virtual_time
@pytest.mark.parametrize("outage", [4, 12, 25])
async def test_silence_is_noticed_and_so_is_the_return(outage: int) -> None:
    cable = Cable()
    one, other = Peer(gatherer=cable.gatherer), Peer(role="controlled", gatherer=cable.gatherer)
    await connect(one, other)
    await asyncio.gather(one.reaches("completed"), other.reaches("completed"))
    loop = asyncio.get_running_loop()
    cable.out = True
    began = loop.time()
    await asyncio.gather(one.reaches("disconnected"), other.reaches("disconnected"))
    assert loop.time() - began <= 3.0
    assert one.transport.silence(loop.time()) >= 2.5 and one.transport.last_heard is not None
    assert "has not been heard of" in one.transport.explain()
    await asyncio.sleep(outage - 3)
    cable.out = False
    began = loop.time()
    await asyncio.gather(one.up(), other.up())
    assert loop.time() - began <= 0.5
    one.transport.send_all([b"\x80again"])
    await other.until(lambda: other.data == [b"\x80again"])
    await close(one, other)


@pytest.mark.virtual_time
async def test_a_lost_consent_fails_sends_nothing_more_and_a_restart_repairs_it() -> None:
    cable = Cable()
    one, other = Peer(gatherer=cable.gatherer), Peer(role="controlled", gatherer=cable.gatherer)
    await connect(one, other)
    cable.out = True
    await asyncio.gather(one.reaches("failed"), other.reaches("failed"))
    sent = one.transport.selected_pair
    one.transport.send_all([b"\x80nobody agreed to this"])
    after = one.transport.selected_pair
    assert sent is not None and after is not None and sent.packets_sent == after.packets_sent
    one.transport.restart()
    other.transport.restart()
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    introduce(one, other)
    assert one.transport.state == "checking"
    await asyncio.sleep(10)
    cable.out = False
    await asyncio.gather(one.up(), other.up())
    await close(one, other)


@pytest.mark.virtual_time
async def test_a_lost_path_is_explained_although_a_restart_is_not_answered() -> None:
    cable = Cable()
    one, other = Peer(gatherer=cable.gatherer), Peer(role="controlled", gatherer=cable.gatherer)
    await connect(one, other)
    cable.out = True
    await one.reaches("disconnected")
    one.transport.restart()
    await one.transport.gather()
    await one.reaches("failed")
    assert one.transport.explain().startswith("the other side has not been heard of for 30 s over host 127.0.0.1")
    await close(one, other)


@pytest.mark.virtual_time
async def test_media_counts_as_a_sign_of_life() -> None:
    cable = Cable()
    one, other = Peer(gatherer=cable.gatherer), Peer(role="controlled", gatherer=cable.gatherer)
    await connect(one, other)
    await one.reaches("completed")
    cable.out = True
    loop = asyncio.get_running_loop()
    for _ in range(50):
        await asyncio.sleep(0.1)
        one.transport.heard(loop.time())
    assert one.transport.state == "completed"
    await one.reaches("disconnected")
    one.transport.heard(loop.time())
    assert one.transport.state == "completed"
    await close(one, other)


# When there is no path


@pytest.mark.virtual_time
async def test_it_fails_at_the_deadline_with_a_sentence_and_not_before() -> None:
    one = Peer(IceSettings(connect_timeout=4.0))
    await one.transport.gather()
    one.transport.start(STRANGER)
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host"))
    one.transport.add_remote_candidate(None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await one.reaches("failed")
    assert loop.time() - began == pytest.approx(4.0, abs=0.1)
    sentence = one.transport.explain()
    assert "no path worked within 4 s" in sentence and "127.0.0.1:9" in sentence and "add a TURN server" in sentence
    await close(one)


async def test_relays_only_without_a_turn_server_fails_at_once() -> None:
    one = Peer(IceSettings(policy="relay"), gatherer=SilentGatherer)
    await one.transport.gather()
    one.transport.start(STRANGER)
    assert one.transport.state == "failed"
    assert "no TURN server" in one.transport.explain()
    await close(one)


async def test_nothing_to_be_reached_at_fails_when_gathering_ends() -> None:
    one = Peer(IceSettings(servers=(IceServer(["turn:192.0.2.1"], "u", "p"),), policy="relay"), gatherer=EmptyGatherer)
    one.transport.start(STRANGER)
    assert one.transport.state == "checking"
    await one.transport.gather()
    assert one.transport.state == "failed"
    await close(one)


async def test_before_there_is_a_path_data_is_dropped(pair: tuple[Peer, Peer]) -> None:
    one, _ = pair
    one.transport.send_all([b"\x80nowhere"])
    one.transport.heard(1.0)
    loop = asyncio.get_running_loop()
    assert one.transport.selected_pair is None and one.transport.silence(loop.time()) == 0.0
    assert one.transport.last_heard is None
    assert "has not answered with its description" in one.transport.explain()


# Names


async def test_a_local_name_is_resolved_in_the_background() -> None:
    asked: list[str] = []
    ready = asyncio.Event()

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        await ready.wait()
        return ["127.0.0.1"]

    one, other = Peer(resolve=resolve), Peer(role="controlled")
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    one.transport.start(other.transport.parameters)
    [known] = other.transport.candidates
    hidden = Candidate("1", 1, "udp", known.priority, "0a1b.local", known.port, "host")
    for _ in range(3):
        one.transport.add_remote_candidate(hidden)
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "tracker.example.org", 9, "host"))
    await asyncio.sleep(0)
    assert asked == ["0a1b.local"] and one.transport.pairs() == []
    ready.set()
    other.transport.start(one.transport.parameters)
    await asyncio.gather(one.up(), other.up())
    await close(one, other)


async def test_few_names_are_looked_up() -> None:
    asked: list[str] = []

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        return []

    one = Peer(resolve=resolve)
    await one.transport.gather()
    one.transport.start(STRANGER)
    for number in range(MAX_REMOTE):
        one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, f"{number}.local", 9, "host"))
    await asyncio.sleep(0)
    assert asked == [f"{number}.local" for number in range(MAX_NAMES)]
    await close(one)


@pytest.mark.virtual_time
async def test_a_name_that_nobody_answers_to_is_named_in_the_explanation() -> None:
    one = Peer(IceSettings(connect_timeout=1.0))
    await one.transport.gather()
    one.transport.start(STRANGER)
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "0a1b.local", 9, "host"))
    await one.reaches("failed")
    assert "0a1b.local" in one.transport.explain()
    await close(one)


async def test_a_lookup_ends_with_the_transport() -> None:
    async def resolve(name: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    one = Peer(resolve=resolve)
    await one.transport.gather()
    one.transport.start(STRANGER)
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "0a1b.local", 9, "host"))
    await close(one)  # the guard around every test looks for the task


# Addresses


async def test_an_address_in_use_that_goes_away_calls_for_a_restart(connected: tuple[Peer, Peer]) -> None:
    one, _ = connected
    one.addresses_become("127.0.0.1", "192.0.2.7")
    assert one.address_changes == 0  # one more does no harm
    one.addresses_become("192.0.2.7")
    assert one.address_changes == 1
    one.addresses_become("192.0.2.7")
    assert one.address_changes == 1
    one.addresses_become()
    one.addresses_become("192.0.2.8")  # what a restart in between has found is of no use
    assert one.address_changes == 3


@pytest.mark.virtual_time
async def test_any_change_calls_for_a_restart_while_there_is_no_path() -> None:
    cable = Cable()
    one, other = Peer(gatherer=cable.gatherer), Peer(role="controlled", gatherer=cable.gatherer)
    one.addresses_become("127.0.0.1")
    await connect(one, other)
    cable.out = True
    await one.reaches("disconnected")
    one.addresses_become("127.0.0.1", "192.0.2.7")
    assert one.address_changes == 1
    await close(one, other)
    one.addresses_become()
    assert one.address_changes == 1 and all(watch.closed for watch in one.watches)


async def test_an_address_that_goes_away_before_the_answer_calls_for_a_restart() -> None:
    one = Peer(gatherer=SilentGatherer)
    one.addresses = frozenset({"192.0.2.7", "127.0.0.1"})
    await one.transport.gather()
    one.addresses_become("127.0.0.1")
    assert one.address_changes == 1
    one.addresses_become("127.0.0.1", "192.0.2.8")
    assert one.address_changes == 2, "it had no candidate"
    await close(one)
    other = Peer()
    await other.transport.gather()
    other.addresses_become("127.0.0.1", "192.0.2.8")
    assert other.address_changes == 0
    other.addresses_become("192.0.2.8")
    assert other.address_changes == 1
    await close(other)


@pytest.mark.virtual_time
async def test_a_socket_that_dies_is_noticed_soon() -> None:
    cable = Cable()
    gatherers: list[LoopbackGatherer] = []

    def make(*args: Any) -> LoopbackGatherer:
        gatherers.append(cable.gatherer(*args))
        return gatherers[-1]

    one, other = Peer(gatherer=make), Peer(role="controlled")
    await connect(one, other)
    base = gatherers[0].base
    assert base is not None
    one_generation = base._listener
    one_generation.base_lost(base)
    assert one.transport.selected_pair is None
    one.transport.send_all([b"\x80nowhere"])
    await one.reaches("disconnected")
    await close(one, other)


# Hostile


async def test_a_flood_of_candidates_and_datagrams_changes_nothing(pair: tuple[Peer, Peer]) -> None:
    one, other = pair
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    for peer, remote in ((one, other), (other, one)):
        for number in range(1000):
            flood = Candidate("1", 1, "udp", 1, f"127.1.{number % 250}.{number // 250}", 9, "host")
            if number == MAX_REMOTE // 2:
                peer.transport.add_remote_candidate(remote.transport.candidates[0])
            peer.transport.add_remote_candidate(flood)
            peer.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, f"{number}.local", 9, "host"))
    port = one.transport.candidates[0].port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.setblocking(False)
        for number in range(200):
            attacker.sendto(bytes([number % 4, number]) * (number + 1), ("127.0.0.1", port))
    introduce(one, other)
    await asyncio.gather(one.reaches("completed"), other.reaches("completed"))
    assert len(one.transport.pairs()) <= MAX_PAIRS
    assert one.data == []


# Closing


async def test_closing_is_idempotent_and_final(connected: tuple[Peer, Peer]) -> None:
    one, _ = connected
    one.transport.restart()
    await one.transport.gather()
    states = list(one.states)
    await asyncio.gather(one.transport.close(), one.transport.close())
    await one.transport.close()
    assert one.transport.state == "closed" and one.states == states
    one.transport.send_all([b"\x80nobody"])
    one.transport.restart()
    one.transport.rollback()
    one.transport.start(STRANGER)
    one.transport.add_remote_candidate(Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host"))
    one.transport.heard(1.0)
    await one.transport.gather()
    assert one.transport.state == "closed" and not one.transport.restarting


@pytest.mark.parametrize("step", ["nothing", "gathering", "checking", "restarted and retired"])
async def test_it_can_be_closed_at_any_time(step: str) -> None:
    one, other = Peer(), Peer(role="controlled")
    if step == "gathering":
        gathering = asyncio.create_task(one.transport.gather())
        await asyncio.sleep(0)
        await close(one)
        await gathering
    elif step == "checking":
        await one.transport.gather()
        one.transport.start(STRANGER)
    elif step != "nothing":
        await connect(one, other)
        for peer in (one, other):
            peer.transport.restart()
        await connect(one, other)
        await one.until(lambda: one.pairs_changed == 2)
    await close(one, other)


@pytest.mark.virtual_time
async def test_a_gatherer_that_cannot_end_does_not_hold_up_what_is_told_to_close() -> None:
    ended = []

    class Slow(LoopbackGatherer):
        async def close(self) -> None:
            await super().close()
            await asyncio.sleep(0.9)
            ended.append(True)

    one = Peer(gatherer=Slow)
    await one.transport.gather()
    one.transport.restart()
    await one.transport.gather()
    await close(one)
    assert len(ended) == 2


# With the real gatherer


async def real() -> tuple[Peer, Peer]:
    options: dict[str, Callable[..., Any]] = {"gatherer": Gatherer, "watch": AddressWatch}
    return Peer(**options), Peer(role="controlled", **options)


async def test_real_sockets_connect_and_restart() -> None:
    one, other = await real()
    await connect(one, other)
    for peer in (one, other):
        peer.transport.restart()
    await connect(one, other)
    await asyncio.gather(*(peer.until(lambda peer=peer: peer.pairs_changed >= 2) for peer in (one, other)))
    other.transport.send_all([b"\x80here"])
    await one.until(lambda: one.data == [b"\x80here"])
    await close(one, other)


@pytest.fixture
def two_hosts(monkeypatch: pytest.MonkeyPatch) -> tuple[IceSettings, IceSettings]:
    """Two hosts, which are the loopback interface in truth; each has one UDP port for all of its calls."""
    hosts = [LocalAddress("eth0", 2, "127.0.0.1"), LocalAddress("eth0", 3, "127.0.0.2")]
    monkeypatch.setattr(interfaces, "all_addresses", lambda: hosts)
    settings = []
    for host in hosts:
        with bind_udp(host.address) as sock:
            settings.append(IceSettings(udp_port=sock.getsockname()[1], interfaces=(f"{host.address}/32",)))
    return settings[0], settings[1]


@pytest.mark.parametrize("at_once", [True, False])
async def test_several_calls_between_two_shared_ports(
    two_hosts: tuple[IceSettings, IceSettings], *, at_once: bool
) -> None:
    calls = [
        (Peer(two_hosts[0], gatherer=Gatherer), Peer(two_hosts[1], role="controlled", gatherer=Gatherer))
        for _ in range(4)
    ]
    if at_once:
        await asyncio.gather(*(connect(*call) for call in calls))
    else:
        for call in calls:
            await connect(*call)
    for call in calls[:2]:  # the second with a socket beside the port
        for peer in call:
            peer.transport.restart()
        await connect(*call)
    for number, call in enumerate(calls):
        for sender, receiver in (call, call[::-1]):
            for first in (20, 128):  # DTLS and media
                sender.transport.send_all([bytes([first, number])])
            await receiver.until(lambda receiver=receiver: len(receiver.data) >= 2)
    for number, call in enumerate(calls):
        for peer in call:
            assert peer.data == [bytes([20, number]), bytes([128, number])]
    ports = {pair.local.port for call in calls for pair in [call[0].transport.selected_pair] if pair is not None}
    assert len(ports) >= 3
    await close(*(peer for call in calls for peer in call))
