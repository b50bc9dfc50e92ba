"""Listening on a TCP port, and who has it when it is taken. Blocks: call it on a thread."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any, Final

_LISTEN: Final = "0A"  # of the column `st` in /proc/net/tcp
_MAX_PORTS_TRIED: Final = 20
_ABSENT: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # this machine has no such address


class CannotListen(OSError):
    """The server cannot listen on the address it was given; the message says why and what to do."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


class PortTaken(CannotListen):
    """Another process listens on the port; the message names it where that can be found out."""


def listen(host: str, port: int, *, flags: str = "--") -> list[socket.socket]:
    """Sockets that listen on `port` of every address of `host`; port 0 is any free one, the same for all of them.

    `flags` is how the flags begin that set the two, for the messages: `--port` or `--metrics-port`.

    Raises CannotListen, PortTaken.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _no_address(host, flags, error) from error
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        bound = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen_on(family, kind, protocol, (address[0], bound, *address[2:])))
        except OSError as error:
            absent = error
            if error.errno not in _ABSENT:
                break
    else:
        if sockets:  # on a machine without IPv6, `localhost` has an address that cannot be bound
            return sockets
    for one in sockets:
        one.close()
    assert absent is not None  # getaddrinfo never returns nothing
    raise _explained(absent, host, port, flags) from absent


def _listen_on(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind(address)
        one.listen(128)
    except OSError:
        one.close()
        raise
    return one


def _explained(error: OSError, host: str, port: int, flags: str) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        owner = owner_of(port)
        by = f" by {owner}" if owner else ""
        return PortTaken(f"port {port} is taken{by}; use {flags}port {_free_port(host, port)}", error.errno)
    if error.errno == errno.EACCES:
        return CannotListen(f"port {port} may only be used by root; use {flags}port 8080", error.errno)
    if error.errno in _ABSENT:
        return _no_address(host, flags, error)
    text = f"cannot listen on port {port} of {host!r} ({error.strerror}); use another {flags}port"
    return CannotListen(text, error.errno)


def _no_address(host: str, flags: str, error: OSError) -> CannotListen:
    return CannotListen(f"{host!r} is no address of this machine; use {flags}host 127.0.0.1", error.errno)


def own_address() -> str:
    """This machine's IPv4 address in its network, or nothing; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that documentation may use
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
        return address


def owner_of(port: int) -> str:
    """`pid 123 (peer serve)` for the process that listens on `port`; empty where it cannot be seen."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                return f"pid {process.name} ({_command(process)})"
        except OSError:  # gone meanwhile, or another user's
            continue
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _command(process: Path) -> str:
    """The command of a process as a person would name it: `peer serve`, not the interpreter and its paths."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if len(words) > 1 and Path(words[0]).name.startswith("python") and not words[1].startswith("-"):
        words = words[1:]
    name = Path(words[0]).name
    verb = words[1] if len(words) > 1 and words[1].isalpha() else ""
    return f"{name} {verb}".strip()


def _free_port(host: str, port: int) -> int:
    """The next port that nobody listens on, or 0, which means any."""
    for candidate in range(port + 1, min(port + 1 + _MAX_PORTS_TRIED, 65536)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host or None, candidate, type=socket.SOCK_STREAM)[0]
            _listen_on(family, kind, protocol, address).close()
        except OSError:
            continue
        return candidate
    return 0
