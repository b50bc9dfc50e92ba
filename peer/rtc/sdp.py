"""Session descriptions (RFC 8866): what a remote sent is made safe for the engine, nothing is guessed. Pure.

Two directions:

- `for_engine()` takes a remote description and keeps, of every m-line, only the attributes that are understood. An
  m-line that cannot be used (rejected, stopped, of an unknown kind, without a codec in common, outside the bundle) is
  replaced by an inactive stand-in with the same place and mid, since m-lines are addressed by their place for the life
  of a session (RFC 9429 section 5.2.2).
- `for_remote()` takes the engine's answer and turns the stand-ins back into rejected m-lines (port 0, RFC 9429 section
  5.3.1).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address

MAX_BYTES = 128 * 1024
MAX_SECTIONS = 32
MAX_CANDIDATES = 100
MAX_REPEATS = 200
"""Lines of one attribute in one m-line that are read: the engine's parser takes the square of their number in time."""

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_KEPT_ATTRIBUTES = frozenset(
    "mid rtcp-mux ice-ufrag ice-pwd ice-lite ice-options candidate fingerprint setup sendrecv "
    "sendonly recvonly inactive msid rtpmap fmtp rtcp-fb extmap ssrc ssrc-group sctp-port max-message-size "
    "sctpmap".split()
)
_INHERITED = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")
"""What an m-line takes from the session part where it does not say it itself; a direction likewise."""
_LIMITS = {"candidate": MAX_CANDIDATES} | dict.fromkeys(
    ("direction", "mid", "ice-ufrag", "ice-pwd", "setup", "sctp-port", "max-message-size"), 1
)
"""How often an attribute counts in one m-line; of those that say one thing the engine would take the last."""
_SHAPES = {
    name: re.compile(shape, re.ASCII)
    for name, shape in {
        "mid": r"[^\s:]{1,64}",
        "ice-ufrag": r"[A-Za-z0-9+/]{4,256}",
        "ice-pwd": r"[A-Za-z0-9+/]{22,256}",
        "ssrc": r"\d{1,10} [\w-]+:.*",
        "ssrc-group": r"[\w-]+( \d{1,10})+",
        "rtpmap": r"\d{1,3} [\w.-]+/\d{1,7}(/\d{1,2})?",
        "rtcp-fb": r"(\d{1,3}|\*) \S+.*",
        "fmtp": r"\d{1,3} .+",
        "extmap": r"([1-9]|1[0-4]|1[6-9]|[2-9]\d|1\d\d|2[0-4]\d|25[0-5])(/\w+)? \S+",
        "fingerprint": r"[\w-]+ [0-9A-Fa-f:]+",
        "sctp-port": r"\d{1,5}",
        "max-message-size": r"\d{1,12}",
        "sctpmap": r"\d{1,5} [\w-]+ \d{1,5}",
        "setup": r"(active|passive|actpass)",
        "msid": r"\S+( \S+)?",
    }.items()
}
_WHOLE_NUMBERS = frozenset("apt max-fr max-fs maxplaybackrate minptime stereo useinbandfec".split())
"""Parameters of a=fmtp that the engine reads as numbers."""
_CANDIDATE = re.compile(
    r"\S{1,32} 1 udp \d{1,10} (?P<host>\S+) (?P<port>\d{1,5}) typ (host|srflx|relay)"
    r"( raddr \S+ rport \d{1,5})?( (?!raddr |rport |tcptype )\S+ \S+)*",
    re.ASCII | re.IGNORECASE,
)
_STANDIN_CODEC = {
    "audio": ("111", ["a=rtpmap:111 opus/48000/2"]),
    "video": ("96", ["a=rtpmap:96 VP8/90000"]),
}
_BASELINE = re.compile(r"42[0-9a-f]0(0[a-d]|1[4-6]|1[ef]|20|28|29|2a|3[2-4])")
_STATIC_AUDIO = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
"""Payload types that need no a=rtpmap (RFC 3551 section 6)."""
_FORBIDDEN_TYPES = range(72, 77)
"""Payload types that look like RTCP (RFC 5761 section 4)."""


