"""The negotiation of one connection (RFC 9429, webrtc-pc section 4): m-lines, transceivers, offer and answer. Pure.

Descriptions go in and out; what has to happen because of them comes back as a list of effects (`peer.rtc.effects`).
Everything is one bundle on one transport; m-lines outside of it are rejected.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peer.rtc import agreement, describe, effects, sdp
from peer.rtc.codecs import CAPABILITIES, EXTENSIONS, Codec, Numbers, common, matches, preferred
from peer.rtc.effects import DataSection, Effect, Transceiver
from peer.rtc.sdp import Description, Extension, SdpError, Section
from peer.rtc.transport_section import TransportAgreement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.effects import LocalTransport

MAX_SLOTS = sdp.MAX_SECTIONS
"""M-lines of one session; an application that wants more gets an error, and can use a stopped one's place again."""


class WrongState(Exception):
    """A description of this type cannot be set, or made, in this signaling state."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One m-line; its place in the description never changes (RFC 9429 section 5.2.2)."""

    mid: str
    owner: Transceiver | DataSection | None
    """None when it is rejected: its place may be used again."""


@dataclass(slots=True)
class _Saved:
    """What a rollback goes back to: as it was when the state was last stable."""

    slots: list[Slot]
    numbers: Numbers
    data: DataSection
    transport: TransportAgreement
    agreed: dict[Transceiver, dict[str, Any]]
    transceivers: list[Transceiver]


