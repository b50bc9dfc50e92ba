"""What WHIP and WHEP say beside a session description: trickle fragments (RFC 8840) and Link headers (RFC 8288). Pure.

Both sides use it: the gateway of the server, and the client in `peer.whip`. A fragment is the ICE part of a session
description: credentials and candidates. The edits of whole descriptions that an ICE restart needs are here too, line by
line: what is not of ICE stays as it was (RFC 9725 section 4.3.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec.json import encode

from signaling.ice_servers import MAX_ICE_SERVERS, BadIceServer, IceServer, parse_ice_servers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT: Final = 64 * 1024  # characters
MAX_CANDIDATES: Final = 100  # of one fragment
MAX_LINE: Final = 1024  # characters of a line that is looked at
MAX_SECTIONS: Final = 64
MAX_LINK: Final = 32 * 1024  # characters of all Link headers together

# RFC 8839 section 5.4: ice-char is ALPHA / DIGIT / "+" / "/"; some senders are not strict about the alphabet.
_UFRAG: Final = re.compile(r"[\x21-\x7e]{4,256}")
_PWD: Final = re.compile(r"[\x21-\x7e]{22,256}")
_MLINE: Final = re.compile(r"m=(?P<kind>[a-z]{1,32}) (?P<port>[0-9]{1,5}) [\x21-\x7e]+(?: [\x21-\x7e]+)*")
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")
_PARAMETER: Final = re.compile(r';\s*([A-Za-z0-9*_-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*')


class BadFragment(ValueError):
    """A text that is no fragment, or a description that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The ICE part of a description.

    `ufrag` and `pwd` may both be empty where a fragment only adds candidates. `candidates` are `candidate:...`, without
    `a=`; `ended` says that there are no more. `options` are the values of `ice-options`, `lite` is `ice-lite`. `kind`
    and `mid` are of the m-line that the candidates belong to: the first of the bundle group.
    """

    ufrag: str = ""
    pwd: str = ""
    candidates: tuple[str, ...] = ()
    ended: bool = False
    mid: str | None = None
    kind: str = "audio"
    options: tuple[str, ...] = ()
    lite: bool = False

    def __str__(self) -> str:
        """The body of a PATCH or of its response (RFC 8840 section 4.4)."""
        lines = ["a=ice-lite"] if self.lite else []
        if self.options:
            lines.append(" ".join(("a=ice-options:" + self.options[0], *self.options[1:])))
        lines.append(f"m={self.kind} 9 UDP/TLS/RTP/SAVPF 0")  # only its place counts: RFC 8840 section 4.4
        if self.mid is not None:
            lines.append(f"a=mid:{self.mid}")
        if self.ufrag:
            lines += [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}"]
        lines += [f"a={candidate}" for candidate in self.candidates]
        if self.ended:
            lines.append("a=end-of-candidates")
        return "".join(f"{line}\r\n" for line in lines)


def parse_fragment(text: str) -> Fragment:
    """The fragment of a PATCH. Raises BadFragment.

    Candidates before the first m-line, and m-lines without a `mid`, are taken as belonging to the first m-line: senders
    that know but one write them so.
    """
    if len(text) > MAX_FRAGMENT:
        raise BadFragment(f"it has more than {MAX_FRAGMENT} characters; send fewer candidates at once")
    found = _ice_of(_lines(text), strict=True)
    if not (found.ufrag or found.candidates or found.ended):
        raise BadFragment("it has neither credentials nor candidates; send a fragment as of RFC 8840")
    return found


def fragment_of(sdp: str) -> Fragment:
    """The ICE part of a whole description. Raises BadFragment if it has none."""
    found = _ice_of(_lines(sdp), strict=False)
    if not found.ufrag:
        raise BadFragment("it has no ICE credentials; send a session description of WebRTC")
    return found


def restarted(sdp: str, fragment: Fragment) -> str:
    """The description after an ICE restart: with the credentials and candidates of `fragment` in the place of its own.

    The version in its origin line goes up by one (RFC 9429 section 5.2.2). Raises BadFragment without credentials.
    """
    if not fragment.ufrag:
        raise BadFragment("an ICE restart needs ice-ufrag and ice-pwd; send both")
    lines = [f"{_next_origin(line)}\r\n" for line in _lines(sdp) if not line.startswith(("a=candidate:", "a=end-of-"))]
    lines = [re.sub(r"^a=ice-ufrag:.*", lambda _: f"a=ice-ufrag:{fragment.ufrag}", line) for line in lines]
    lines = [re.sub(r"^a=ice-pwd:.*", lambda _: f"a=ice-pwd:{fragment.pwd}", line) for line in lines]
    return with_candidates("".join(lines), fragment.candidates, ended=fragment.ended)


def with_candidates(sdp: str, candidates: Iterable[str], *, ended: bool) -> str:
    """The description with these candidates at its first m-line that is not rejected, which carries the bundle."""
    lines = _lines(sdp)
    there = {line for line in lines if line.startswith("a=candidate:") or line == "a=end-of-candidates"}
    added = [line for line in (f"a={candidate}" for candidate in candidates) if line not in there]
    if ended and "a=end-of-candidates" not in there:
        added.append("a=end-of-candidates")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    for begin, end in pairwise([*starts, len(lines)]):
        if _has_transport(lines[begin:end]):
            lines[end:end] = added
            break
    return "".join(f"{line}\r\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Medium:
    """What is looked at of an m-line: its kind, its direction, whether it is refused."""

    kind: str
    direction: str
    rejected: bool


def media_of(sdp: str) -> list[Medium]:
    """The m-lines of a description. Raises BadFragment for a text that is none, or has no m-line."""
    lines = _lines(sdp)
    if not lines or lines[0] != "v=0":
        raise BadFragment("it does not begin with v=0; send a session description")
    found: list[Medium] = []
    usual = "sendrecv"  # RFC 8866 section 6.7
    for head, *section in _sections(lines):
        direction = next((line[2:] for line in section if line[2:] in _DIRECTIONS and line.startswith("a=")), usual)
        if not head.startswith("m="):
            usual = direction
            continue
        match = _MLINE.fullmatch(head)
        if match is None or len(found) == MAX_SECTIONS:
            raise BadFragment("one of its m-lines is none, or there are too many; send what your browser makes")
        found.append(Medium(match["kind"], direction, not _has_transport([head, *section])))
    if not found:
        raise BadFragment("it has no m-line; offer audio or video")
    return found


def one_way(sdp: str, direction: str) -> str:
    """The description with `direction` in the place of `sendrecv`, said or implied, on each audio and video m-line."""
    made: list[str] = []
    usual = "sendrecv"
    for head, *section in _sections(_lines(sdp)):
        said = [line[2:] for line in section if line[2:] in _DIRECTIONS and line.startswith("a=")]
        if not head.startswith("m="):
            usual = said[0] if said else usual
        elif head.startswith(("m=audio", "m=video")) and (said or [usual])[0] == "sendrecv":
            section = [line for line in section if line != "a=sendrecv"] + [f"a={direction}"]
        made += [*([head] if head else []), *section]
    return "".join(f"{line}\r\n" for line in made)


def mux_only(sdp: str) -> str:
    """The description with `rtcp-mux-only` wherever it says `rtcp-mux` (RFC 9725 section 4.4.1, RFC 8858 section 3)."""
    if "a=rtcp-mux-only" in sdp:
        return sdp
    lines = (f"{line}\r\na=rtcp-mux-only" if line == "a=rtcp-mux" else line for line in _lines(sdp))
    return "".join(f"{line}\r\n" for line in lines)


def links(servers: Iterable[IceServer]) -> list[str]:
    """ICE servers as values of `Link` headers, one for each URL (RFC 9725 section 4.6)."""
    values = []
    for server in servers:
        for url in server.urls:
            parts = [f"<{url}>", 'rel="ice-server"']
            if server.username is not None and server.credential is not None:
                parts += [f"username={_quoted(server.username)}", f"credential={_quoted(server.credential)}"]
                parts.append('credential-type="password"')
            value = "; ".join(parts)
            if value.isprintable():  # a header has no place for anything else
                values.append(value)
    return values


def ice_servers_of(values: Sequence[str]) -> list[IceServer]:
    """The ICE servers that `Link` headers name; what is no ICE server, or none that can be used, is passed over."""
    found: list[IceServer] = []
    for url, parameters in _links(", ".join(values)[:MAX_LINK]):
        relations = parameters.get("rel", "").lower().split()
        if "ice-server" not in relations or parameters.get("credential-type", "password") != "password":
            continue
        try:
            server = IceServer([url], parameters.get("username"), parameters.get("credential"))
            (checked,) = parse_ice_servers(encode(server).decode())
        except BadIceServer:
            continue
        if checked not in found and len(found) < MAX_ICE_SERVERS:
            found.append(checked)
    return found


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _links(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Targets and parameters of the links of a header; the first of two parameters of one name counts."""
    at = 0
    while (begin := text.find("<", at)) >= 0 and (end := text.find(">", begin)) >= 0:
        parameters: dict[str, str] = {}
        at = end + 1
        while (match := _PARAMETER.match(text, at)) is not None:
            quoted, plain = match[2], match[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            parameters.setdefault(match[1].lower(), value)
            at = match.end()
        yield text[begin + 1 : end].strip(), parameters


def _lines(text: str) -> list[str]:
    """The lines of a text that is SDP; some senders end them with LF alone."""
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


def _sections(lines: Sequence[str]) -> Iterator[list[str]]:
    """The session part, with an empty line in the place of its m-line, then each m-line with what belongs to it."""
    section: list[str] = [""]
    for line in lines:
        if line.startswith("m="):
            yield section
            section = []
        section.append(line)
    yield section


def _has_transport(section: Sequence[str]) -> bool:
    """Whether an m-line is in use: port 0 refuses it, but for a bundled one (RFC 9143 section 6)."""
    return section[0].split(" ")[1:2] != ["0"] or "a=bundle-only" in section


def _next_origin(line: str) -> str:
    match = re.fullmatch(r"(o=\S+ \S+ )([0-9]{1,19})( .*)", line)
    return f"{match[1]}{int(match[2]) + 1}{match[3]}" if match else line


def _ice_of(lines: Sequence[str], *, strict: bool) -> Fragment:
    """Credentials and candidates of the session part and the first m-line.

    `strict`: of a fragment, whose other m-lines may have no other credentials, since all media is bundled.
    """
    session, *rest = _sections(lines)
    used = [section for section in rest if _has_transport(section)]
    first = used[0] if used else []
    everything = [*session, *(line for section in (used if strict else used[:1]) for line in section)]
    ufrags, pwds = _values(everything, "ice-ufrag"), _values(everything, "ice-pwd")
    if len(set(ufrags)) > 1 or len(set(pwds)) > 1:
        raise BadFragment("its m-lines have different ICE credentials; bundle them, as WHIP and WHEP want")
    ufrag, pwd = "".join(ufrags[:1]), "".join(pwds[:1])
    if bool(ufrag) != bool(pwd):
        raise BadFragment("it has only one of ice-ufrag and ice-pwd; send both")
    if ufrag and not (_UFRAG.fullmatch(ufrag) and _PWD.fullmatch(pwd)):
        raise BadFragment("its ICE credentials are too short, too long, or have odd characters; see RFC 8839")
    candidates = dict.fromkeys(f"candidate:{value}" for value in _values(everything, "candidate"))
    if strict and len(candidates) > MAX_CANDIDATES:
        raise BadFragment(f"it has more than {MAX_CANDIDATES} candidates; send fewer at once")
    mline = _MLINE.fullmatch(first[0]) if first else None
    if first and mline is None:
        raise BadFragment("its m-line is none; send the one of the offer")
    options = _values(everything, "ice-options")
    return Fragment(
        ufrag,
        pwd,
        tuple(candidates)[:MAX_CANDIDATES],
        "a=end-of-candidates" in everything,
        next(iter(_values(first, "mid")), None),
        mline["kind"] if mline else "audio",
        tuple(options[0].split()) if options else (),
        "a=ice-lite" in everything,
    )


def _values(lines: Iterable[str], name: str) -> list[str]:
    """What the attribute `name` says, each time. Raises BadFragment for what nobody can mean."""
    prefix = f"a={name}:"
    values = [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]
    if any(not value or len(value) > MAX_LINE or not value.isprintable() for value in values):
        raise BadFragment(f"a line a={name} is empty, too long, or has odd characters; correct it")
    return values
