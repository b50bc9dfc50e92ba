"""The codecs and header extensions that we know, and what two sides have in common (RFC 9429 section 5.3.1). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STATIC_TYPES: dict[int, tuple[str, int, int]] = {0: ("PCMU", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1)}
"""Payload types that need no a=rtpmap (RFC 3551 section 6): name, clock rate, channels."""

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
TRANSPORT_WIDE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

EXTENSIONS: dict[str, tuple[str, ...]] = {
    "audio": (MID, AUDIO_LEVEL, TRANSPORT_WIDE),
    "video": (MID, ABS_SEND_TIME, RID, REPAIRED_RID, TRANSPORT_WIDE),
}
"""What we take, by media type; ids are given when it is offered first."""

DEFAULT_IDS = {MID: 1, AUDIO_LEVEL: 2, ABS_SEND_TIME: 3, RID: 4, REPAIRED_RID: 5}


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of an m-line. Names as in the registry of RTP payload formats, in any case."""

    kind: str
    name: str
    clock_rate: int
    channels: int
    payload_type: int
    parameters: tuple[tuple[str, str], ...] = ()
    """Of a=fmtp, names in lower case, in order; a parameter without a value has ""."""
    feedback: tuple[str, ...] = ()
    """Of a=rtcp-fb: `nack`, `nack pli`, `goog-remb`."""

    @property
    def is_rtx(self) -> bool:
        return self.name.lower() == "rtx"

    @property
    def is_event(self) -> bool:
        """Whether it is keys that are pressed (RFC 4733), which go along with the sound of another codec."""
        return self.name.lower() == "telephone-event"

    @property
    def is_main(self) -> bool:
        """Whether an m-line can be about it alone."""
        return not self.is_rtx and not self.is_event

    @property
    def apt(self) -> int:
        """Payload type of what an rtx format carries (RFC 4588), -1 if it does not say."""
        text = dict(self.parameters).get("apt", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1

    @property
    def fmtp(self) -> str:
        return ";".join(f"{name}={value}" if value else name for name, value in self.parameters)

    @property
    def rtpmap(self) -> str:
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")


def codec(
    kind: str,
    name: str,
    clock_rate: int,
    channels: int,
    payload_type: int,
    fmtp: str = "",
    feedback: Iterable[str] = (),
) -> Codec:
    """From what a=rtpmap, a=fmtp and a=rtcp-fb say; a parameter that is given twice counts as it was given first."""
    pairs: dict[str, str] = {}
    for part in fmtp.split(";"):
        key, _, value = part.strip().partition("=")
        if key:
            pairs.setdefault(key.lower(), value)
    return Codec(kind, name, clock_rate, channels, payload_type, tuple(pairs.items()), tuple(dict.fromkeys(feedback)))


TRANSPORT_FEEDBACK = "transport-cc"
_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", TRANSPORT_FEEDBACK)


def _video(number: int, name: str, fmtp: str = "") -> tuple[Codec, Codec]:
    main = codec("video", name, 90000, 1, number, fmtp, _VIDEO_FEEDBACK)
    return main, codec("video", "rtx", 90000, 1, number + 1, f"apt={number}")


_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
CAPABILITIES: dict[str, tuple[Codec, ...]] = {
    "audio": (
        codec("audio", "opus", 48000, 2, 96, "minptime=10;useinbandfec=1", ["nack", TRANSPORT_FEEDBACK]),
        codec("audio", "G722", 8000, 1, 9),
        codec("audio", "PCMU", 8000, 1, 0),
        codec("audio", "PCMA", 8000, 1, 8),
    ),
    "video": (*_video(97, "VP8"), *_video(99, "H264", _H264 + "42001f"), *_video(101, "H264", _H264 + "42e01f")),
}
"""What we send and receive, in our order of preference, with the payload types of a first offer."""

EVENTS = tuple(
    # RFC 4733 section 2.4.1: the events 0 to 15 are the keys. RFC 4733 section 2.1: on the clock of the sound they go
    # along with, so there is one of each.
    codec("audio", "telephone-event", clock_rate, 1, number, "0-15")
    for clock_rate, number in ((48000, 110), (8000, 126))
)

RECEIVABLE: dict[str, tuple[Codec, ...]] = {
    "audio": (*CAPABILITIES["audio"], *EVENTS),
    "video": (
        *CAPABILITIES["video"],
        *_video(103, "VP9", "profile-id=0"),
        *_video(105, "AV1", "level-idx=5;profile=0;tier=0"),
    ),
}
"""What is negotiated: also what we only receive, least preferred, and keys, which go along with sound. We send what we
can send of it (`sendable`)."""


@lru_cache(maxsize=1024)
def matches(ours: Codec, theirs: Codec) -> bool:
    """Whether two formats are the same codec, with parameters that make them take each other's stream."""
    if (ours.kind, ours.name.lower(), ours.clock_rate) != (theirs.kind, theirs.name.lower(), theirs.clock_rate):
        return False
    if ours.kind == "audio" and ours.channels != theirs.channels:
        return False
    mine, others = dict(ours.parameters), dict(theirs.parameters)
    match ours.name.lower():
        case "h264":
            # RFC 6184 section 8.2.2: packetization mode and profile have to be the same, the level may differ.
            return mine.get("packetization-mode", "0") == others.get("packetization-mode", "0") and (
                _h264_profile(mine) == _h264_profile(others) is not None
            )
        case "vp9":
            return mine.get("profile-id", "0") == others.get("profile-id", "0")
        case "av1":
            return mine.get("profile", "0") == others.get("profile", "0")
        case "rtx":
            return ours.apt == theirs.apt
    return True


def carries(agreed: Codec, stream: Codec) -> bool:
    """Whether a stream can be sent as what was agreed: as that codec, in a profile that its receivers decode."""
    if stream.name.lower() == "h264" == agreed.name.lower():
        theirs = dict(agreed.parameters)
        profile, decoded = _h264_profile(dict(stream.parameters)), _h264_profile(theirs)
        if profile is None or theirs.get("packetization-mode", "0") != "1":
            return False
        return decoded == profile or decoded in _H264_DECODED_BY.get(profile, ())
    return matches(agreed, stream)


def common(ours: Sequence[Codec], theirs: Sequence[Codec]) -> list[Codec]:
    """What we can take of what they offer, in their order, under their numbers, with the feedback that both know.

    A format for retransmission follows what it carries, if that is taken; the keys come last.
    """
    taken: dict[int, Codec] = {}
    for remote in theirs:
        known = next((own for own in ours if not own.is_rtx and matches(own, remote)), None)
        if known is not None:
            feedback = tuple(each for each in known.feedback if each in remote.feedback)
            parameters = _h264_answer(known, remote) if known.name == "H264" else known.parameters
            taken[remote.payload_type] = replace(
                known, payload_type=remote.payload_type, parameters=parameters, feedback=feedback
            )
    if any(own.is_rtx for own in ours):
        for remote in theirs:
            if remote.is_rtx and remote.apt in taken:
                taken[remote.payload_type] = codec(
                    remote.kind, "rtx", remote.clock_rate, 1, remote.payload_type, f"apt={remote.apt}"
                )
    return in_order(list(taken.values()))


def agreed(offered: Sequence[Codec], answered: Sequence[Codec]) -> list[Codec]:
    """What an answer takes of what was offered: under the same numbers (RFC 9429 section 5.3.1)."""
    numbers = {each.payload_type: each for each in offered}
    kept = [each for each in answered if each.payload_type in numbers and matches(numbers[each.payload_type], each)]
    return common(offered, kept)


def sendable(codecs: Sequence[Codec]) -> list[Codec]:
    """Those of the agreed codecs that we can send, with their retransmissions; the first is what we send."""
    mains = [each for each in codecs if any(own.is_main and matches(own, each) for own in CAPABILITIES[each.kind])]
    numbers = {each.payload_type for each in mains}
    return in_order([*mains, *(each for each in codecs if each.is_rtx and each.apt in numbers)])


def preferred(codecs: Sequence[Codec], preferences: Sequence[Codec]) -> list[Codec]:
    """`codecs` cut down to `preferences` and in their order; all of them where there are no preferences.

    Formats for retransmission come along if the preferences name `rtx`, keys if they name `telephone-event`.
    """
    if not preferences:
        return list(codecs)
    keep_rtx = any(wanted.is_rtx for wanted in preferences)
    chosen: list[Codec] = []
    for wanted in preferences:
        for each in codecs:
            if not wanted.is_rtx and not each.is_rtx and matches(wanted, each) and each not in chosen:
                chosen.append(each)
    numbers = {each.payload_type for each in chosen}
    return in_order([*chosen, *(c for c in codecs if keep_rtx and c.is_rtx and c.apt in numbers)])


def in_order(codecs: Sequence[Codec]) -> list[Codec]:
    """Each codec with its retransmissions after it, the keys at the end: they are nothing by themselves."""
    ordered: list[Codec] = []
    for each in codecs:
        if each.is_main:
            ordered += [each, *(rtx for rtx in codecs if rtx.is_rtx and rtx.apt == each.payload_type)]
    return [*ordered, *(each for each in codecs if each.is_event)] if ordered else []


def event_for(codecs: Sequence[Codec], main: Codec) -> Codec | None:
    """As what keys are sent among the sound of `main`, None where the other side takes none.

    On its clock if possible (RFC 4733 section 2.1). Firefox knows them at 8000 Hz only, and takes those on any clock.
    """
    events = sorted((each for each in codecs if each.is_event), key=lambda each: each.clock_rate != main.clock_rate)
    return events[0] if events else None


def one_event(codecs: Sequence[Codec]) -> list[Codec]:
    """The codecs of an answer, with keys on the clock of the first alone, if they are offered on that.

    Of several, Chromium takes the slowest for any sound, and then presses keys for a sixth of the time asked for.
    """
    event = event_for(codecs, codecs[0]) if codecs else None
    fits = event is not None and event.clock_rate == codecs[0].clock_rate
    return [each for each in codecs if not (fits and each.is_event) or each is event]


_H264_PROFILES = (
    # profile_idc, mask and value of profile_iop (RFC 6184 section 8.1)
    ("constrained baseline", 0x42, 0x4F, 0x40),
    ("constrained baseline", 0x4D, 0x8F, 0x80),
    ("constrained baseline", 0x58, 0xCF, 0xC0),
    ("baseline", 0x42, 0x4F, 0x00),
    ("baseline", 0x58, 0xCF, 0x80),
    ("main", 0x4D, 0xAF, 0x00),
    ("high", 0x64, 0xFF, 0x00),
    ("constrained high", 0x64, 0xFF, 0x0C),
)


_H264_DECODED_BY = {
    "constrained baseline": ("baseline", "main", "constrained high", "high"),
    "main": ("high",),
    "constrained high": ("high",),
}
"""Profiles whose decoders take a stream of another one, too (H.264 section A.2)."""


def _h264_profile(parameters: Mapping[str, str]) -> str | None:
    # RFC 6184 section 8.1: Baseline, when nothing is said.
    text = parameters.get("profile-level-id", "42000a")
    if re.fullmatch(r"[0-9A-Fa-f]{6}", text) is None:
        return None
    idc, iop = int(text[:2], 16), int(text[2:4], 16)
    return next((name for name, known, mask, value in _H264_PROFILES if idc == known and iop & mask == value), None)


def _h264_answer(own: Codec, remote: Codec) -> tuple[tuple[str, str], ...]:
    """RFC 6184 section 8.2.2: the same level both ways, the lower one, unless both sides allow them to differ."""
    mine, said = dict(own.parameters), dict(remote.parameters)
    profile, level = mine.get("profile-level-id", ""), said.get("profile-level-id", "")[4:].lower()
    if mine.get("level-asymmetry-allowed") == said.get("level-asymmetry-allowed") == "1" or not profile or not level:
        return own.parameters
    mine["profile-level-id"] = profile[:4] + min(profile[4:], level)
    return tuple(mine.items())
