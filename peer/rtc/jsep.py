"""The negotiation of one connection (RFC 9429, webrtc-pc section 4): m-lines, transceivers, offer and answer. Pure.

Descriptions go in and out; what has to happen because of them comes back as a list of effects (`peer.rtc.effects`).
Everything is one bundle on one transport; m-lines outside of it are rejected.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer.rtc import agreement, codecs, describe, effects, sdp
from peer.rtc.codecs import EXTENSIONS, RECEIVABLE, common, preferred
from peer.rtc.effects import DataSection, Effect, Transceiver
from peer.rtc.numbering import Numbers, check_numbers
from peer.rtc.sdp import Description, Extension, SdpError, Section
from peer.rtc.slots import MAX_SLOTS, Mids, Slot, check_offer, check_plan, owner_of, plan
from peer.rtc.transport_section import TransportAgreement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from peer.rtc.effects import LocalTransport


class WrongState(Exception):
    """A description of this type cannot be set, or made, in this signaling state."""


@dataclass(slots=True)
class _Saved:
    """What a rollback goes back to: as it was when the state was last stable."""

    slots: list[Slot]
    numbers: Numbers
    data: DataSection
    transport: TransportAgreement
    agreed: dict[Transceiver, dict[str, Any]]


class Session:
    """The signaling state machine of one connection, and the m-lines that it is about."""

    def __init__(self, number: int) -> None:
        """`number` names the session in the o= line: random, below 2**62."""
        self.state = "stable"
        """`stable`, `have-local-offer`, `have-remote-offer` or `closed` (webrtc-pc section 4.3.1)."""
        self.transceivers: list[Transceiver] = []
        """Those that are not stopped."""
        self.data = DataSection()
        self.transport = TransportAgreement()
        self.current_local: Description | None = None
        self.current_remote: Description | None = None
        self.pending_local: Description | None = None
        self.pending_remote: Description | None = None
        self.restart_wanted = False
        """Whether the application asked for an ICE restart that no negotiation has brought yet."""
        self.offered_locally = False
        """Whether the offer of the current descriptions was ours."""
        self._number = number
        self._version = 1
        self._slots: list[Slot] = []
        self._planned: list[Slot] = []
        self._numbers = Numbers()
        self._mids = Mids()
        self._saved: _Saved | None = None

    # Making descriptions

    def create_offer(self, transport: LocalTransport) -> str:
        """An offer for what the transceivers and the data channel are to be.

        Raises:
            WrongState: the connection is closed, or an offer of the other side waits for its answer.
            SdpError: there are too many m-lines.
        """
        self._expect("stable", "have-local-offer")
        planned = plan(self._slots, self.transceivers, self.data, self._mids, self.transport.tag)
        numbers = self._numbers.copy()
        sections = [self._offered_section(index, slot, numbers, transport) for index, slot in enumerate(planned)]
        self._planned = planned
        bundle = [section.mid for section in sections if not section.rejected]
        if self.transport.tag in bundle:  # the m-line that stands for the path stays the one that does
            bundle.remove(self.transport.tag)
            bundle.insert(0, self.transport.tag)
        return self._described(sections, bundle)

    def create_answer(self, transport: LocalTransport) -> str:
        """The answer to the offer that was set. Raises WrongState when there is none."""
        self._expect("have-remote-offer")
        offer = self.pending_remote
        assert offer is not None
        taken = {section.mid for section in agreement.usable(offer, self.data.mid)}
        setup = "" if agreement.all_rejected(offer) else self.transport.answering_setup(agreement.tag(offer))
        sections = []
        for slot, remote in zip(self._slots, offer.media, strict=True):
            section = self._answering_section(slot, remote) if slot.mid in taken else None
            if section is None:
                sections.append(describe.rejected(remote, slot.mid))
            else:
                sections.append(describe.with_transport(section, transport, setup))
        accepted = {section.mid for section in sections if not section.rejected}
        bundle = None if offer.bundle is None else [mid for mid in offer.bundle if mid in accepted]
        return self._described(sections, bundle)

    # Setting descriptions

    def set_local(self, kind: str, text: str) -> list[Effect]:
        """Take our own offer or answer as it is sent.

        Raises:
            WrongState: not in this state.
            SdpError: it does not fit what was negotiated or offered.
        """
        description = sdp.parse(text)
        if self._is_offer(kind):
            self._expect("stable", "have-local-offer")
            description.name_sections([slot.mid for slot in self._planned])
            check_plan(self._planned, description)
            self._save()
            self._slots = list(self._planned)
            self._mids.add(self._slots)
            self._numbers.learn(description)
            for slot in self._slots:
                if slot.owner is not None:
                    slot.owner.mid = slot.mid
            self.pending_local, self.state = description, "have-local-offer"
            return []
        self._expect("have-remote-offer")
        offer = self.pending_remote
        assert offer is not None
        description.name_sections([section.mid for section in offer.media])
        agreement.check_answer(offer, description)
        return self._agree(description, offer, answered_locally=True)

    def set_remote(self, kind: str, text: str) -> list[Effect]:
        """Take the other side's offer or answer. Raises as `set_local`; nothing has changed then."""
        description = sdp.parse(text)
        if self._is_offer(kind):
            self._expect("stable", "have-remote-offer")
            return self._offered_remotely(description)
        self._expect("have-local-offer")
        offer = self.pending_local
        assert offer is not None
        description.name_sections([section.mid for section in offer.media])
        agreement.check_answer(offer, description)
        found: list[Effect] = []
        if not agreement.all_rejected(description):
            found += self.transport.take(agreement.tag(description), lite=description.lite, is_answer=True)
        return found + self._agree(offer, description, answered_locally=False)

    def rollback(self) -> list[Effect]:
        """Give up the offer that is pending, ours or the other side's (RFC 9429 section 4.1.10.2)."""
        self._expect("have-local-offer", "have-remote-offer")
        saved = self._saved
        assert saved is not None
        dropped = self.transport.restarting or self.state == "have-local-offer"
        self._slots, self._planned, self._numbers = saved.slots, [], saved.numbers
        self._restore(saved)
        found: list[Effect] = [effects.RestartDropped()] if dropped else []
        found += self._withdraw(saved, keep=())
        self.pending_local = self.pending_remote = None
        self.state, self._saved = "stable", None
        return found

    def close(self) -> None:
        self.state = "closed"

    # What the application changes

    def add(self, transceiver: Transceiver) -> Transceiver:
        """Raises SdpError when there are too many."""
        if sum(not each.stopped for each in self.transceivers) >= MAX_SLOTS - 1:
            raise SdpError(f"at most {MAX_SLOTS} m-lines are possible; stop a transceiver first")
        self.transceivers.append(transceiver)
        return transceiver

    def negotiation_needed(self) -> bool:
        """webrtc-pc section 4.7.3, in its order."""
        if self.state == "closed":
            return False
        if self.restart_wanted or (self.data.wanted and self.data.mid is None and not self.data.rejected):
            return True
        if any(slot.over and slot.owner is not None and not self.transport.stands_on(slot.mid) for slot in self._slots):
            return True
        return any(
            agreement.needs_negotiation(
                each, self.current_local, self.current_remote, offered_locally=self.offered_locally
            )
            for each in self.transceivers
        )

    def slot_of(self, transceiver: Transceiver) -> int | None:
        """The index of its m-line."""
        return next((index for index, slot in enumerate(self._slots) if slot.owner is transceiver), None)

    # Inside: offers of ours

    def _offered_section(self, index: int, slot: Slot, numbers: Numbers, transport: LocalTransport) -> Section:
        owner = slot.owner
        if owner is None or (slot.over and not self.transport.stands_on(slot.mid)):
            return describe.rejected(self._last_section(index), slot.mid)
        if isinstance(owner, DataSection):
            section = describe.data(slot.mid, legacy=owner.legacy)
        else:
            formats = numbers.offered(owner.kind, owner.codecs)
            formats = preferred(formats, owner.preferences) or formats
            if not formats:
                raise SdpError(f"no payload type is free for {owner.kind}; hang up and call again")
            known = {each.uri: each for each in owner.extensions}
            extensions = [known.get(uri) or _new_extension(uri, numbers) for uri in EXTENSIONS[owner.kind]]
            direction = "inactive" if slot.over else owner.direction
            section = describe.media(owner, slot.mid, direction, formats, [each for each in extensions if each])
        return describe.with_transport(section, transport, "actpass")

    def _last_section(self, index: int) -> Section:
        description = self.pending_local or self.current_local
        assert description is not None  # what is over was there before
        return description.media[index]

    def _described(self, sections: list[Section], bundle: list[str] | None) -> str:
        self._version += 1
        return str(describe.session(sections, bundle, number=self._number, version=self._version))

    # Inside: offers of the other side

    def _offered_remotely(self, offer: Description) -> list[Effect]:
        before, saved_transport = (
            (self._saved.slots, self._saved.transport) if self._saved else (self._slots, self.transport)
        )
        offer.name_sections(["" if slot.owner is None else slot.mid for slot in before])
        check_offer(offer, before, first=self.current_remote is None)
        check_numbers(offer)
        transport = copy.copy(saved_transport)
        found: list[Effect] = []
        if not agreement.all_rejected(offer):
            found += transport.take(agreement.tag(offer), lite=offer.lite, is_answer=False)
        # Nothing is refused from here on. A later offer takes the place of one that was not answered.
        dropped = [effects.RestartDropped()] if self.transport.restarting else []
        self._save()
        assert self._saved is not None
        self._restore(self._saved)
        taken = {section.mid for section in agreement.usable(offer, self.data.mid)}
        slots = self._slots_of(offer, taken)
        withdrawn = self._withdraw(self._saved, keep={slot.owner for slot in slots if slot.owner is not self.data})
        self._slots, self._numbers = slots, self._saved.numbers.copy()
        self._mids.add(slots)
        self._numbers.learn(offer)
        self.transport, self.pending_remote, self.state = transport, offer, "have-remote-offer"
        return [*dropped, *withdrawn, *found, *self._follow_tracks(offer, taken)]

    def _slots_of(self, offer: Description, taken: Collection[str]) -> list[Slot]:
        slots = []
        for index, section in enumerate(offer.media):
            owner: Transceiver | DataSection | None = None
            if section.mid in taken:
                owner = owner_of(index, section, self._slots, self.transceivers, self.data)
                owner.mid = section.mid
            elif index < len(self._slots) and self._slots[index].mid == section.mid:
                owner = self._slots[index].owner  # rejected when the answer is set
            slots.append(Slot(section.mid, owner))
        return slots

    def _answering_section(self, slot: Slot, remote: Section) -> Section | None:
        """None to reject it."""
        owner = slot.owner
        if isinstance(owner, DataSection):
            return describe.data(slot.mid, legacy=remote.protocol == "DTLS/SCTP", offered=remote)
        assert owner is not None  # it can be used
        formats = agreement.codecs_taken(owner, remote)
        if self.transport.stands_on(slot.mid):
            formats = formats or common(RECEIVABLE[owner.kind], remote.codecs)
        elif slot.over or not formats:
            return None
        wanted = "inactive" if slot.over else owner.direction
        direction = sdp.intersect(wanted, sdp.reverse(remote.direction))
        extensions = agreement.extensions_taken(remote)
        return describe.media(owner, slot.mid, direction, formats, extensions, offered=remote)

    def _follow_tracks(self, offer: Description, taken: Collection[str]) -> list[Effect]:
        """Which tracks the other side begins or ceases to send (webrtc-pc section 4.4.1.5, "process the addition")."""
        found: list[Effect] = []
        for slot, section in zip(self._slots, offer.media, strict=True):
            owner = slot.owner
            if isinstance(owner, Transceiver) and not owner.stopped:
                owner.remote = agreement.remote_media(section)
                both = sdp.sends(section.direction) and sdp.receives(owner.direction)
                found += _receive(owner, receiving=both and not slot.over and section.mid in taken)
        return found

    # Inside: both

    def _agree(self, local: Description, remote: Description, *, answered_locally: bool) -> list[Effect]:
        """Offer and answer are complete: what they say holds from now on."""
        answer = local if answered_locally else remote
        found: list[Effect] = []
        if not agreement.all_rejected(answer):
            found += self.transport.agree(agreement.tag(answer), answered_locally=answered_locally)
        slots, self._slots = self._slots, []
        for slot, mine, theirs in zip(slots, local.media, remote.media, strict=True):
            rejected = (mine if answered_locally else theirs).rejected
            ended = _end(slot.owner) if rejected else self._agree_slot(slot, mine, theirs, locally=answered_locally)
            found += ended
            self._slots.append(Slot(slot.mid, None if rejected else slot.owner))
        self.transceivers = [each for each in self.transceivers if not each.stopped]
        self.offered_locally = not answered_locally
        self.current_local, self.current_remote = local, remote
        self.pending_local = self.pending_remote = None
        self.state, self._saved, self._planned = "stable", None, []
        return found

    def _agree_slot(self, slot: Slot, local: Section, remote: Section, *, locally: bool) -> Iterator[Effect]:
        owner = slot.owner
        if isinstance(owner, DataSection):
            owner.remote_port, owner.max_message_size = remote.sctp_port, remote.max_message_size
            owner.legacy = remote.protocol == "DTLS/SCTP"
            if owner.remote_port is not None:
                yield effects.DataAgreed(owner.remote_port, owner.max_message_size)
        elif owner is not None and slot.over and self.transport.stands_on(slot.mid) and local.direction == "inactive":
            yield from _end(owner)
        elif owner is not None and not owner.stopped:
            owner.current_direction = sdp.intersect(local.direction, sdp.reverse(remote.direction))
            owner.codecs = tuple(codecs.agreed(local.codecs, (local if locally else remote).codecs))
            owner.extensions = agreement.extensions_agreed(local, remote)
            owner.remote = agreement.remote_media(remote)
            yield from _receive(owner, receiving=sdp.receives(owner.current_direction))
            yield effects.Negotiated(owner)

    def _withdraw(self, saved: _Saved, keep: Collection[Any]) -> list[Effect]:
        """Take back what a pending offer made of the transceivers, but of those in `keep`."""
        found: list[Effect] = []
        for each in [each for each in self.transceivers if each not in keep]:
            before = saved.agreed.get(each, _NOTHING_AGREED)
            found += _receive(each, receiving=before["receiving"] and not each.stopping)
            for name in before.keys() - {"receiving", "stopped"}:
                setattr(each, name, before[name])
            if each in saved.agreed or each.adoptable:
                if each.stopping and each.mid is None:
                    found += _end(each)
            elif each.track_id:  # the application took it over with addTrack: it stays, for another m-line
                each.adoptable = True
            else:
                found += [*_end(each), effects.Removed(each)]
        self.transceivers = [each for each in self.transceivers if not each.stopped]
        return found

    def _restore(self, saved: _Saved) -> None:
        self.transport = saved.transport
        vars(self.data).update(vars(saved.data), wanted=self.data.wanted, rejected=self.data.rejected)

    def _save(self) -> None:
        if self._saved is None:
            agreed = {each: {name: getattr(each, name) for name in Transceiver.AGREED} for each in self.transceivers}
            data, transport = copy.copy(self.data), copy.copy(self.transport)
            self._saved = _Saved(list(self._slots), self._numbers.copy(), data, transport, agreed)

    def _is_offer(self, kind: str) -> bool:
        if kind not in ("offer", "answer"):
            raise SdpError(f"a description of type {kind!r} is not supported; use offer or answer")
        return kind == "offer"

    def _expect(self, *states: str) -> None:
        if self.state not in states:
            raise WrongState(f"that is not possible in signaling state {self.state}")


_NOTHING_AGREED = {name: getattr(Transceiver("audio"), name) for name in Transceiver.AGREED}


def _new_extension(uri: str, numbers: Numbers) -> Extension | None:
    number = numbers.extension(uri)
    return None if number is None else Extension(number, uri)


def _receive(transceiver: Transceiver, *, receiving: bool) -> Iterator[Effect]:
    if receiving and not transceiver.receiving:
        yield effects.TrackStarted(transceiver)
    elif transceiver.receiving and not receiving:
        yield effects.TrackHeld(transceiver)
    transceiver.receiving = receiving


def _end(owner: Transceiver | DataSection | None) -> Iterator[Effect]:
    """The m-line was rejected, or is never used again."""
    if isinstance(owner, DataSection):
        vars(owner).update(vars(DataSection(rejected=True, first=owner.first)))
        yield effects.DataRejected()
    elif owner is not None and not owner.stopped:
        owner.stopped, owner.current_direction, owner.receiving = True, "stopped", False
        yield effects.Stopped(owner)
