"""Session descriptions (RFC 8866): text to lines and back without loss, and what the lines of an m-line say. Pure.

A description is what its sender wrote: `str(parse(text))` gives back every line, known or not. Reading is tolerant
(an attribute that has not the shape it should have does not count) and bounded (by characters, m-lines, and lines of
one attribute). What is understood of an m-line is read once, into a `Section`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from peer.rtc.codecs import STATIC_TYPES, Codec, codec

MAX_CHARACTERS = 128 * 1024
MAX_SECTIONS = 64
MAX_REPEATS = 200
"""Lines of one attribute in one m-line that are read; those beyond do not count."""

DIRECTIONS = ("inactive", "sendonly", "recvonly", "sendrecv")
"""In this order bit 0 says that it sends, bit 1 that it receives."""

_MLINE = re.compile(
    r"m=(?P<kind>[\w-]+) (?P<port>\d{1,5})(/\d{1,5})? (?P<protocol>[\w/.-]+)(?P<formats>( \S+)+)", re.ASCII
)
_SHAPES = {
    name: re.compile(shape, re.ASCII)
    for name, shape in {
        "mid": r"[^\s:]{1,32}",
        "ice-ufrag": r"[A-Za-z0-9+/]{4,256}",
        "ice-pwd": r"[A-Za-z0-9+/]{22,256}",
        "fingerprint": r"(sha-\d{1,3}) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,127})",
        "setup": r"active|passive|actpass|holdconn",
        "ssrc": r"(\d{1,10}) ([\w-]{1,32})(?::(.{0,256}))?",
        "ssrc-group": r"([\w-]{1,16})((?: \d{1,10})+)",
        "rtpmap": r"(\d{1,3}) ([\w.-]{1,64})/(\d{1,7})(?:/(\d{1,2}))?",
        "fmtp": r"(\d{1,3}) (.{1,512})",
        "rtcp-fb": r"(\d{1,3}|\*) (\S.{0,64})",
        "extmap": r"(\d{1,3})(?:/(\w{1,16}))? (\S{1,256})(?: .*)?",
        "msid": r"(\S{1,256})(?: (\S{1,256}))?",
        "rid": r"([\w-]{1,32}) (send|recv)(?: .*)?",
        "simulcast": r".{1,256}",
        "sctp-port": r"\d{1,5}",
        "sctpmap": r"(\d{1,5}) .*",
        "max-message-size": r"\d{1,12}",
    }.items()
}


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
    """One m-line and the lines below it; `session` are the lines of the session part, of which some are inherited."""

    mline: str
    lines: list[str] = field(default_factory=list)
    session: list[str] = field(default_factory=list, repr=False)

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

    @property
    def formats(self) -> list[str]:
        return self._match["formats"].split()

    @cached_property
    def attributes(self) -> dict[str, list[str]]:
        """The values of each attribute, in order, of those that have the shape they should have."""
        return _attributes(self.lines)

    def value(self, name: str, *, inherited: bool = False) -> str | None:
        """The first value of an attribute ("" where it has none), None when it is absent; maybe the session's."""
        found = self.attributes.get(name)
        if found is None and inherited:
            found = _attributes(self.session).get(name)
        return found[0] if found else None

    @property
    def mid(self) -> str:
        return self.value("mid") or ""

    @property
    def rejected(self) -> bool:
        """Port 0 says so (RFC 8843 section 6: unless the m-line is bundle-only)."""
        return self.port == 0 and self.value("bundle-only") is None

    @property
    def direction(self) -> str:
        """As its writer sees it; `sendrecv` when nothing is said (RFC 8866 section 6.7)."""
        for lines in (self.lines, self.session):
            for line in lines:
                if line.startswith("a=") and line[2:] in DIRECTIONS:
                    return line[2:]
        return "sendrecv"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """ICE user name fragment and password."""
        ufrag, password = self.value("ice-ufrag", inherited=True), self.value("ice-pwd", inherited=True)
        return (ufrag, password) if ufrag and password else None

    @property
    def setup(self) -> str:
        """The DTLS role (RFC 8842); `actpass` when nothing is said in an offer, so take that."""
        return self.value("setup", inherited=True) or "actpass"

    @property
    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        """Hash function and value, of the certificates (RFC 8122)."""
        found = self.attributes.get("fingerprint") or _attributes(self.session).get("fingerprint", [])
        parts = (value.split(" ", 1) for value in found)
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
        found = []
        for value in self.attributes.get("msid", []):
            stream, _, track = value.partition(" ")
            found.append((stream, track))
        if not found:  # as it was written in "plan B", and still is beside a=msid
            for entry in self.ssrcs.values():
                if "msid" in entry:
                    stream, _, track = entry["msid"].partition(" ")
                    found.append((stream, track))
        return tuple(dict.fromkeys(found))

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
            if semantics == "FID" and len(ids) == 2:
                found[int(ids[1])] = int(ids[0])
        return found

    @property
    def extensions(self) -> list[Extension]:
        found = []
        for value in self.attributes.get("extmap", []):
            match = _SHAPES["extmap"].fullmatch(value)
            if match is not None and 1 <= int(match[1]) <= 255 and int(match[1]) != 15:
                direction = match[2] if match[2] in DIRECTIONS else "sendrecv"
                found.append(Extension(int(match[1]), match[3], direction))
        return found

    @property
    def sending_layers(self) -> tuple[str, ...]:
        """The restriction ids of the simulcast layers that the writer sends, in its order (RFC 8853)."""
        rids = {value.split()[0] for value in self.attributes.get("rid", []) if value.split()[1] == "send"}
        simulcast = (self.value("simulcast") or "").strip()
        match = re.search(r"\bsend (\S+)", simulcast)
        if match is None:
            return tuple(value.split()[0] for value in self.attributes.get("rid", []) if value.split()[1] == "send")
        layers = [each.lstrip("~").split(",")[0].lstrip("~") for each in match[1].split(";")]
        return tuple(layer for layer in dict.fromkeys(layers) if layer in rids)

    @cached_property
    def codecs(self) -> list[Codec]:
        """The codecs in the order of the m-line, with their payload types, parameters and feedback."""
        maps: dict[int, tuple[str, int, int]] = {}
        for value in self.attributes.get("rtpmap", []):
            match = _SHAPES["rtpmap"].fullmatch(value)
            if match is not None and int(match[3]) > 0:
                maps.setdefault(int(match[1]), (match[2], int(match[3]), int(match[4] or 1)))
        parameters: dict[int, str] = {}
        for value in self.attributes.get("fmtp", []):
            format_, _, text = value.partition(" ")
            parameters.setdefault(int(format_), text)
        feedback: dict[str, list[str]] = {}
        for value in self.attributes.get("rtcp-fb", []):
            format_, _, text = value.partition(" ")
            feedback.setdefault(format_, []).append(text)
        found = []
        for number in _payload_types(self.formats):
            known = maps.get(number) or (STATIC_TYPES.get(number) if self.kind == "audio" else None)
            if known is not None:
                said = (*feedback.get(str(number), ()), *feedback.get("*", ()))
                found.append(codec(self.kind, *known, number, parameters.get(number, ""), said))
        return found

    @property
    def sctp_port(self) -> int | None:
        """The port of the data channels' association (RFC 8841), also as written before that."""
        if self.protocol == "DTLS/SCTP":
            return int(self.formats[0]) if re.fullmatch(r"\d{1,5}", self.formats[0], re.ASCII) else None
        value = self.value("sctp-port")
        return int(value) if value else None

    @property
    def max_message_size(self) -> int:
        """Bytes (RFC 8841 section 6.1: 64 KiB when nothing is said)."""
        return int(self.value("max-message-size") or 65536)


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

    @property
    def bundle(self) -> list[str] | None:
        """The mids of the BUNDLE group (RFC 8843), the one with the transport first; None where there is no group."""
        for line in self.session:
            if line.startswith("a=group:BUNDLE"):
                return line.split()[1:]
        return None

    @property
    def lite(self) -> bool:
        return "a=ice-lite" in self.session

    def section(self, mid: str) -> Section | None:
        return next((section for section in self.media if section.mid == mid), None)


