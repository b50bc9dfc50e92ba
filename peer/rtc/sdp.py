"""Session descriptions (RFC 8866): text to lines and back without loss, and what the lines of an m-line say. Pure.

A description is what its sender wrote: `str(parse(text))` gives back every line, known or not. Reading is tolerant
(an attribute that has not the shape it should have does not count) and bounded (by characters, m-lines, and lines of
one attribute): its time grows with the text and no faster. What is understood of an m-line is read once, into a
`Section`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from peer.rtc.codecs import STATIC_TYPES, Codec, codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_CHARACTERS = 512 * 1024
"""Some 60 m-lines as Chromium writes them; longer descriptions are refused."""
MAX_SECTIONS = 64
MAX_REPEATS = 200
"""Lines of one attribute in one m-line that are read; those beyond do not count."""
MAX_LAYERS = 16
"""Simulcast layers of one m-line; those beyond do not count."""
UNLIMITED = (1 << 63) - 1
"""Bytes of a message to someone who sets no limit."""

DIRECTIONS = ("inactive", "sendonly", "recvonly", "sendrecv")
"""In this order bit 0 says that it sends, bit 1 that it receives."""

_MLINE = re.compile(
    r"m=(?P<kind>[\w-]+) (?P<port>\d{1,5})(/\d{1,5})? (?P<protocol>[\w/.-]+)(?P<formats>( [!-~]+)+)", re.ASCII
)
_SHAPES = {
    name: re.compile(shape, re.ASCII)
    for name, shape in {
        "mid": r"[\w!#$%&'*+.^`{|}~-]{1,64}",  # a token (RFC 8866 section 9), as it comes back in what we write
        "ice-ufrag": r"[A-Za-z0-9+/]{4,256}",
        "ice-pwd": r"[A-Za-z0-9+/]{22,256}",
        "fingerprint": r"((?i:sha-\d{1,3})) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,127})",
        "setup": r"active|passive|actpass|holdconn",
        "ssrc": r"(\d{1,10}) ([\w-]{1,32})(?::(.{0,256}))?",
        "ssrc-group": r"([\w-]{1,16})((?: \d{1,10})+)",
        "rtpmap": r"(\d{1,3}) ([\w.-]{1,64})/(\d{1,7})(?:/(\d{1,2}))?",
        "fmtp": r"(\d{1,3}) (.{1,2048})",
        "rtcp-fb": r"(\d{1,3}|\*) (\S.{0,64})",
        "extmap": r"(\d{1,3})(?:/(\w{1,16}))? (\S{1,256})(?: .*)?",
        "msid": r"(\S{1,256})(?: (\S{1,256}))?",
        "rid": r"([\w-]{1,32}) (send|recv)(?: ([!-~]{1,256}))?",
        "simulcast": r".{1,1024}",
        "sctp-port": r"\d{1,5}",
        "max-message-size": r"\d{1,12}",
        "candidate": r".{1,512}",
        **dict.fromkeys(
            (*DIRECTIONS, "rtcp-mux", "rtcp-rsize", "bundle-only", "end-of-candidates", "extmap-allow-mixed"), ""
        ),
    }.items()
}
"""The attributes that are read, and what their values look like."""


class SdpError(ValueError):
    """The text is not a session description that can be used; the message says where."""


def sends(direction: str) -> bool:
    return direction in ("sendrecv", "sendonly")


def receives(direction: str) -> bool:
    return direction in ("sendrecv", "recvonly")


def direction_of(*, send: bool, receive: bool) -> str:
    return DIRECTIONS[send | receive << 1]


def reverse(direction: str) -> str:
    """The direction as the other side sees it."""
    return direction_of(send=receives(direction), receive=sends(direction))


def intersect(first: str, second: str) -> str:
    """What both allow."""
    return DIRECTIONS[DIRECTIONS.index(first) & DIRECTIONS.index(second)]


@dataclass(frozen=True, slots=True)
class Extension:
    """A header extension (RFC 8285)."""

    id: int
    uri: str
    direction: str = "sendrecv"


@dataclass
class Section:
    """One m-line and the lines below it."""

    mline: str
    lines: list[str] = field(default_factory=list)
    inherited: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """Attributes of the session part, some of which hold for m-lines that do not say otherwise."""

    @cached_property
    def _match(self) -> re.Match[str]:
        match = _MLINE.fullmatch(self.mline)
        assert match is not None  # parse() and the writer take no other
        return match

    @property
    def kind(self) -> str:
        """The media type: `audio`, `video`, `application`, or one that we do not know."""
        return self._match["kind"]

    @property
    def port(self) -> int:
        return int(self._match["port"])

    @property
    def protocol(self) -> str:
        return self._match["protocol"]

    @cached_property
    def formats(self) -> list[str]:
        return self._match["formats"].split()

    @cached_property
    def attributes(self) -> dict[str, list[str]]:
        """The values of each attribute that we know, in order, of those that have the shape they should have."""
        return read_attributes(self.lines)

    def values(self, name: str) -> list[str]:
        """All values of an attribute; those of the session part when the m-line has none."""
        return self.attributes.get(name) or self.inherited.get(name, [])

    def value(self, name: str, *, inherited: bool = False) -> str | None:
        """The first value of an attribute ("" where it has none), None when it is absent; maybe the session's."""
        found = self.values(name) if inherited else self.attributes.get(name)
        return found[0] if found else None

    @property
    def mid(self) -> str:
        return self.value("mid") or ""

    @property
    def rejected(self) -> bool:
        """Port 0 says so (RFC 9143 section 6: unless the m-line is bundle-only)."""
        return self.port == 0 and self.value("bundle-only") is None

    @cached_property
    def direction(self) -> str:
        """As its writer sees it; `sendrecv` when nothing is said (RFC 8866 section 6.7)."""
        said = [*self.attributes, *self.inherited]
        return next((name for name in said if name in DIRECTIONS), "sendrecv")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """ICE user name fragment and password."""
        ufrag, password = self.value("ice-ufrag", inherited=True), self.value("ice-pwd", inherited=True)
        return (ufrag, password) if ufrag and password else None

    @property
    def setup(self) -> str | None:
        """The DTLS role (RFC 8842): `active`, `passive`, `actpass` or `holdconn`; None when nothing is said."""
        return self.value("setup", inherited=True)

    @property
    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        """Hash function and value, of the certificates (RFC 8122)."""
        parts = (value.split(" ", 1) for value in self.values("fingerprint"))
        return tuple((name.lower(), digest.upper()) for name, digest in parts)

    @property
    def candidates(self) -> list[str]:
        return self.attributes.get("candidate", [])

    @property
    def candidates_end(self) -> bool:
        return self.value("end-of-candidates", inherited=True) is not None

    @property
    def streams(self) -> tuple[tuple[str, str], ...]:
        """Ids of media stream and track (RFC 8830); `-` for no stream; "" for a track without an id."""
        said = self.attributes.get("msid") or [
            # As it was written in "plan B", and still is beside a=msid.
            entry["msid"]
            for entry in self.ssrcs.values()
            if "msid" in entry
        ]
        parts = (value.partition(" ") for value in said)
        return tuple(dict.fromkeys((stream, track) for stream, _, track in parts))

    @cached_property
    def ssrcs(self) -> dict[int, dict[str, str]]:
        """What is said of each SSRC (RFC 5576)."""
        found: dict[int, dict[str, str]] = {}
        for value in self.attributes.get("ssrc", []):
            match = _SHAPES["ssrc"].fullmatch(value)
            if match is not None and int(match[1]) < 1 << 32:
                found.setdefault(int(match[1]), {}).setdefault(match[2], match[3] or "")
        return found

    @property
    def repairs(self) -> dict[int, int]:
        """SSRC of retransmissions -> SSRC of what they repair (a=ssrc-group:FID, RFC 5576 section 4.2)."""
        found = {}
        for value in self.attributes.get("ssrc-group", []):
            semantics, *ids = value.split()
            if semantics == "FID" and len(ids) == 2 and max(map(int, ids)) < 1 << 32:
                found[int(ids[1])] = int(ids[0])
        return found

    @property
    def extensions(self) -> list[Extension]:
        found = []
        for value in self.values("extmap"):
            match = _SHAPES["extmap"].fullmatch(value)
            if match is not None and 1 <= int(match[1]) <= 255 and int(match[1]) != 15:
                direction = match[2] if match[2] in DIRECTIONS else "sendrecv"
                found.append(Extension(int(match[1]), match[3], direction))
        return found

    @property
    def sending_layers(self) -> dict[str, str]:
        """The simulcast layers that the writer sends, in its order (RFC 8853): restriction ids, and restrictions."""
        parts = (_SHAPES["rid"].fullmatch(value) for value in self.attributes.get("rid", []))
        rids = {match[1]: match[3] or "" for match in parts if match is not None and match[2] == "send"}
        simulcast = re.search(r"(?:^| )send +(\S+)", self.value("simulcast") or "")
        if simulcast is None:
            return {}
        # Alternatives are separated by commas, `~` says that a layer begins paused.
        layers = (each.lstrip("~").split(",")[0] for each in simulcast[1].split(";"))
        return {layer: rids[layer] for layer in list(dict.fromkeys(layers))[:MAX_LAYERS] if layer in rids}

    @cached_property
    def codecs(self) -> list[Codec]:
        """The codecs in the order of the m-line, with their payload types, parameters and feedback."""
        maps: dict[int, tuple[str, int, int]] = {}
        for value in self.attributes.get("rtpmap", []):
            match = _SHAPES["rtpmap"].fullmatch(value)
            if match is not None and int(match[3]) > 0:
                maps.setdefault(int(match[1]), (match[2], int(match[3]), int(match[4] or 1)))
        parameters: dict[int, list[str]] = {}
        for value in self.attributes.get("fmtp", []):
            format_, _, text = value.partition(" ")
            parameters.setdefault(int(format_), []).append(text)
        feedback: dict[str, list[str]] = {}
        for value in self.attributes.get("rtcp-fb", []):
            format_, _, text = value.partition(" ")
            feedback.setdefault(format_, []).append(text)
        found = []
        for number in _payload_types(self.formats):
            known = maps.get(number) or (STATIC_TYPES.get(number) if self.kind == "audio" else None)
            if known is not None:
                said = (*feedback.get(str(number), ()), *feedback.get("*", ()))
                found.append(codec(self.kind, *known, number, ";".join(parameters.get(number, ())), said))
        return found

    @property
    def sctp_port(self) -> int | None:
        """The port of the data channels' association (RFC 8841), also as written before that; None for none."""
        legacy = self.protocol == "DTLS/SCTP"
        value = self.formats[0] if legacy else self.value("sctp-port")
        if value is None or re.fullmatch(r"\d{1,5}", value, re.ASCII) is None:
            return None
        return int(value) if 0 < int(value) < 1 << 16 else None

    @property
    def max_message_size(self) -> int:
        """Bytes (RFC 8841 section 6.1: 64 KiB when nothing is said, 0 for no limit)."""
        return int(self.value("max-message-size") or 65536) or UNLIMITED

    def name(self, mid: str) -> None:
        """Give an m-line that has none an identification tag."""
        self.lines.append(f"a=mid:{mid}")
        vars(self).pop("attributes", None)


