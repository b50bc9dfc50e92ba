"""One generation: its credentials, its limits, and what it does with what comes too early or too late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice import checks
from peer.rtc.ice.candidate import Candidate, IceParameters
from peer.rtc.ice.generation import MAX_ERRORS, MAX_LOCAL, Generation, Parts, deadlines, usable
from peer.rtc.ice.pairs import MAX_REMOTE
from peer.rtc.ice.servers import CandidateError, IceSettings
from peer.rtc.ice.stun import parse
from tests.rtc.ice.fakes import LoopbackGatherer
from tests.rtc.ice.simulation import FakeBase, candidate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.rtc.ice.datagrams import Datagram

REMOTE = IceParameters("theirs12", "their-password-of-22-characters")
THEIRS = ("192.0.2.2", 2000)


class Gatherer(LoopbackGatherer):
    """Binds nothing; the test says what is found."""

    async def start(self) -> None:
        pass

    def handle_stun(self, base: Any, data: bytes, address: Any) -> bool:
        return data.startswith(b"\x01\x01for the gatherer")


class Recorder(FakeBase):
    """A base that keeps what is sent over it."""

    def __init__(self, kept: Candidate) -> None:
        super().__init__(kept)
        self.sent: list[bytes] = []

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self.sent.append(data)


class Owner:
    def __init__(self) -> None:
        self.changes: list[tuple[str, bool]] = []
        self.gathering: list[str] = []
        self.candidates: list[Candidate | None] = []
        self.errors: list[CandidateError] = []
        self.data: list[bytes] = []

    def generation_changed(self, generation: Generation) -> None:
        self.changes.append((generation.state, generation.selected is not None))

    def generation_gathering(self, generation: Generation) -> None:
        self.gathering.append(generation.gathering)

    def generation_candidate(self, generation: Generation, found: Candidate | None) -> None:
        self.candidates.append(found)

    def generation_error(self, error: CandidateError) -> None:
        self.errors.append(error)

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def media_received(self, datagrams: list[Datagram]) -> None:
        self.data += [data for data, _, _ in datagrams]


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def generation(owner: Owner) -> AsyncIterator[Generation]:
    made = Generation(IceSettings(), owner, Parts(gatherer=Gatherer), "controlling")
    yield made
    await made.close()


def with_base(generation: Generation) -> Recorder:
    base = Recorder(candidate("host", ("192.0.2.1", 1000)))
    generation.base_added(base)
    generation.candidate_found(base.candidate, base)
    return base


def connect(generation: Generation, base: Recorder) -> None:
    """Answers its first check."""
    generation.start(REMOTE)
    generation.add_remote_candidate(candidate("host", THEIRS))
    answer = checks.success(parse(base.sent[0]), base.address, REMOTE.password.encode())
    generation.stun_received(base, answer, THEIRS)


def test_credentials_are_long_enough_to_tell_calls_apart_and_never_the_same(owner: Owner) -> None:
    made = [Generation(IceSettings(), owner, Parts(gatherer=Gatherer), "controlled").parameters for _ in range(50)]
    assert len({each.username_fragment for each in made}) == len({each.password for each in made}) == 50
    for each in made:
        each.validate()
        assert len(each.username_fragment) >= 8 and each.username_fragment.isalnum()


async def test_what_it_finds_is_told_and_kept(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    await generation.gather()
    base = with_base(generation)
    error = CandidateError("stun:x", 701, "no answer")
    generation.server_failed(error)
    generation.gathering_done()
    assert owner.gathering == ["gathering", "complete"]
    assert owner.candidates == [base.candidate, None] and owner.errors == [error]
    assert generation.candidates == [base.candidate] and generation.errors == [error]


async def test_a_gathering_that_cannot_start_can_be_started_again(owner: Owner) -> None:
    class Broken(Gatherer):
        async def start(self) -> None:
            raise OSError

    made = Generation(IceSettings(), owner, Parts(gatherer=Broken), "controlling")
    with pytest.raises(OSError):
        await made.gather()
    assert owner.gathering == ["gathering", "new"]
    await made.close()


async def test_an_answered_check_makes_it_connected(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    connect(generation, with_base(generation))
    assert owner.changes == [("checking", False), ("connected", True)]


@pytest.mark.virtual_time
async def test_one_that_only_listens_says_nothing_and_takes_data(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    base = with_base(generation)
    connect(generation, base)
    await asyncio.sleep(5)
    generation.listen()
    sent = len(base.sent)
    assert sent > 1, "checks for consent"
    generation.stun_received(base, base.sent[0], THEIRS)
    generation.media_received([(b"\x80late", THEIRS, 0.0)])
    await asyncio.sleep(60)
    assert len(base.sent) == sent and owner.data == [b"\x80late"]


async def test_what_is_for_the_gatherer_does_not_reach_the_agent(generation: Generation) -> None:
    await generation.gather()
    base = with_base(generation)
    generation.stun_received(base, b"\x01\x01for the gatherer", THEIRS)
    generation.stun_received(base, b"\x00garbage", THEIRS)
    assert base.sent == [] and generation.state == "new"


async def test_data_is_passed_on_and_counted(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    generation.media_received([(b"\x80before there is a pair", THEIRS, 0.0)])
    connect(generation, with_base(generation))
    generation.media_received([(b"\x80four", THEIRS, 0.0)])
    report = generation.agent.selected_report()
    assert owner.data == [b"\x80before there is a pair", b"\x80four"]
    assert report is not None and (report.packets_received, report.bytes_received) == (1, 5)


async def test_tables_have_limits(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    base = with_base(generation)
    for number in range(MAX_LOCAL + 10):
        generation.candidate_found(candidate("srflx", ("203.0.113.1", number + 1)), base)
    for number in range(MAX_ERRORS + 10):
        generation.server_failed(CandidateError(f"stun:{number}", 701, ""))
    for number in range(MAX_REMOTE + 10):
        generation.add_remote_candidate(candidate("host", ("192.0.2.2", number + 1)))
    assert len(generation.candidates) == MAX_LOCAL and len(generation.errors) == MAX_ERRORS
    assert len(owner.errors) == MAX_ERRORS + 10
    generation.start(REMOTE)
    assert len(generation.agent.pairs) == MAX_REMOTE


async def test_after_the_stop_nothing_happens_any_more(generation: Generation, owner: Owner) -> None:
    await generation.gather()
    base = with_base(generation)
    connect(generation, base)
    changes, sent = len(owner.changes), len(base.sent)
    generation.stop()
    generation.stun_received(base, b"\x00", THEIRS)
    generation.media_received([(b"\x80late", THEIRS, 0.0)])
    generation.base_lost(base)
    generation.base_added(base)
    generation.candidate_found(base.candidate, base)
    generation.server_failed(CandidateError("stun:x", 701, ""))
    generation.gathering_done()
    generation.add_remote_candidate(candidate("host", ("192.0.2.3", 1)))
    await generation.gather()
    assert (len(owner.changes), len(base.sent), owner.data, owner.errors) == (changes, sent, [], [])


@pytest.mark.virtual_time
async def test_its_timer_keeps_the_checks_going(generation: Generation) -> None:
    await generation.gather()
    base = with_base(generation)
    connect(generation, base)
    sent = len(base.sent)
    await asyncio.sleep(2.4)
    assert len(base.sent) > sent + 3
    assert generation.state == "completed" or generation.agent.selected is not None


def test_where_only_relays_are_allowed_no_better_path_is_waited_for() -> None:
    settings = IceSettings(connect_timeout=3, disconnected_after=2, lost_after=20)
    assert deadlines(settings).nomination_window > 0
    assert deadlines(IceSettings(policy="relay")).nomination_window == 0
    assert deadlines(settings, restarted=True).nomination_window == 0, "media waits"
    found = deadlines(settings)
    assert (found.connect_timeout, found.disconnected_after, found.lost_after) == (3, 2, 20)


def test_the_addresses_that_matter_are_those_of_its_sockets() -> None:
    assert usable(IceSettings(interfaces=("127.0.0.1",))) == {"127.0.0.1"}
