"""The payload types and extension ids of one bundle: what was used for something stays with it. Pure.

RFC 3264 section 8.3.2 and RFC 8285 section 5: within a session a number is not given another meaning; browsers refuse a
description that does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from peer.rtc.codecs import DEFAULT_IDS, RECEIVABLE, STATIC_TYPES, Codec, in_order, matches
from peer.rtc.sdp import SdpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.sdp import Description

FREE_TYPES = (*range(96, 128), *range(35, 64))
"""Dynamic payload types (RFC 3551 section 3, RFC 5761 section 4), in the order in which they are given."""
FREE_IDS = range(1, 15)
"""Ids of header extensions that fit into a one-byte header (RFC 8285 section 4.2)."""


@dataclass
class Numbers:
    """What each number means; bounded, as there are no more than 128 payload types and 255 ids."""

    formats: dict[int, Codec] = field(default_factory=dict)
    extensions: dict[int, str] = field(default_factory=dict)

    def copy(self) -> Numbers:
        return Numbers(dict(self.formats), dict(self.extensions))

    def learn(self, description: Description) -> None:
        """Take note of the numbers in a description, of either side.

        Another engine may give them new meanings in its next offer, as aiortc does: what was said last holds.
        """
        for section in description.media:
            if not section.rejected:
                for each in section.codecs:
                    self.formats.pop(each.payload_type, None)
                    self.formats[each.payload_type] = each
                for extension in section.extensions:
                    self.extensions.pop(extension.id, None)
                    self.extensions[extension.id] = extension.uri
        for section in description.media:
            if section.rejected:  # its writer may come back to these
                for each in section.codecs:
                    self.formats.setdefault(each.payload_type, each)
                for extension in section.extensions:
                    self.extensions.setdefault(extension.id, extension.uri)

    def offered(self, kind: str, agreed: Sequence[Codec]) -> list[Codec]:
        """The codecs of an offer: what was agreed first, then what else we can take, under their numbers.

        What no number is free for is left out.
        """
        own = RECEIVABLE[kind]
        mains = [
            replace(known, payload_type=each.payload_type)
            for each in agreed
            for known in own
            if not each.is_rtx and matches(known, each)
        ]
        for each in own:
            if not each.is_rtx and not any(matches(each, main) for main in mains):
                number = self._number(each)
                mains += [] if number is None else [replace(each, payload_type=number)]
        return in_order([*mains, *self._retransmissions(own, mains)])

    def extension(self, uri: str) -> int | None:
        """The id of a header extension, a free one if it has none yet; None when none is free."""
        known = [number for number, said in self.extensions.items() if said == uri]
        if known:
            return known[-1]
        wanted = DEFAULT_IDS.get(uri, 1)
        number = next((number for number in (wanted, *FREE_IDS) if number not in self.extensions), None)
        if number is not None:
            self.extensions[number] = uri
        return number

    def _retransmissions(self, own: Sequence[Codec], mains: Sequence[Codec]) -> list[Codec]:
        found = []
        for main in mains:
            capability = next(each for each in own if not each.is_rtx and matches(each, main))
            for each in own:
                if each.is_rtx and each.apt == capability.payload_type:
                    rtx = replace(each, parameters=(("apt", str(main.payload_type)),))
                    number = self._number(rtx)
                    found += [] if number is None else [replace(rtx, payload_type=number)]
        return found

    def _number(self, each: Codec) -> int | None:
        known = [number for number, said in self.formats.items() if matches(each, said)]
        if known:
            return known[-1]
        if each.payload_type in STATIC_TYPES:
            number = each.payload_type if each.payload_type not in self.formats else None
        else:
            free = (number for number in (each.payload_type, *FREE_TYPES) if number not in self.formats)
            number = next(free, None)
        if number is not None:
            self.formats[number] = replace(each, payload_type=number)
        return number


def check_numbers(description: Description) -> None:
    """Raises SdpError when a number means two things in one description (RFC 9143 section 9.1)."""
    formats: dict[int, tuple[str, str, int, int]] = {}
    extensions: dict[int, str] = {}
    for section in description.media:
        if section.rejected or section.mid not in (description.bundle or ()):
            continue
        for each in section.codecs:
            meaning = (each.kind, each.name.lower(), each.clock_rate, each.channels)
            if formats.setdefault(each.payload_type, meaning) != meaning:
                raise SdpError(f"its payload type {each.payload_type} means two things")
        for extension in section.extensions:
            if extensions.setdefault(extension.id, extension.uri) != extension.uri:
                raise SdpError(f"its header extension id {extension.id} means two things")