class SdpError(ValueError):
    """The text is not a session description that can be used; the message says where."""


@dataclass
class MediaSection:
    """One m-line and the lines below it."""

    mline: str
    lines: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.mline[2:].split(" ", 1)[0]

    @property
    def port(self) -> int:
        return int(self.mline.split()[1].split("/")[0])

    @property
    def profile(self) -> str:
        return self.mline.split()[2]

    @property
    def formats(self) -> list[str]:
        return self.mline.split()[3:]

    @property
    def mid(self) -> str:
        return self.value("mid") or ""

    @property
    def direction(self) -> str:
        """The direction as its sender sees it; `sendrecv` when nothing is said (RFC 8866 section 6.7)."""
        return next((line[2:] for line in self.lines if line[2:] in DIRECTIONS and line.startswith("a=")), "sendrecv")

    def value(self, attribute: str) -> str | None:
        """The value of the first `a=attribute:` line; "" for a property attribute without one; None when absent."""
        return next(iter(self.values(attribute)), None)

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in map(_attribute, self.lines) if name == attribute]

    @property
    def rejected(self) -> bool:
        return self.port == 0 and self.value("bundle-only") is None

    def codec_names(self) -> set[str]:
        """Lower-case encoding names of all formats; H.264 only as packetization mode 1, baseline."""
        fmtp = dict(value.split(" ", 1) for value in self.values("fmtp"))
        names = set()
        for value in self.values("rtpmap"):
            payload_type, encoding = value.split(" ")
            name = encoding.split("/")[0].lower()
            if name != "h264" or _usable_h264(fmtp.get(payload_type, "")):
                names.add(name)
        return names


@dataclass
class Description:
    """A session description as lines: the session part and its media sections, in order."""

    session: list[str]
    media: list[MediaSection]

    def __str__(self) -> str:
        lines = [*self.session]
        for section in self.media:
            lines += [section.mline, *section.lines]
        return "\r\n".join(lines) + "\r\n"

    @property
    def bundle(self) -> list[str] | None:
        """The mids of the BUNDLE group, None where there is no such group."""
        for name, value in map(_attribute, self.session):
            if name == "group" and value.startswith("BUNDLE"):
                return value.split()[1:]
        return None


def parse(text: str) -> Description:
    """Split a description into its sections.

    Raises:
        SdpError: it is too long, has no or too many m-lines, or an m-line that is not one.
    """
    if len(text) > MAX_BYTES:
        raise SdpError(f"the description is longer than {MAX_BYTES} characters")
    session: list[str] = []
    media: list[MediaSection] = []
    for line in filter(None, (raw.strip() for raw in text.splitlines())):
        if line.startswith("m="):
            if not re.fullmatch(r"m=\S+ \d{1,5}(/\d+)? \S+( \S+)+", line):
                raise SdpError(f"not an m-line: {line[:60]!r}")
            media.append(MediaSection(line))
        else:
            (media[-1].lines if media else session).append(line)
    if not session or not session[0].startswith("v="):
        raise SdpError("it does not begin with v=0")
    if not 0 < len(media) <= MAX_SECTIONS:
        raise SdpError(f"it has {len(media)} m-lines, between 1 and {MAX_SECTIONS} are possible")
    return Description(session, media)