class Session:
    """The signaling state machine of one connection, and the m-lines that it is about."""

    def __init__(self, number: int) -> None:
        """`number` names the session in the o= line: random, below 2**62."""
        self.state = "stable"
        """`stable`, `have-local-offer`, `have-remote-offer` or `closed` (webrtc-pc section 4.3.1)."""
        self.transceivers: list[Transceiver] = []
        self.data = DataSection()
        self.transport = TransportAgreement()
        self.current_local: Description | None = None
        self.current_remote: Description | None = None
        self.pending_local: Description | None = None
        self.pending_remote: Description | None = None
        self.restart_wanted = False
        """Whether the application asked for an ICE restart that no negotiation has brought yet."""
        self._number = number
        self._version = 1
        self._slots: list[Slot] = []
        self._planned: list[Slot] = []
        self._numbers = Numbers()
        self._saved: _Saved | None = None
        self._mids: set[str] = set()
        self.offered_locally = False
        """Whether the offer of the current descriptions was ours."""

    # Making descriptions

    def create_offer(self, transport: LocalTransport) -> str:
        """An offer for what the transceivers and the data channel are to be."""
        if self.state == "closed":
            raise WrongState("the connection is closed")
        self._planned = self._plan()
        numbers = self._numbers
        sections = []
        for index, slot in enumerate(self._planned):
            owner = slot.owner
            if owner is None or (isinstance(owner, Transceiver) and owner.stopping):
                sections.append(describe.rejected(self._last_section(index), slot.mid))
                continue
            if isinstance(owner, DataSection):
                section = describe.data(slot.mid, legacy=owner.legacy)
            else:
                section = describe.media(
                    owner,
                    slot.mid,
                    owner.direction,
                    self._offered_codecs(owner, numbers),
                    self._offered(owner, numbers),
                )
            sections.append(describe.with_transport(section, transport, "actpass"))
        return str(self._described(sections))

    def create_answer(self, transport: LocalTransport) -> str:
        """The answer to the offer that was set."""
        offer = self.pending_remote
        if self.state != "have-remote-offer" or offer is None:
            raise WrongState(f"an answer cannot be made in state {self.state}")
        setup = self.transport.answering_setup(agreement.tag(offer))
        sections = []
        for slot, remote in zip(self._slots, offer.media, strict=True):
            owner = slot.owner
            gone = isinstance(owner, Transceiver) and (owner.stopping or owner.stopped)
            if owner is None or gone or not agreement.usable(offer, remote):
                sections.append(describe.rejected(remote, slot.mid))
                continue
            if isinstance(owner, DataSection):
                section = describe.data(slot.mid, legacy=remote.protocol == "DTLS/SCTP")
            else:
                section = describe.media(
                    owner,
                    slot.mid,
                    sdp.intersect(owner.direction, sdp.reverse(remote.direction)),
                    agreement.codecs_taken(owner, remote),
                    agreement.extensions_taken(remote),
                    layers=remote.sending_layers if sdp.receives(owner.direction) else (),
                )
            sections.append(describe.with_transport(section, transport, setup))
        return str(self._described(sections))

    # Setting descriptions

    def set_local(self, kind: str, text: str) -> list[Effect]:
        """Take our own offer or answer as it is sent.

        Raises:
            WrongState: not in this state.
            SdpError: it does not fit what was negotiated or offered.
        """
        description = sdp.parse(text)
        if kind == "offer":
            self._expect("stable", "have-local-offer")
            if len(description.media) != len(self._planned):
                raise SdpError("it is not the offer that was made last; make another")
            self._save()
            self._slots = [
                replace(slot, mid=section.mid or slot.mid)
                for slot, section in zip(self._planned, description.media, strict=True)
            ]
            self._assign_mids()
            self.pending_local, self.state = description, "have-local-offer"
            return [] if agreement.all_rejected(description) else self.transport.offered(agreement.tag(description))
        self._expect("have-remote-offer")
        offer = self.pending_remote
        assert offer is not None
        agreement.check_answer(offer, description)
        self.pending_local = description
        found = self._agree(description, offer, answered_locally=True)
        return found

    def set_remote(self, kind: str, text: str) -> list[Effect]:
        """Take the other side's offer or answer. Raises as `set_local`; nothing has changed then."""
        description = sdp.parse(text)
        for index, section in enumerate(description.media):
            if not section.mid:
                section.lines.append(f"a=mid:{self._slots[index].mid if kind == 'answer' else index}")
                del section.attributes
        if kind == "offer":
            self._expect("stable", "have-remote-offer")
            return self._offered_remotely(description)
        self._expect("have-local-offer")
        offer = self.pending_local
        assert offer is not None
        agreement.check_answer(offer, description)
        found: list[Effect] = []
        if not agreement.all_rejected(description):
            found += self.transport.take(agreement.tag(description), lite=description.lite, is_answer=True)
        self.pending_remote = description
        found += self._follow_tracks(description)
        return found + self._agree(offer, description, answered_locally=False)

    def rollback(self) -> list[Effect]:
        """Give up the offer that is pending, ours or the other side's (RFC 9429 section 4.1.10.2)."""
        self._expect("have-local-offer", "have-remote-offer")
        saved = self._saved
        assert saved is not None
        found: list[Effect] = []
        self._slots, self._numbers, self._planned = saved.slots, saved.numbers, []
        if self.transport.restarting or self.state == "have-local-offer":
            found.append(effects.RestartDropped())
        self.transport = saved.transport
        vars(self.data).update(vars(saved.data), wanted=self.data.wanted)
        for transceiver in list(self.transceivers):
            before = saved.agreed.get(transceiver) or {name: getattr(_BLANK, name) for name in Transceiver.AGREED}
            was_receiving = transceiver.receiving
            for name, value in before.items():
                setattr(transceiver, name, value)
            if was_receiving and not transceiver.receiving:
                found.append(effects.TrackHeld(transceiver))
            if transceiver in saved.transceivers or transceiver.adoptable:
                continue
            if transceiver.track_id:  # the application took it over with addTrack: it stays, for another m-line
                transceiver.adoptable = True
                continue
            self.transceivers.remove(transceiver)
            transceiver.stopped = True
            found += [effects.Stopped(transceiver), effects.Removed(transceiver)]
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
        if self.restart_wanted or (self.data.wanted and self.data.mid is None and not self.data.rejected):
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

    def _plan(self) -> list[Slot]:
        """The m-lines of an offer: those that there are, in rejected places new ones, the rest at the end."""
        plan = [Slot(s.mid, None) if isinstance(s.owner, Transceiver) and s.owner.stopped else s for s in self._slots]
        present = {id(slot.owner) for slot in plan}
        fresh: list[Transceiver | DataSection] = [
            each for each in self.transceivers if id(each) not in present and not each.stopped and not each.stopping
        ]
        if self.data.wanted and not self.data.rejected and not any(isinstance(s.owner, DataSection) for s in plan):
            fresh.insert(0 if self.data.first else len(fresh), self.data)
        mids = set(self._mids)
        for owner in fresh:
            mid = next(text for text in map(str, range(len(mids) + 1)) if text not in mids)
            mids.add(mid)
            index = next((i for i, slot in enumerate(plan) if slot.owner is None), len(plan))
            plan[index : index + 1] = [Slot(mid, owner)]
        if len(plan) > MAX_SLOTS:
            raise SdpError(f"at most {MAX_SLOTS} m-lines are possible; stop a transceiver first")
        return plan

    def _offered_codecs(self, transceiver: Transceiver, numbers: Numbers) -> list[Codec]:
        """What was agreed, under its numbers, then what else we can take."""
        agreed = transceiver.codecs
        mains = [c for c in CAPABILITIES[transceiver.kind] if not c.is_rtx and not any(matches(c, a) for a in agreed)]
        carried = {each.payload_type for each in mains}
        others = [c for c in CAPABILITIES[transceiver.kind] if c in mains or (c.is_rtx and c.apt in carried)]
        return preferred([*agreed, *numbers.number(others)], transceiver.preferences)

    def _offered(self, transceiver: Transceiver, numbers: Numbers) -> list[Extension]:
        agreed = {each.uri: each for each in transceiver.extensions}
        return [agreed.get(uri) or Extension(numbers.extension(uri), uri) for uri in EXTENSIONS[transceiver.kind]]

    def _last_section(self, index: int) -> Section:
        for description in (self.pending_local, self.current_local, self.current_remote):
            if description is not None and index < len(description.media):
                return description.media[index]
        return Section("m=audio 9 UDP/TLS/RTP/SAVPF 0")

    def _described(self, sections: list[Section]) -> Description:
        self._version += 1
        bundle = [section.mid for section in sections if not section.rejected]
        if self.transport.tag in bundle:  # the m-line that stands for the path stays the one that does
            bundle.remove(self.transport.tag)
            bundle.insert(0, self.transport.tag)
        return describe.session(sections, bundle, number=self._number, version=self._version)

    # Inside: offers of the other side

    def _offered_remotely(self, offer: Description) -> list[Effect]:
        self._check_offer(offer, self._saved.slots if self._saved else self._slots)
        transport = copy.copy(self._saved.transport if self._saved else self.transport)
        found = (
            []
            if agreement.all_rejected(offer)
            else transport.take(agreement.tag(offer), lite=offer.lite, is_answer=False)
        )
        # A later offer takes the place of one that was not answered.
        dropped = self.rollback() if self.pending_remote is not None else []
        self._save()
        self.transport, self.pending_remote, self.state = transport, offer, "have-remote-offer"
        for index, section in enumerate(offer.media):
            owner = self._owner_for(index, section) if agreement.usable(offer, section) else None
            if owner is not None:
                owner.mid = section.mid
            elif index < len(self._slots) and self._slots[index].mid == section.mid:
                owner = self._slots[index].owner  # rejected when the answer is set
            self._slots[index : index + 1] = [Slot(section.mid, owner)]
            self._mids.add(section.mid)
            self._numbers.learn(section.codecs, ((each.id, each.uri) for each in section.extensions))
        return [*dropped, *found, *self._follow_tracks(offer)]

    def _check_offer(self, offer: Description, slots: list[Slot]) -> None:
        if len(offer.media) < len(slots):
            raise SdpError(f"it has {len(offer.media)} m-lines, there were {len(slots)} before")
        alive = any(slot.owner is not None for slot in slots)
        if offer.media and not alive and not any(agreement.usable(offer, section) for section in offer.media):
            raise SdpError("no m-line of it can be used: nothing in common")
        for slot, section in zip(slots, offer.media, strict=False):
            if slot.owner is not None and slot.mid != section.mid and not self._rejected_before(slot):
                raise SdpError(f"the m-line {slot.mid} became {section.mid} without having been rejected")

    def _owner_for(self, index: int, section: Section) -> Transceiver | DataSection:
        if section.kind == "application":
            return self.data
        if index < len(self._slots) and self._slots[index].mid == section.mid:
            present = self._slots[index].owner
            if isinstance(present, Transceiver) and not present.stopped:
                return present
        for each in self.transceivers:
            # RFC 9429 section 5.10 takes those of addTrack only; like aiortc, we take those of addTransceiver too.
            unused = each.mid is None and not each.stopped and not each.stopping
            if each.kind == section.kind and unused and each.adoptable:
                return each
        made = Transceiver(section.kind, "recvonly", adoptable=False)
        self.transceivers.append(made)
        return made

    def _rejected_before(self, slot: Slot) -> bool:
        """Whether the m-line was rejected in what is agreed, so that its place may be used again."""
        for description in (self.current_local, self.current_remote):
            section = description.section(slot.mid) if description else None
            if section is not None and section.rejected:
                return True
        return False

    # Inside: both

    def _follow_tracks(self, remote: Description) -> list[Effect]:
        """Which tracks the other side begins or ceases to send (webrtc-pc section 4.4.1.5, "process the addition")."""
        found: list[Effect] = []
        for slot, section in zip(self._slots, remote.media, strict=False):
            transceiver = slot.owner
            if not isinstance(transceiver, Transceiver) or transceiver.stopped:
                continue
            sending = sdp.sends(section.direction) and not section.rejected
            transceiver.remote = agreement.remote_media(section)
            if sending and not transceiver.receiving:
                found.append(effects.TrackStarted(transceiver))
            elif transceiver.receiving and not sending:
                found.append(effects.TrackHeld(transceiver))
            transceiver.receiving = sending
        return found

    def _agree(self, one: Description, other: Description, *, answered_locally: bool) -> list[Effect]:
        """Offer and answer are complete: what they say holds from now on. `other` is the answer unless it is ours."""
        local = one
        remote = other
        answer = local if answered_locally else remote
        found: list[Effect] = []
        if not agreement.all_rejected(answer):
            found += self.transport.agree(agreement.tag(answer), answered_locally=answered_locally)
        for index, slot in enumerate(self._slots):
            found += self._agree_slot(index, slot, (local.media[index], remote.media[index], answer.media[index]))
        self.offered_locally = not answered_locally
        self.current_local, self.current_remote = local, remote
        self.pending_local = self.pending_remote = None
        self.state, self._saved, self._planned = "stable", None, []
        return found

    def _agree_slot(self, index: int, slot: Slot, sections: tuple[Section, Section, Section]) -> Iterator[Effect]:
        local, remote, answer = sections
        owner = slot.owner
        for section in (local, remote):
            self._numbers.learn(section.codecs, ((each.id, each.uri) for each in section.extensions))
            self._numbers.learn_rtx(section.codecs)
        if answer.rejected:
            self._slots[index] = Slot(slot.mid, None)
            if isinstance(owner, DataSection) and owner.mid is not None:
                vars(self.data).update(vars(DataSection(rejected=True)))
                yield effects.DataRejected()
            elif isinstance(owner, Transceiver) and not owner.stopped:
                owner.stopped, owner.current_direction, owner.receiving = True, "stopped", False
                yield effects.Stopped(owner)
        elif isinstance(owner, DataSection):
            owner.remote_port, owner.max_message_size = remote.sctp_port, remote.max_message_size
            owner.legacy = remote.protocol == "DTLS/SCTP"
            if owner.remote_port is not None:
                yield effects.DataAgreed(owner.remote_port, owner.max_message_size)
        elif owner is not None:
            owner.current_direction = answer.direction if answer is local else sdp.reverse(answer.direction)
            owner.codecs = tuple(common(local.codecs, answer.codecs))
            known = {each.uri for each in remote.extensions}
            owner.extensions = tuple(each for each in local.extensions if each.uri in known)
            yield effects.Negotiated(owner)

    def _assign_mids(self) -> None:
        for slot in self._slots:
            self._mids.add(slot.mid)
            if slot.owner is not None:
                slot.owner.mid = slot.mid

    def _save(self) -> None:
        if self._saved is None:
            agreed = {each: {name: getattr(each, name) for name in Transceiver.AGREED} for each in self.transceivers}
            self._saved = _Saved(
                list(self._slots),
                self._numbers.copy(),
                copy.copy(self.data),
                copy.copy(self.transport),
                agreed,
                list(self.transceivers),
            )

    def _expect(self, *states: str) -> None:
        if self.state not in states:
            raise WrongState(f"that cannot be set in signaling state {self.state}")


_BLANK = Transceiver("audio")