def parse(text: str) -> Description:
    """Split a description into its sections.

    Raises:
        SdpError: it is too long, has too many m-lines, one that is none, or two with the same mid.
    """
    if len(text) > MAX_CHARACTERS:
        raise SdpError(f"the description is longer than {MAX_CHARACTERS} characters")
    session: list[str] = []
    media: list[Section] = []
    for line in filter(None, (raw.strip() for raw in re.split(r"\r\n|\r|\n", text))):
        if line.startswith("m="):
            if _MLINE.fullmatch(line) is None:
                raise SdpError(f"not an m-line: {line[:60]!r}")
            media.append(Section(line, session=session))
        else:
            (media[-1].lines if media else session).append(line)
    if not session or not session[0].startswith("v="):
        raise SdpError("it does not begin with v=0")
    if len(media) > MAX_SECTIONS:
        raise SdpError(f"it has {len(media)} m-lines; at most {MAX_SECTIONS} are possible")
    mids = [section.mid for section in media if section.mid]
    if len(set(mids)) < len(mids):
        raise SdpError("two of its m-lines have the same mid")  # RFC 9143 section 9.1: unique
    return Description(session, media)


def _attributes(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        shape = _SHAPES.get(name)
        if shape is None or shape.fullmatch(value) is not None:
            values = found.setdefault(name, [])
            if len(values) < MAX_REPEATS:
                values.append(value)
    return found


def _payload_types(formats: list[str]) -> list[int]:
    """Those that can be payload types; 64 to 95 look like RTCP beside the marker (RFC 5761 section 4)."""
    numbers = (int(text) for text in formats if re.fullmatch(r"\d{1,3}", text, re.ASCII))
    return [number for number in dict.fromkeys(numbers) if number < 128 and not 64 <= number < 96]
