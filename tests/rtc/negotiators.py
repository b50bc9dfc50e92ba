"""Two sides of perfect negotiation over `peer.rtc.jsep`, without a network: what the tests let happen to them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from peer.rtc import effects, sdp
from peer.rtc.codecs import CAPABILITIES
from peer.rtc.effects import LocalTransport, Transceiver
from peer.rtc.jsep import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TRANSCEIVERS = 6
ROUNDS = 50


class Side:
    """One side: a session, what its application does, and what it tells the other side (`outbox`, in order)."""

    def __init__(self, name: str, *, polite: bool) -> None:
        self.name = name
        self.polite = polite
        self.session = Session(1)
        self.outbox: deque[tuple[str, str]] = deque()
        self.made: list[Transceiver] = []
        """What the application may still use."""
        self.fragment, self.pending = f"{name}0", ""
        self._generation = 0
        self._restarted = False
        self._serial = 0
        self._life: dict[Transceiver, str] = {}
        self.data_agreed = False
        self.role = ""
        self._meanings: dict[object, object] = {}
        self._places: list[tuple[str, bool]] = []

    # What an application does

    def add(self, kind: str, direction: str, *, adoptable: bool = True) -> None:
        if len(self.made) < MAX_TRANSCEIVERS:
            self._serial += 1
            track = f"{self.name}{self._serial}"
            each = Transceiver(kind, direction, adoptable, streams=("s",), track_id=track, cname="c", ssrc=self._serial)
            self.made.append(self.session.add(each))

    def open_channel(self) -> None:
        self.session.data.wanted, self.session.data.rejected = True, False

    def stop(self, index: int) -> None:
        if self.made:
            each = self.made.pop(index % len(self.made))
            each.stopping = True
            each.stopped = each.mid is None

    def turn(self, index: int, direction: str) -> None:
        if self.made:
            self.made[index % len(self.made)].direction = direction

    def replace_track(self, index: int) -> None:
        if self.made:
            self._serial += 1
            each = self.made[index % len(self.made)]
            each.track_id, each.ssrc, each.streams = f"{self.name}{self._serial}", self._serial, (f"s{self._serial}",)

    def prefer(self, index: int, codec: int) -> None:
        if self.made:
            each = self.made[index % len(self.made)]
            mains = [known for known in CAPABILITIES[each.kind] if not known.is_rtx]
            each.preferences = (mains[codec % len(mains)], mains[0])

    def restart(self) -> None:
        if self.session.current_local is not None:
            self.session.restart_wanted = True

    # What a connection does

    def _transport(self) -> LocalTransport:
        return LocalTransport(self.pending or self.fragment, "p" * 22, (("sha-256", ":".join(["AB"] * 32)),))

    def offer(self, *, sent: bool = True) -> None:
        """Offer when that is needed; without sending it: and roll it back."""
        if self.session.state != "stable" or not self.session.negotiation_needed():
            return
        if self.session.restart_wanted:
            self._begin_restart()
        made = self.session.create_offer(self._transport())
        self._carry_out(self.session.set_local("offer", made))
        if sent:
            self.outbox.append(("offer", made))
        else:
            self._carry_out(self.session.rollback())
        self.check()

    def take(self, kind: str, text: str, *, hesitating: bool = False) -> None:
        """What came from the other side; `hesitating`: the offer is rolled back once before it is answered."""
        crossing = kind == "offer" and self.session.state != "stable"
        if crossing and not self.polite:
            return
        if crossing:
            self._carry_out(self.session.rollback())
        if kind == "offer":
            self.pending = ""
        self._carry_out(self.session.set_remote(kind, text))
        self.check()
        if kind == "offer" and hesitating:
            self._carry_out(self.session.rollback())
            self.check()
            self._carry_out(self.session.set_remote(kind, text))
        if kind == "offer":
            answer = self.session.create_answer(self._transport())
            self._carry_out(self.session.set_local("answer", answer))
            self.outbox.append(("answer", answer))
        self._agreed()
        self.check()

    def _begin_restart(self) -> None:
        if not self.pending:
            self._generation += 1
            self.pending = f"{self.name}{self._generation}"

    def _carry_out(self, found: Iterable[effects.Effect]) -> None:
        for effect in found:
            match effect:
                case effects.RemoteTransport():
                    self._restarted = effect.restarted
                    assert not effect.moved  # neither side ever lets the path move
                    if effect.restarted and self.session.state == "have-remote-offer":
                        self._begin_restart()
                case effects.RestartDropped():
                    self.pending = ""
                case effects.RoleAgreed():
                    assert not self.role
                    self.role = effect.role
                case effects.DataAgreed():
                    self.data_agreed = True
                case effects.TrackStarted(each) | effects.TrackHeld(each) | effects.Stopped(each):
                    self._live(each, type(effect))

    def _live(self, each: Transceiver, change: type[effects.Effect]) -> None:
        before = self._life.get(each, "held")
        now = {effects.TrackStarted: "started", effects.TrackHeld: "held", effects.Stopped: "stopped"}[change]
        assert before != "stopped" and before != now or now == "stopped" != before, (before, now)
        self._life[each] = now
        if now == "started" and each not in self.made and not each.stopping:
            self.made.append(each)
        if now == "stopped" and each in self.made:
            self.made.remove(each)

    def _agreed(self) -> None:
        if self.pending and self._restarted:
            self.fragment = self.pending
        if self.pending:
            self.session.restart_wanted = False
        self.pending, self._restarted = "", False
        assert self.session.current_local is not None and self.session.current_remote is not None
        answer = self.session.current_remote if self.session.offered_locally else self.session.current_local
        places = [(section.mid, section.rejected) for section in answer.media]
        assert len(places) >= len(self._places), "m-lines went away"
        for (mid, was_rejected), (now, _) in zip(self._places, places, strict=False):
            assert mid == now or was_rejected, f"{mid} became {now}"
        self._places = places
        for description in (self.session.current_local, self.session.current_remote):
            self._check_meanings(description)

    def _check_meanings(self, description: sdp.Description) -> None:
        """No number means two things within a session."""
        for section in (section for section in description.media if not section.rejected):
            for codec in section.codecs:
                said = dict(codec.parameters)
                meaning = (codec.kind, codec.name, said.get("profile-level-id", "")[:4], said.get("apt"))
                assert self._meanings.setdefault(codec.payload_type, meaning) == meaning
            for extension in section.extensions:
                assert self._meanings.setdefault((extension.id,), extension.uri) == extension.uri

    def check(self) -> None:
        """What holds at any time."""
        for each in self.session.transceivers:
            assert not each.stopped or each.mid is None
            if not each.stopping:
                assert each.receiving == (self._life.get(each, "held") == "started")
            if self.session.state == "stable" and each.current_direction is not None and not each.stopping:
                assert each.receiving == sdp.receives(each.current_direction)
        mids = [each.mid for each in self.session.transceivers if each.mid is not None]
        assert len(mids) == len(set(mids))


class Pair:
    """Both sides; what the one tells the other arrives in order, after any delay."""

    def __init__(self) -> None:
        self.sides = (Side("pol", polite=True), Side("imp", polite=False))

    def deliver(self, index: int, *, hesitating: bool = False) -> None:
        """The next message to a side arrives."""
        sender = self.sides[1 - index]
        if sender.outbox:
            self.sides[index].take(*sender.outbox.popleft(), hesitating=hesitating)

    def settle(self) -> None:
        """Until nobody has anything to say: which has to come, whatever happened before."""
        for _ in range(ROUNDS):
            for index in (0, 1):
                self.sides[index].offer()
                self.deliver(1 - index)
                self.deliver(index)
            waiting = any(side.outbox or side.session.state != "stable" for side in self.sides)
            if not waiting and not any(side.session.negotiation_needed() for side in self.sides):
                break
        else:
            raise AssertionError("they never come to rest")
        self.check()

    def check(self) -> None:
        """What holds when both are at rest."""
        one, other = self.sides
        mine, theirs = one.session.current_local, other.session.current_local
        if mine is None or theirs is None:
            assert mine is theirs
            return
        assert str(mine) == str(other.session.current_remote) and str(theirs) == str(one.session.current_remote)
        assert one.session.offered_locally is not other.session.offered_locally
        answer = theirs if one.session.offered_locally else mine
        assert [section.mid for section in mine.media] == [section.mid for section in theirs.media]
        assert answer.bundle is not None
        assert sorted(answer.bundle) == sorted(section.mid for section in answer.media if not section.rejected)
        by_mid = {each.mid: each for each in other.session.transceivers if not each.stopped}
        for each in (each for each in one.session.transceivers if not each.stopped):
            partner = by_mid.pop(each.mid, None)
            if partner is None:  # its owner stopped it, and it stands for the path
                assert each.current_direction == "inactive" and one.session.transport.tag == each.mid
                continue
            assert each.current_direction == sdp.reverse(partner.current_direction or "")
            numbers = [(codec.payload_type, codec.rtpmap, codec.fmtp) for codec in each.codecs]
            assert numbers == [(codec.payload_type, codec.rtpmap, codec.fmtp) for codec in partner.codecs]
            assert numbers and each.extensions == partner.extensions
            assert one.session.slot_of(each) == other.session.slot_of(partner)
            if sdp.sends(partner.current_direction or ""):
                assert {stream for stream, _ in each.remote.streams} == set(partner.streams or ("-",))
        assert all(each.current_direction == "inactive" for each in by_mid.values())
        self._check_path(one, other)

    def _check_path(self, one: Side, other: Side) -> None:
        if not one.session.transport.agreed:
            return
        assert {one.role, other.role} == {"client", "server"}
        assert one.session.transport.tag == other.session.transport.tag
        for side, partner in ((one, other), (other, one)):
            assert side.session.transport.credentials == (partner.fragment, "p" * 22)
            assert not side.session.restart_wanted
        wanted = one.session.data.wanted or other.session.data.wanted
        assert not wanted or (one.data_agreed and other.data_agreed)
        assert (one.session.data.mid, one.session.data.remote_port) == (
            other.session.data.mid,
            other.session.data.remote_port,
        )
