"""ICE and DTLS of one bundle: what is negotiated holds when offer and answer are complete, and not before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCCertificate

from peer.rtc import path as module
from peer.rtc.effects import RemoteTransport
from peer.rtc.ice.candidate import Candidate, IceParameters
from peer.rtc.ice.servers import CandidateError, IceSettings
from peer.rtc.path import MAX_CANDIDATES, MOVE_TIME, Path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Set

CERTIFICATE = RTCCertificate.generateCertificate()
FINGERPRINTS = (("sha-256", "AA:BB"),)
PASSWORD = "p" * 24


class Ice:
    """What `Path` does with its ICE, written down."""

    def __init__(self, settings: IceSettings, listener: Path) -> None:
        self.listener = listener
        self.role, self.state, self.gathering_state = "controlling", "new", "new"
        self.parameters = IceParameters("ours1234", PASSWORD)
        self.did: list[Any] = []
        self.candidates: list[Candidate] = []
        self.remote_candidates: list[Candidate] = []
        self.selected_pair: Any = None

    def restart(self) -> None:
        self.did.append("restart")
        self.parameters = IceParameters(f"again{len(self.did):03}", PASSWORD)

    def rollback(self) -> None:
        self.did.append("rollback")

    def start(self, remote: IceParameters) -> None:
        self.did.append(("start", remote.username_fragment, self.role))

    def add_remote_candidate(self, candidate: Candidate | None) -> None:
        self.did.append(candidate)

    def left(self, addresses: Set[tuple[str, int]]) -> None:
        self.did.append(("left", addresses))

    def send_all(self, packets: list[bytes]) -> None: ...

    async def gather(self) -> None:
        self.did.append("gather")

    async def close(self) -> None:
        self.state = "closed"


class Owner:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda path, *arguments: self.told.append((name.removeprefix("path_"), *arguments))


class Made:
    def __init__(self) -> None:
        self.owner = Owner()
        self.path = Path(IceSettings(), CERTIFICATE, self.owner)  # type: ignore[arg-type]
        self.ice: Any = self.path.ice

    def described(self, fragment: str = "theirs01", **options: bool) -> None:
        fields = {"lite": False, "restarted": False, "moved": False} | options
        self.path.described(RemoteTransport(fragment, PASSWORD, fingerprints=FINGERPRINTS, **fields))

    def shaken(self, state: str) -> None:
        """The handshake ends so."""
        vars(self.path.dtls)["_state"] = next(each for each in module_states() if each.name == state.upper())
        self.path.dtls.emit("statechange")


def module_states() -> Any:
    from aiortc.rtcdtlstransport import State

    return State


def candidate(port: int, fragment: str | None = None) -> Candidate:
    return Candidate("1", 1, "udp", 5, "192.0.2.9", port, "host", username_fragment=fragment)


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    monkeypatch.setattr(module, "IceTransport", Ice)
    one = Made()
    yield one
    await one.path.close()


async def test_what_our_descriptions_say(made: Made) -> None:
    local = made.path.local
    assert (local.username_fragment, local.password) == ("ours1234", PASSWORD)
    assert [name for name, _ in local.fingerprints] == ["sha-256"]


@pytest.mark.parametrize(
    ("controlling", "lite", "role"),
    [(True, False, "controlling"), (False, False, "controlled"), (False, True, "controlling")],
)
async def test_checks_begin_when_it_is_agreed(made: Made, *, controlling: bool, lite: bool, role: str) -> None:
    made.path.agree(controlling=controlling)
    assert made.ice.did == []
    made.described(lite=lite)
    made.path.agree(controlling=controlling)
    assert made.ice.did == [("start", "theirs01", role)]


async def test_the_role_is_determined_once(made: Made) -> None:
    """RFC 8445 section 6.1.1: an offer of the other side that comes while checks are under way does not change it."""
    made.described()
    made.path.agree(controlling=True)
    made.path.agree(controlling=False)
    made.path.restart()
    made.described("theirs02", restarted=True)
    made.path.agree(controlling=False)
    assert [each[2] for each in made.ice.did if each[0] == "start"] == ["controlling"] * 3


async def test_candidates_wait_for_the_agreement(made: Made) -> None:
    made.described()
    made.path.add_candidate(candidate(1), agreed=False)
    made.path.add_candidate(None, agreed=False)
    made.path.agree(controlling=True)
    made.path.add_candidate(candidate(2), agreed=True)
    assert made.ice.did[1:] == [candidate(1), None, candidate(2)]


async def test_candidates_before_the_first_description_wait_for_it(made: Made) -> None:
    for each in (candidate(1), candidate(2, "theirs01"), candidate(3, "another1")):
        made.path.add_candidate(each, agreed=False)
    made.described()
    made.path.agree(controlling=True)
    assert made.ice.did[1:] == [candidate(1), candidate(2, "theirs01")]


async def test_candidates_of_a_description_that_another_took_the_place_of_are_dropped(made: Made) -> None:
    made.described()
    for each in (candidate(1), candidate(2, "theirs02"), None):
        made.path.add_candidate(each, agreed=False)
    made.described("theirs02")
    made.path.agree(controlling=True)
    assert made.ice.did[1:] == [candidate(2, "theirs02")]


async def test_candidates_that_wait_are_bounded(made: Made) -> None:
    made.described()
    for number in range(MAX_CANDIDATES + 10):
        made.path.add_candidate(candidate(number), agreed=False)
    made.path.agree(controlling=True)
    assert made.ice.did[1:] == [candidate(number) for number in range(MAX_CANDIDATES)]


async def test_a_restart_in_which_both_take_part(made: Made) -> None:
    made.described()
    made.path.agree(controlling=True)
    made.path.restart()
    made.path.restart()
    assert made.path.local.username_fragment == "again002"
    made.described("theirs02", restarted=True)
    made.path.agree(controlling=True)
    assert made.ice.did[1:] == ["restart", ("start", "theirs02", "controlling")]
    assert (made.path.restarting, made.path.restarts) == (False, 1)


async def test_a_restart_may_be_begun_anew(made: Made) -> None:
    made.path.restart()
    made.path.restart(again=True)
    assert made.ice.did == ["restart", "restart"]


async def test_a_restart_in_which_the_other_side_does_not_take_part(made: Made) -> None:
    made.described()
    made.path.agree(controlling=True)
    made.path.restart()
    made.described()
    made.path.agree(controlling=True)
    assert made.ice.did[1:] == ["restart", "rollback", ("start", "theirs01", "controlling")]
    assert (made.path.restarting, made.path.restarts) == (False, 1)


async def test_a_restart_that_is_given_up(made: Made) -> None:
    made.path.drop_restart()
    made.path.restart()
    made.path.drop_restart()
    made.path.drop_restart()
    assert made.ice.did == ["restart", "rollback"] and not made.path.restarting


@pytest.mark.parametrize(
    ("ice", "dtls", "state"),
    [
        ("new", "new", "new"),
        ("checking", "new", "connecting"),
        ("connected", "connecting", "connecting"),
        ("completed", "connected", "connected"),
        ("checking", "connected", "connecting"),
        ("disconnected", "connected", "disconnected"),
        ("failed", "connected", "failed"),
        ("connected", "failed", "failed"),
        ("connected", "closed", "closed"),
        ("closed", "connected", "closed"),
    ],
)
async def test_the_state_of_both(made: Made, ice: str, dtls: str, state: str) -> None:
    made.ice.state = ice
    made.shaken(dtls)
    assert made.path.state == state
    made.shaken("new")


async def test_the_handshake_begins_once_all_is_known(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []

    async def handshake(*arguments: Any) -> None:
        begun.append(arguments)

    monkeypatch.setattr(made.path.dtls, "handshake", handshake)
    for step in (
        lambda: made.path.role_agreed("client"),
        made.described,
        lambda: setattr(made.ice, "state", "connected"),
    ):
        assert begun == []
        step()
        made.path.ice_state_changed()
        await asyncio.sleep(0)
    made.path.ice_state_changed()
    await asyncio.sleep(0)
    assert begun == [(FINGERPRINTS, "client")]


async def test_a_handshake_that_breaks_is_logged(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def handshake(*_: Any) -> None:
        raise RuntimeError("openssl")

    monkeypatch.setattr(made.path.dtls, "handshake", handshake)
    made.described()
    made.ice.state = "connected"
    made.path.role_agreed("client")
    for _ in range(3):
        await asyncio.sleep(0)
    assert "openssl" in caplog.text


async def test_what_ice_and_dtls_tell_is_passed_on(made: Made) -> None:
    error = CandidateError("stun:x", 701, "no answer")
    made.path.ice_candidate(candidate(1))
    made.path.ice_candidate(None)
    made.path.ice_candidate_error(error)
    made.path.ice_gathering_changed()
    made.path.ice_state_changed()
    made.path.ice_addresses_changed()
    made.path.ice_pair_changed()
    made.shaken("connected")
    assert made.owner.told == [
        *(("candidate", candidate(1)), ("candidate", None), ("candidate_error", error), ("gathering",)),
        *(("changed",), ("moved_address",), ("open",), ("changed",)),
    ]
    made.shaken("new")


async def test_data_goes_straight_to_dtls(made: Made) -> None:
    made.path.ice_data(b"\x16abc")
    assert made.path.dtls.packets_received == 1


async def test_waiting_for_candidates(made: Made) -> None:
    waiting = asyncio.create_task(made.path.gathered(60))
    await asyncio.sleep(0)
    made.path.ice_gathering_changed()
    await asyncio.sleep(0)
    assert not waiting.done()
    made.ice.gathering_state = "complete"
    made.path.ice_gathering_changed()
    await asyncio.wait_for(waiting, 10)
    await made.path.gathered(0)


@pytest.mark.virtual_time
async def test_waiting_for_candidates_has_a_deadline(made: Made) -> None:
    await made.path.gathered(60)


async def test_the_end_ends_the_waiting_for_candidates(made: Made) -> None:
    waiting = asyncio.create_task(made.path.gathered(60))
    await asyncio.sleep(0)
    await made.path.close()
    await asyncio.wait_for(waiting, 10)


@pytest.mark.virtual_time
async def test_a_handshake_that_hangs_does_not_hold_the_end_up(made: Made) -> None:
    made.described()
    made.ice.state = "connected"
    made.path.role_agreed("client")
    await asyncio.sleep(0)
    assert made.path.dtls.state == "connecting"
    await made.path.close()
    await made.path.close()


# The bundle moves


async def moving(made: Made, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A path that is open, whose m-line goes; what is returned is told of associations that are begun."""
    begun: list[Any] = []

    async def work(*arguments: Any) -> None:
        begun.append(arguments)

    monkeypatch.setattr(made.path.dtls, "handshake", work)
    monkeypatch.setattr(made.path.dtls, "renew", work)
    made.described()
    made.ice.state = "connected"
    made.path.agree(controlling=True)
    made.path.role_agreed("client")
    await asyncio.sleep(0)
    made.ice.remote_candidates = [candidate(1)]
    begun.clear()
    made.path.bundle_moves()
    made.described(moved=True)
    return begun