@dataclass
class Description:
    """A session description: the session part and the m-lines, in order."""

    session: list[str]
    media: list[Section]

    def __str__(self) -> str:
        lines = [*self.session]
        for section in self.media:
            lines += [section.mline, *section.lines]
        return "\r\n".join(lines) + "\r\n"

    @cached_property
    def bundle(self) -> list[str] | None:
        """The mids of the BUNDLE group (RFC 9143), the one with the transport first; None where there is no group."""
        group = next((line for line in self.session if f"{line} ".startswith("a=group:BUNDLE ")), None)
        if group is None:
            return None
        present = {section.mid for section in self.media if section.mid}
        return list(dict.fromkeys(mid for mid in group.split()[1:] if mid in present))

    @cached_property
    def lite(self) -> bool:
        return "a=ice-lite" in self.session

    def section(self, mid: str) -> Section | None:
        return next((section for section in self.media if section.mid == mid), None)

    def name_sections(self, known: Sequence[str]) -> None:
        """Give m-lines without a mid the one that is known of their place, else a free one."""
        taken = {*known, *(section.mid for section in self.media)}
        for index, section in enumerate(self.media):
            if section.mid:
                continue
            mid = known[index] if index < len(known) else ""
            if not mid or self.section(mid) is not None:
                mid = next(text for text in map(str, range(len(taken) + 1)) if text not in taken)
            taken.add(mid)
            section.name(mid)
        vars(self).pop("bundle", None)