def for_engine(text: str, codecs: dict[str, set[str]], offer: str | None = None) -> tuple[str, dict[str, str]]:
    """Make a remote description safe for the engine.

    Args:
        text: the remote description.
        codecs: for "audio" and "video" the lower-case encoding names that the engine takes.
        offer: our own offer, when `text` is the answer to it: stand-ins take kind and mid from there.

    Returns:
        The text for the engine, and for each m-line that is only a stand-in its mid and what the remote wrote.

    Raises:
        SdpError: not a description, or no m-line of it can be used.
    """
    remote = parse(text)
    offered = parse(offer).media if offer else None
    if offered is not None and len(offered) != len(remote.media):
        raise SdpError(f"the answer has {len(remote.media)} m-lines, the offer had {len(offered)}")
    for index, section in enumerate(remote.media):
        section.lines = _clean(section, remote.session)
        if not section.mid:
            section.lines.append(f"a=mid:{offered[index].mid if offered else index}")
    if len({section.mid for section in remote.media}) < len(remote.media):
        raise SdpError("two of its m-lines have the same mid")  # RFC 9143 section 9.1: unique
    bundle = remote.bundle
    if bundle is None:
        bundle = [section.mid for section in remote.media if not section.rejected][:1]
    usable = [section for section in remote.media if section.mid in bundle and _usable(section, codecs)]
    if not usable:
        raise SdpError("no m-line of it can be used: nothing in common")
    standins: dict[str, str] = {}
    for index, section in enumerate(remote.media):
        if section not in usable:
            standins[section.mid] = section.mline
            remote.media[index] = _standin(section, usable[0], offered[index] if offered else None)
        elif section.port == 0:  # bundle-only: the engine knows port 0 as rejected only
            section.mline = re.sub(r"^(m=\S+) 0+", r"\1 9", section.mline)
    group = "a=group:BUNDLE " + " ".join(section.mid for section in usable)
    origin = next((line for line in remote.session if line.startswith("o=")), "o=- 0 0 IN IP4 127.0.0.1")
    lite = [line for line in remote.session if line == "a=ice-lite"]
    remote.session = ["v=0", origin, "s=-", "t=0 0", *lite, group]
    return str(remote), standins


def for_remote(text: str, standins: dict[str, str]) -> str:
    """Turn the stand-ins of an answer made by the engine into rejected m-lines, and take them out of the bundle."""
    description = parse(text)
    for section in description.media:
        if section.mid in standins:
            section.mline = re.sub(r"^(m=\S+) \d+", r"\1 0", standins[section.mid])
            section.lines = ["c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive"]
    accepted = [section.mid for section in description.media if section.mid not in standins]
    description.session = [
        "a=group:BUNDLE " + " ".join(accepted) if line.startswith("a=group:BUNDLE") else line
        for line in description.session
    ]
    return str(description)


def directions(text: str) -> dict[str, str]:
    """The direction of each m-line by mid, as its sender sees it; `stopped` for a rejected one."""
    return {s.mid: "stopped" if s.rejected else s.direction for s in parse(text).media}


def usable_candidate(candidate: str) -> bool:
    """Whether a candidate line can be paired: UDP to a literal address and a port.

    A `.local` name (mDNS) is not resolved: the browser behind it sends checks of its own, from which its address is
    learned (peer reflexive, RFC 8445 section 7.3.1.3) without a wait of a second.
    """
    found = _CANDIDATE.fullmatch(candidate.removeprefix("a=").removeprefix("candidate:"))
    if found is None or not 0 < int(found["port"]) <= 65535:
        return False
    try:
        ip_address(found["host"])
    except ValueError:
        return False
    return True


def _attribute(line: str) -> tuple[str, str]:
    if not line.startswith("a="):
        return "", ""
    name, _, value = line[2:].partition(":")
    return name, value


def _clean(section: MediaSection, session: list[str]) -> list[str]:
    """The lines of a section that the engine understands and that have the shape they should have."""
    kept = []
    seen: Counter[str] = Counter()
    for line in [*_implied(section), *section.lines]:
        name, value = _attribute(line)
        if name not in _KEPT_ATTRIBUTES or (name in _SHAPES and not _SHAPES[name].fullmatch(value)):
            continue
        if name == "candidate" and not usable_candidate(value):
            continue
        name = "direction" if name in DIRECTIONS else name
        seen[name] += 1
        if seen[name] <= _LIMITS.get(name, MAX_REPEATS):
            kept.append(line)
    known = {_attribute(line)[1].split(" ")[0] for line in kept if line.startswith("a=rtpmap:")}
    kept = [_tidy(line) for line in kept if not line.startswith("a=fmtp:") or _usable_fmtp(line, known)]
    present = {_attribute(line)[0] for line in kept}
    for name in _INHERITED:
        if name not in present:
            values = [value for key, value in map(_attribute, session) if key == name]
            kept += [f"a={name}:{value}" for value in values[:MAX_REPEATS] if _SHAPES[name].fullmatch(value)]
    if not present & set(DIRECTIONS):
        kept += [line for line in session if line.startswith("a=") and line[2:] in DIRECTIONS][:1]
    if section.kind == "application" and "max-message-size" not in present:
        kept.append("a=max-message-size:65536")  # what is meant when nothing is said (RFC 8841 section 6.1)
    if section.value("bundle-only") is not None:
        kept.append("a=bundle-only")  # read back by `rejected`; the engine ignores it
    return kept