class Pair:
    round_trip_time = 0.05

    def __init__(self, port: int) -> None:
        self.remote = candidate(port)


async def test_the_round_trip_time_is_that_of_the_pair_in_use(made: Made) -> None:
    assert made.path.round_trip_time is None
    made.ice.selected_pair = Pair(1)
    assert made.path.round_trip_time == 0.05


async def test_a_pair_at_another_address_is_another_association(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = await moving(made, monkeypatch)
    made.path.agree(controlling=False)
    for port in (1, 2, 2):
        made.ice.selected_pair = Pair(port)
        made.path.ice_pair_changed()
        await asyncio.sleep(0)
        assert len(begun) == (port == 2)
    assert begun == [(FINGERPRINTS, "client")]


@pytest.mark.virtual_time
async def test_after_the_end_of_the_association_another_is_begun(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = await moving(made, monkeypatch)
    made.path.agree(controlling=False)
    assert made.path.dtls.on_end() and made.path.dtls.on_end()
    assert begun == [] and made.ice.did.count(("left", {("192.0.2.9", 1)})) == 1
    await asyncio.sleep(module.GOODBYE_GRACE + 0.1)
    assert begun == [(FINGERPRINTS, "client")]
    assert not made.path.dtls.on_end(), "once"


@pytest.mark.virtual_time
async def test_later_an_end_is_an_end(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = await moving(made, monkeypatch)
    made.path.agree(controlling=False)
    await asyncio.sleep(MOVE_TIME + 0.1)
    assert not made.path.dtls.on_end() and begun == []


async def test_a_move_that_is_given_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    await moving(made, monkeypatch)
    made.path.bundle_stays()
    assert not made.path.dtls.on_end()


async def test_an_end_in_a_call_that_does_not_move_is_one(made: Made) -> None:
    assert not made.path.dtls.on_end()