def parse(text: str) -> Description:
    """Split a description into its sections.

    Raises:
        SdpError: it is too long, has too many m-lines, one that is none, or two with the same mid.
    """
    if len(text) > MAX_CHARACTERS:
        raise SdpError(f"the description is longer than {MAX_CHARACTERS} characters")
    session: list[str] = []
    media: list[Section] = []
    inherited: dict[str, list[str]] = {}
    for line in filter(None, (raw.strip(" \t") for raw in re.split(r"\r\n|\r|\n", text))):
        if line.startswith("m="):
            if _MLINE.fullmatch(line) is None:
                raise SdpError(f"not an m-line: {line[:60]!r}")
            if not media:
                inherited = read_attributes(session)
            if len(media) == MAX_SECTIONS:
                raise SdpError(f"it has more than {MAX_SECTIONS} m-lines")
            media.append(Section(line, inherited=inherited))
        else:
            (media[-1].lines if media else session).append(line)
    if not session or not session[0].startswith("v="):
        raise SdpError("it does not begin with v=0")
    mids = [section.mid for section in media if section.mid]
    if len(set(mids)) < len(mids):
        raise SdpError("two of its m-lines have the same mid")  # RFC 5888 section 4: unique
    return Description(session, media)


def read_attributes(lines: Iterable[str]) -> dict[str, list[str]]:
    """The attributes that we know, in the order of their first appearance; see `MAX_REPEATS`."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        shape = _SHAPES.get(name)
        if shape is not None and shape.fullmatch(value) is not None:
            values = found.setdefault(name, [])
            if len(values) < MAX_REPEATS:
                values.append(value)
    return found


def _payload_types(formats: list[str]) -> list[int]:
    """Those that can be payload types; 64 to 95 look like RTCP beside the marker (RFC 5761 section 4)."""
    numbers = (int(text) for text in formats if re.fullmatch(r"\d{1,3}", text, re.ASCII))
    return [number for number in dict.fromkeys(numbers) if number < 128 and not 64 <= number < 96]
