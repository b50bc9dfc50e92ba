"""The codecs and header extensions that we know, and what two sides have in common (RFC 9429 section 5.3.1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STATIC_TYPES: dict[int, tuple[str, int, int]] = {0: ("PCMU", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1)}
"""Payload types that need no a=rtpmap (RFC 3551 section 6): name, clock rate, channels."""

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

EXTENSIONS: dict[str, tuple[str, ...]] = {
    "audio": (MID, AUDIO_LEVEL),
    "video": (MID, ABS_SEND_TIME, RID, REPAIRED_RID),
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
    pairs = []
    for part in fmtp.split(";"):
        key, _, value = part.strip().partition("=")
        if key:
            pairs.append((key.lower(), value))
    return Codec(kind, name, clock_rate, channels, payload_type, tuple(pairs), tuple(dict.fromkeys(feedback)))


_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")


def _video(number: int, name: str, fmtp: str = "") -> tuple[Codec, Codec]:
    main = codec("video", name, 90000, 1, number, fmtp, _VIDEO_FEEDBACK)
    return main, codec("video", "rtx", 90000, 1, number + 1, f"apt={number}")


_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
CAPABILITIES: dict[str, tuple[Codec, ...]] = {
    "audio": (
        codec("audio", "opus", 48000, 2, 96, "minptime=10;useinbandfec=1"),
        codec("audio", "G722", 8000, 1, 9),
        codec("audio", "PCMU", 8000, 1, 0),
        codec("audio", "PCMA", 8000, 1, 8),
    ),
    "video": (*_video(97, "VP8"), *_video(99, "H264", _H264 + "42001f"), *_video(101, "H264", _H264 + "42e01f")),
}
"""What we send and receive, in our order of preference, with the payload types of a first offer."""


def matches(ours: Codec, theirs: Codec) -> bool:
    """Whether two formats are the same codec, with parameters that make them take each other's stream."""
    if ours.name.lower() != theirs.name.lower() or ours.clock_rate != theirs.clock_rate:
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
    return True


def common(ours: Sequence[Codec], theirs: Sequence[Codec]) -> list[Codec]:
    """What we can take of what they offer, in their order, under their numbers, with the feedback that both know.

    A format for retransmission follows what it carries, if that is taken.
    """
    taken: dict[int, Codec] = {}
    for remote in theirs:
        known = next((own for own in ours if not own.is_rtx and matches(own, remote)), None)
        if known is not None and not remote.is_rtx:
            feedback = tuple(each for each in known.feedback if each in remote.feedback)
            taken[remote.payload_type] = replace(known, payload_type=remote.payload_type, feedback=feedback)
    if any(own.is_rtx for own in ours):
        for remote in theirs:
            if remote.is_rtx and remote.apt in taken:
                taken[remote.payload_type] = codec(
                    remote.kind, "rtx", remote.clock_rate, 1, remote.payload_type, f"apt={remote.apt}"
                )
    return _rtx_after_its_codec(list(taken.values()))


def preferred(codecs: Sequence[Codec], preferences: Sequence[Codec]) -> list[Codec]:
    """`codecs` cut down to `preferences` and in their order; all of them where there are no preferences.

    Formats for retransmission come along if the preferences name `rtx`.
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
    return _rtx_after_its_codec([*chosen, *(c for c in codecs if keep_rtx and c.is_rtx and c.apt in numbers)])


def _rtx_after_its_codec(codecs: Sequence[Codec]) -> list[Codec]:
    ordered: list[Codec] = []
    for each in codecs:
        if not each.is_rtx:
            ordered += [each, *(rtx for rtx in codecs if rtx.is_rtx and rtx.apt == each.payload_type)]
    return ordered


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


def _h264_profile(parameters: Mapping[str, str]) -> str | None:
    text = parameters.get("profile-level-id", "42e01f")  # as older browsers meant it when they said nothing
    try:
        number = int(text, 16)
    except ValueError:
        return None
    if len(text) != 6:
        return None
    idc, iop = number >> 16, (number >> 8) & 0xFF
    return next((name for name, known, mask, value in _H264_PROFILES if idc == known and iop & mask == value), None)


@dataclass
class Numbers:
    """The payload types and extension ids of one bundle: what a side has used for something stays with it.

    RFC 9429 section 5.2.2 and RFC 8285 section 5: a number is not given to another format within a session; browsers
    refuse a description that does.
    """

    formats: dict[tuple[str, str, int, int, str], int] = field(default_factory=dict)
    """Identity of a format -> its payload type."""
    used: set[int] = field(default_factory=set)
    extensions: dict[str, int] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)

    def copy(self) -> Numbers:
        return Numbers(dict(self.formats), set(self.used), dict(self.extensions), set(self.ids))

    def learn(self, codecs: Iterable[Codec], extensions: Iterable[tuple[int, str]]) -> None:
        """Take note of the numbers in a description, of either side."""
        for each in codecs:
            self.used.add(each.payload_type)
            for own in CAPABILITIES.get(each.kind, ()):
                if not each.is_rtx and matches(own, each):
                    self.formats[_identity(own)] = each.payload_type
        for number, uri in extensions:
            self.ids.add(number)
            self.extensions[uri] = number

    def learn_rtx(self, codecs: Iterable[Codec]) -> None:
        for each in codecs:
            if each.is_rtx and each.apt >= 0:
                self.formats[("rtx", each.kind, each.apt, 0, "")] = each.payload_type

    def number(self, codecs: Sequence[Codec]) -> list[Codec]:
        """The codecs under the numbers that they have in this session, new ones under numbers not used so far."""
        numbered: list[Codec] = []
        renamed: dict[int, int] = {}
        for each in codecs:
            if each.is_rtx:
                carried = renamed.get(each.apt, each.apt)
                key = ("rtx", each.kind, carried, 0, "")
                number = self._number(key, each.payload_type)
                numbered.append(replace(each, payload_type=number, parameters=(("apt", str(carried)),)))
            else:
                number = self._number(_identity(each), each.payload_type)
                renamed[each.payload_type] = number
                numbered.append(replace(each, payload_type=number))
        return numbered

    def extension(self, uri: str) -> int:
        """The id of a header extension, a free one of one-byte headers if it has none yet."""
        if uri not in self.extensions:
            wanted = DEFAULT_IDS.get(uri, 1)
            free = (number for number in (wanted, *range(1, 15)) if number not in self.ids)
            self.extensions[uri] = next(free, 14)
            self.ids.add(self.extensions[uri])
        return self.extensions[uri]

    def _number(self, key: tuple[str, str, int, int, str], wanted: int) -> int:
        if key not in self.formats:
            if wanted in STATIC_TYPES:
                self.formats[key] = wanted
            else:
                free = (n for n in (wanted, *range(96, 128), *range(35, 64)) if n not in self.used)
                self.formats[key] = next(free, wanted)
            self.used.add(self.formats[key])
        return self.formats[key]


def _identity(each: Codec) -> tuple[str, str, int, int, str]:
    distinguishing = {"packetization-mode", "profile-level-id", "profile-id"}
    told = ";".join(f"{name}={value.lower()}" for name, value in sorted(each.parameters) if name in distinguishing)
    return (each.name.lower(), each.kind, each.clock_rate, each.channels, told)
