"""The places of m-lines in a session: which there are, what is offered in them, whose an offered one becomes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from peer.rtc import sdp
from peer.rtc.agreement import usable
from peer.rtc.effects import DataSection, Transceiver
from peer.rtc.sdp import SdpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.rtc.sdp import Description, Section

MAX_SLOTS = sdp.MAX_SECTIONS
"""M-lines of one session; an application that wants more gets an error, and can use a stopped one's place again."""
MAX_MIDS = 1000
"""Mids that are remembered, so that they are not used again; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One m-line; its place in the description never changes (RFC 9429 section 5.2.2)."""

    mid: str
    owner: Transceiver | DataSection | None
    """None when it is rejected: its place may be used again. A stopped transceiver keeps the one with the path."""

    @property
    def over(self) -> bool:
        """Whether the application wants nothing of it any more."""
        return isinstance(self.owner, Transceiver) and (self.owner.stopping or self.owner.stopped)


class Mids:
    """The mids of a session, also those of m-lines that are over: none is used for another one."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    def add(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            self._seen[slot.mid] = None
        while len(self._seen) > MAX_MIDS:
            del self._seen[next(iter(self._seen))]

    def fresh(self, but: Iterable[str]) -> str:
        used = {*self._seen, *but}
        return next(text for text in map(str, range(len(used) + 1)) if text not in used)


def plan(
    slots: Sequence[Slot], transceivers: Sequence[Transceiver], data: DataSection, mids: Mids, tag: str
) -> list[Slot]:
    """The m-lines of an offer: those that there are, new ones in the places of rejected ones, the rest at the end.

    Raises:
        SdpError: they are too many.
    """
    planned = list(slots)
    present = {id(slot.owner) for slot in planned}
    fresh: list[Transceiver | DataSection] = [
        each for each in transceivers if id(each) not in present and not each.stopped and not each.stopping
    ]
    if data.wanted and not data.rejected and id(data) not in present:
        fresh.insert(0 if data.first else len(fresh), data)
    for owner in fresh:
        vacant = next((i for i, slot in enumerate(planned) if slot.mid == tag and _takes_over(owner, slot)), None)
        if vacant is not None:
            planned[vacant] = replace(planned[vacant], owner=owner)
            continue
        index = next((i for i, slot in enumerate(planned) if slot.owner is None), len(planned))
        planned[index : index + 1] = [Slot(mids.fresh(slot.mid for slot in planned), owner)]
    if len(planned) > MAX_SLOTS:
        raise SdpError(f"at most {MAX_SLOTS} m-lines are possible; stop a transceiver first")
    return planned


def _takes_over(owner: Transceiver | DataSection, slot: Slot) -> bool:
    """Whether a new transceiver goes on where a stopped one left the m-line with the path behind."""
    stopped = isinstance(slot.owner, Transceiver) and slot.owner.stopped
    return (
        stopped
        and isinstance(owner, Transceiver)
        and isinstance(slot.owner, Transceiver)
        and (owner.kind == slot.owner.kind)
    )


def check_plan(planned: Sequence[Slot], description: Description) -> None:
    """Raises SdpError when a description is not the offer that was planned."""
    kinds = [None if slot.owner is None else _kind(slot.owner) for slot in planned]
    said = [(section.mid, None if section.rejected else section.kind) for section in description.media]
    wanted = [(slot.mid, kind) for slot, kind in zip(planned, kinds, strict=True)]
    fits = len(said) == len(wanted) and all(
        mid == other and kind in (None, known) for (mid, kind), (other, known) in zip(said, wanted, strict=True)
    )
    if not fits:
        raise SdpError("it is not the offer that was made last; make another")


def check_offer(offer: Description, slots: Sequence[Slot], *, first: bool) -> None:
    """Raises SdpError when an offer of the other side does not go on from what there is (RFC 9429 section 5.2.2)."""
    if len(offer.media) < len(slots):
        raise SdpError(f"it has {len(offer.media)} m-lines, there were {len(slots)} before")
    for slot, section in zip(slots, offer.media, strict=False):
        if slot.owner is None:
            continue
        if slot.mid != section.mid:
            raise SdpError(f"the m-line {slot.mid} became {section.mid} without having been rejected")
        if _kind(slot.owner) != section.kind:
            raise SdpError(f"the m-line {slot.mid} became one for {section.kind}")
    if first and not usable(offer):
        raise SdpError("no m-line of it can be used: nothing in common")


def _kind(owner: Transceiver | DataSection) -> str:
    return owner.kind if isinstance(owner, Transceiver) else "application"


def owner_of(
    index: int, section: Section, slots: Sequence[Slot], transceivers: list[Transceiver], data: DataSection
) -> Transceiver | DataSection:
    """Whose an offered m-line that can be used is, or becomes; a new transceiver is added to `transceivers`."""
    if section.kind == "application":
        return data
    present = slots[index].owner if index < len(slots) and slots[index].mid == section.mid else None
    if isinstance(present, Transceiver) and not present.stopped:
        return present
    for each in transceivers:
        # RFC 9429 section 5.10 takes those of addTrack only; like aiortc, we take those of addTransceiver too, unless
        # nothing could flow: of two that only send, as offers that cross bring, each needs an m-line of its own.
        unused = each.mid is None and not each.stopped and not each.stopping
        useless = each.direction == section.direction and section.direction in ("sendonly", "recvonly")
        if each.kind == section.kind and unused and each.adoptable and not useless:
            return each
    if isinstance(present, Transceiver):
        return present  # the application stopped it: it stays inactive
    made = Transceiver(section.kind, "recvonly", adoptable=False)
    transceivers.append(made)
    return made
