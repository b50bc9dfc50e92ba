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
from dataclasses import dataclass, field

MAX_BYTES = 128 * 1024
MAX_SECTIONS = 32
MAX_CANDIDATES = 100

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_KEPT_ATTRIBUTES = frozenset(
    "group msid-semantic mid rtcp-mux rtcp ice-ufrag ice-pwd ice-lite ice-options candidate fingerprint setup sendrecv "
    "sendonly recvonly inactive msid rtpmap fmtp rtcp-fb extmap ssrc ssrc-group sctp-port max-message-size "
    "sctpmap".split()
)
_INHERITED = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")
_SHAPES = {
    "ssrc": re.compile(r"\d{1,10} [\w-]+(:.*)?$"),
    "ssrc-group": re.compile(r"[\w-]+( \d{1,10})+$"),
    "rtpmap": re.compile(r"\d{1,3} [\w.-]+/\d{1,7}(/\d{1,2})?$"),
    "rtcp-fb": re.compile(r"(\d{1,3}|\*) \S+.*$"),
    "fmtp": re.compile(r"\d{1,3} .+$"),
    "extmap": re.compile(r"\d{1,5}(/\w+)? \S+.*$"),
    "fingerprint": re.compile(r"[\w-]+ [0-9A-Fa-f:]+$"),
    "sctp-port": re.compile(r"\d{1,5}$"),
    "max-message-size": re.compile(r"\d{1,12}$"),
    "sctpmap": re.compile(r"\d{1,5} [\w-]+ \d{1,5}$"),
    "setup": re.compile(r"(active|passive|actpass)$"),
    "msid": re.compile(r"\S+( \S+)?$"),
}
_STANDIN_CODEC = {
    "audio": ("111", ["a=rtpmap:111 opus/48000/2"]),
    "video": ("96", ["a=rtpmap:96 VP8/90000"]),
}
_STATIC_AUDIO = {"0", "8", "9"}


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
        fmtp = dict(value.split(" ", 1) for value in self.values("fmtp") if " " in value)
        names = set()
        for value in self.values("rtpmap"):
            payload_type, _, encoding = value.partition(" ")
            name = encoding.split("/")[0].lower()
            if name != "h264" or _usable_h264(fmtp.get(payload_type, "")):
                names.add(name)
        names |= {{"0": "pcmu", "8": "pcma", "9": "g722"}[f] for f in self.formats if f in _STATIC_AUDIO}
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
            section.mline = re.sub(r"^(m=\S+) 0", r"\1 9", section.mline)
    group = "a=group:BUNDLE " + " ".join(section.mid for section in usable)
    remote.session = [line for line in _clean_session(remote.session) if not line.startswith("a=group:")] + [group]
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
    """Whether a candidate line can be paired: UDP to a literal address.

    A `.local` name (mDNS) is not resolved: the browser behind it sends checks of its own, from which its address is
    learned (peer reflexive, RFC 8445 section 7.3.1.3) without a wait of a second.
    """
    parts = candidate.removeprefix("a=").removeprefix("candidate:").split()
    return len(parts) >= 8 and parts[2].lower() == "udp" and not parts[4].lower().endswith(".local")


def _attribute(line: str) -> tuple[str, str]:
    if not line.startswith("a="):
        return "", ""
    name, _, value = line[2:].partition(":")
    return name, value


def _clean_session(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("a=") or _attribute(line)[0] in _KEPT_ATTRIBUTES]


def _clean(section: MediaSection, session: list[str]) -> list[str]:
    """The lines of a section that the engine understands and that have the shape they should have."""
    kept = []
    mapped = set(section.formats) & _STATIC_AUDIO | {v.split(" ")[0] for v in section.values("rtpmap")}
    candidates = 0
    for line in section.lines:
        name, value = _attribute(line)
        if not line.startswith("a="):
            kept.append(line)
            continue
        if name not in _KEPT_ATTRIBUTES or (name in _SHAPES and not _SHAPES[name].match(value)):
            continue
        if name == "fmtp" and value.split(" ")[0] not in mapped:
            continue
        if name == "candidate":
            candidates += 1
            if candidates > MAX_CANDIDATES or not usable_candidate(value):
                continue
        kept.append(line)
    present = {_attribute(line)[0] for line in kept}
    for name in _INHERITED:
        if name not in present:
            kept += [line for line in session if _attribute(line)[0] == name]
    if section.value("bundle-only") is not None:
        kept.append("a=bundle-only")  # read back by `rejected`; the engine ignores it
    return kept


def _usable(section: MediaSection, codecs: dict[str, set[str]]) -> bool:
    if section.rejected or not all(section.value(name) for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup")):
        return False
    if section.kind == "application":
        return "SCTP" in section.profile.upper()
    if section.kind not in codecs or section.value("rtcp-mux") is None:
        return False
    return bool(section.codec_names() & codecs[section.kind])


def _usable_h264(parameters: str) -> bool:
    values = dict(p.strip().split("=", 1) for p in parameters.split(";") if "=" in p)
    return values.get("packetization-mode") == "1" and values.get("profile-level-id", "42").lower().startswith("42")


def _standin(section: MediaSection, model: MediaSection, offered: MediaSection | None) -> MediaSection:
    """An inactive m-line in the place of one that cannot be used, with the bundle's transport."""
    kind = offered.kind if offered else section.kind
    transport = [line for line in model.lines if _attribute(line)[0] in _INHERITED]
    if kind == "application":
        return MediaSection(
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            [f"a=mid:{section.mid}", "a=sctp-port:5000", *transport],
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