def _implied(section: MediaSection) -> list[str]:
    """The a=rtpmap lines that need not be written."""
    if section.kind != "audio":
        return []
    mapped = {value.split(" ")[0] for value in section.values("rtpmap")}
    return [f"a=rtpmap:{f} {_STATIC_AUDIO[f]}" for f in section.formats if f in _STATIC_AUDIO and f not in mapped]


def _usable_fmtp(line: str, known: set[str]) -> bool:
    payload_type, _, text = line.removeprefix("a=fmtp:").partition(" ")
    pairs = (parameter.strip().split("=", 1) for parameter in text.split(";"))
    numbers = [pair[1] for pair in pairs if len(pair) == 2 and pair[0] in _WHOLE_NUMBERS]
    return payload_type in known and all(re.fullmatch(r"\d{1,9}", number, re.ASCII) for number in numbers)


def _tidy(line: str) -> str:
    """Spaces after the semicolons of an a=fmtp are usual, and not understood by the engine."""
    return re.sub(r"; +", ";", line) if line.startswith("a=fmtp:") else line


def _usable(section: MediaSection, codecs: dict[str, set[str]]) -> bool:
    if section.rejected or not all(section.value(name) for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup")):
        return False
    if not re.fullmatch(r"m=\S+ \d+ [A-Z/]+ .+", section.mline, re.ASCII):
        return False
    if section.kind == "application":
        return _usable_data(section)
    if section.kind not in codecs or section.value("rtcp-mux") is None:
        return False
    numbers = [int(f) for f in section.formats if re.fullmatch(r"\d{1,3}", f, re.ASCII)]
    if len(numbers) < len(section.formats) or any(n > 127 or n in _FORBIDDEN_TYPES for n in numbers):
        return False
    return bool(section.codec_names() & codecs[section.kind])


def _usable_data(section: MediaSection) -> bool:
    if section.profile == "DTLS/SCTP":  # as it was written before RFC 8841
        return bool(re.fullmatch(r"\d{1,5}", section.formats[0], re.ASCII))
    return section.profile.endswith("/DTLS/SCTP") and section.value("sctp-port") is not None


def _usable_h264(parameters: str) -> bool:
    """Baseline, a level that there is, packets that may hold several or parts of NAL units."""
    values = dict(p.strip().split("=", 1) for p in parameters.split(";") if "=" in p)
    level = values.get("profile-level-id", "42e01f").lower()
    return values.get("packetization-mode") == "1" and bool(_BASELINE.fullmatch(level))


def _standin(section: MediaSection, model: MediaSection, offered: MediaSection | None) -> MediaSection:
    """An inactive m-line in the place of one that cannot be used, with the bundle's transport."""
    kind = offered.kind if offered else section.kind
    transport = [line for line in model.lines if _attribute(line)[0] in _INHERITED]
    if kind == "application":
        return MediaSection(
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            [f"a=mid:{section.mid}", "a=sctp-port:5000", "a=max-message-size:65536", *transport],
        )
    if kind not in _STANDIN_CODEC:
        kind = "video"
    formats, lines = _STANDIN_CODEC[kind]
    if offered:  # the engine wants a codec of its own offer, under its own number
        formats = offered.formats[0]
        lines = [f"a=rtpmap:{v}" for v in offered.values("rtpmap") if v.split(" ")[0] == formats]
    return MediaSection(
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}",
        ["c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive", "a=rtcp-mux", *lines, *transport],
    )
