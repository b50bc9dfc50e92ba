"""ICE servers: the wire structure, and every way to write one down. No I/O, no clock.

Accepted texts: `stun:host:port`, `turn:user:password@host:port?transport=tcp` (percent-encode odd characters), and
JSON as browsers take it (one object or a list of them). Passwords never appear in an error message.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import unquote

import msgspec

MAX_ICE_SERVERS: Final = 16
MAX_URLS: Final = 16
MAX_FIELD: Final = 1024

_Url = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_FIELD)]
_Secret = Annotated[str, msgspec.Meta(max_length=MAX_FIELD)]

# RFC 7064 and RFC 7065: scheme ":" host [":" port] ["?transport=" ...], the host a name, an IPv4 or a bracketed IPv6.
_URL: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>[a-z]+))?",
)
_FORMS: Final = "stun:HOST[:PORT], turn:USER:PASSWORD@HOST[:PORT][?transport=tcp] or JSON as in browsers"


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a browser's `iceServers`; `urls` may be written as one string and is always a list here."""

    urls: Annotated[list[_Url], msgspec.Meta(min_length=1, max_length=MAX_URLS)]
    username: _Secret | None = None
    credential: _Secret | None = None


class _LooseIceServer(msgspec.Struct, forbid_unknown_fields=False):
    """As people write it: `urls` a string or a list, or the old `url`."""

    urls: str | list[str] | None = None
    url: str | None = None
    username: str | None = None
    credential: str | None = None


class BadIceServer(ValueError):
    """A text that describes no usable ICE server; the message carries the text with its password masked."""


def parse_ice_server(text: str) -> list[IceServer]:
    """The ICE servers that `text` describes: one for a URL, any number for JSON.

    Raises BadIceServer with a sentence that names the mistake and the forms accepted.
    """
    text = text.strip()
    if text[:1] in {"{", "["}:
        return _from_json(text)
    scheme, separator, rest = text.partition(":")
    userinfo, at, address = rest.rpartition("@")
    url = f"{scheme.lower()}{separator}{address}"
    if not at:
        return [_checked(IceServer([url]))]
    username, colon, password = userinfo.partition(":")
    if not colon:
        raise BadIceServer(f"ICE server {mask(text)} has a user but no password; write {_FORMS}")
    return [_checked(IceServer([url], unquote(username), unquote(password)))]


def parse_ice_servers(text: str) -> list[IceServer]:
    """The ICE servers of a file or an environment value: JSON, or URLs separated by spaces, commas or lines.

    JSON may also be a whole browser configuration, `{"iceServers": [...]}`. Lines starting with `#` are skipped.
    Raises BadIceServer.
    """
    stripped = text.strip()
    if stripped[:1] in {"{", "["}:
        return _from_json(stripped)
    lines = (line for line in stripped.splitlines() if not line.lstrip().startswith("#"))
    servers = [
        server for line in lines for word in re.split(r"[\s,]+", line) if word for server in parse_ice_server(word)
    ]
    return _bounded(servers)


def mask(text: str) -> str:
    """`text`, shortened, with what may be a password replaced by `***`."""
    text = re.sub(r'("credential"\s*:\s*)"(?:[^"\\]|\\.)*"?', r'\1"***"', text)
    text = re.sub(r'((?:stun|turn)s?:)[^"]*@', r"\1***@", text, flags=re.IGNORECASE)
    return text if len(text) <= 200 else text[:200] + "..."


def _from_json(text: str) -> list[IceServer]:
    try:
        loose = msgspec.json.decode(text, type=dict[str, msgspec.Raw] | list[_LooseIceServer])
        if isinstance(loose, dict):
            inner = loose.get("iceServers")
            if inner is not None:
                loose = msgspec.json.decode(inner, type=list[_LooseIceServer])
            else:
                loose = [msgspec.json.decode(text, type=_LooseIceServer)]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadIceServer(f"ICE servers {mask(text)} cannot be read ({error}); write {_FORMS}") from error
    servers = []
    for entry in loose:
        urls = entry.urls if entry.urls is not None else entry.url
        if not urls:
            raise BadIceServer(f"ICE servers {mask(text)} have an entry without urls; write {_FORMS}")
        urls = [urls] if isinstance(urls, str) else urls
        servers.append(_checked(IceServer(urls, entry.username, entry.credential)))
    return _bounded(servers)


def _bounded(servers: list[IceServer]) -> list[IceServer]:
    if len(servers) > MAX_ICE_SERVERS:
        raise BadIceServer(
            f"{len(servers)} ICE servers are more than {MAX_ICE_SERVERS}; browsers slow down at five, use fewer"
        )
    return servers


def _checked(server: IceServer) -> IceServer:
    """`server` itself, if every URL is well-formed and TURN has its user and password."""
    if len(server.urls) > MAX_URLS:
        raise BadIceServer(f"an ICE server with {len(server.urls)} urls has more than {MAX_URLS}; use fewer")
    for value in (*server.urls, server.username or "", server.credential or ""):
        if len(value) > MAX_FIELD:
            raise BadIceServer(f"ICE server {mask(server.urls[0])} has a field longer than {MAX_FIELD}; shorten it")
    for url in server.urls:
        _check_url(url, server)
    return server


def _check_url(url: str, server: IceServer) -> None:
    match = _URL.fullmatch(url)
    if match is None:
        raise BadIceServer(f"{mask(url)!r} is not an ICE server; write {_FORMS}")
    if match["port"] and not 1 <= int(match["port"]) <= 65535:
        raise BadIceServer(f"ICE server {mask(url)} has no port from 1 to 65535; correct it")
    turn = match["scheme"].startswith("turn")
    if match["transport"] and not (turn and match["transport"] in {"udp", "tcp"}):
        raise BadIceServer(f"ICE server {mask(url)} has an odd transport; only turn: takes ?transport=udp or tcp")
    if turn and not (server.username and server.credential):
        raise BadIceServer(f"ICE server {mask(url)} needs a user and a password; write turn:USER:PASSWORD@HOST:PORT")
