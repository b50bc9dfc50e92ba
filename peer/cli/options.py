"""The flags that several verbs share, spelled once; a flag stands above its environment variable."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import os
import re
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.servers import IceSettings
    from peer.tokens import TokenSource

MAX_FILE: Final = 64 * 1024
SOURCES: Final = "test[:WIDTHxHEIGHT@FPS], camera[:DEVICE], display[:NAME], file:PATH[,loop] or none"
SOUNDS: Final = "test, microphone[:DEVICE], file:PATH[,loop] or none"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings, errors and the result.")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Say more; -vv: the libraries too.")
]
Seconds = Annotated[float | None, typer.Option(metavar="S", min=0.1, help="End after S seconds.")]
Timeout = Annotated[float, typer.Option(metavar="S", min=0.1, help="Seconds to wait for the other side.")]
Room = Annotated[str, typer.Option(metavar="ROOM", envvar="PEER_ROOM", help="The room.")]
Name = Annotated[str, typer.Option(metavar="NAME", envvar="PEER_NAME", help="Our name in the room.")]
Video = Annotated[str, typer.Option(metavar="SRC", help=f"What to show: {SOURCES}.")]
Audio = Annotated[str, typer.Option(metavar="SRC", help=f"What to be heard: {SOUNDS}.")]
Port = Annotated[int | None, typer.Option(metavar="P", envvar="PORT", min=0, max=65535, help="Port; 0: any free one.")]
IceServers = Annotated[
    list[str] | None,
    typer.Option(
        "--ice-server",
        metavar="URL",
        show_default=False,
        show_envvar=False,
        help="stun:HOST, turn:USER:PASSWORD@HOST or JSON as in browsers; repeatable. [env var: PEER_ICE_SERVERS]",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        envvar="PEER_TOKEN",
        show_default=False,
        help="Access token, where the server wants one; others on this machine may see what is on a command line.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="The same, in FILE; read again when a fresh one is wanted."),
]
Recordings = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Recordings, their manifests, or directories of them.")
]

_NETWORK: Final = "Network"
UdpPort = Annotated[
    int | None,
    typer.Option(metavar="P", min=1, max=65535, rich_help_panel=_NETWORK, help="One UDP port for all calls."),
]
UdpPorts = Annotated[
    str | None,
    typer.Option(metavar="A-B", rich_help_panel=_NETWORK, help="UDP ports of calls are taken from this range."),
]
TcpPort = Annotated[
    int | None,
    typer.Option(
        metavar="P",
        min=1,
        max=65535,
        rich_help_panel=_NETWORK,
        help="Be reached by TCP on this port too (ICE-TCP), by browsers in networks without UDP.",
    ),
]
PublicIp = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IP",
        show_default=False,
        rich_help_panel=_NETWORK,
        help="Announce this address in place of our private one (NAT 1:1); repeatable.",
    ),
]
Interface = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|IP|NETWORK",
        show_default=False,
        rich_help_panel=_NETWORK,
        help="Use these network interfaces only; repeatable.",
    ),
]
Ipv6 = Annotated[bool, typer.Option("--ipv6/--no-ipv6", rich_help_panel=_NETWORK, help="Use IPv6.")]
Relay = Annotated[bool, typer.Option("--relay", rich_help_panel=_NETWORK, help="Go through a TURN server only.")]
CaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=_NETWORK, help="Certificate authority of turns: servers (PEM)."),
]


def with_network(*names: str) -> "Callable[[Callable[..., int]], Callable[..., int]]":
    """Gives a command the flags of the panel "Network" in the place of its parameter `network`, which is what they say.

    `names`: only these of them. The command raises what `network` raises.
    """
    flags = [each for name, each in signature(network).parameters.items() if not names or name in names]

    def decorate(command: "Callable[..., int]") -> "Callable[..., int]":
        @wraps(command)
        def run(*arguments: Any, **given: Any) -> int:
            said = network(**{each.name: given.pop(each.name) for each in flags})
            return command(*arguments, network=said, **given)

        own = signature(command)
        parameters = [
            flag for each in own.parameters.values() for flag in (flags if each.name == "network" else [each])
        ]
        # What typer reads of a function: its parameters, and their annotations.
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def network(
    *,
    udp_port: UdpPort = None,
    udp_ports: UdpPorts = None,
    tcp_port: TcpPort = None,
    public_ip: PublicIp = None,
    interface: Interface = None,
    ipv6: Ipv6 = True,
    relay: Relay = False,
    ca_file: CaFile = None,
) -> "IceSettings":
    """What the flags of the panel "Network" say.

    Raises:
        UsageError: a range or an address that is none.
    """
    from peer.rtc.ice.servers import IceSettings

    if udp_port is not None and udp_ports is not None:
        raise UsageError("--udp-port and --udp-ports exclude each other; leave one out")
    return IceSettings(
        policy="relay" if relay else "all",
        ipv6=ipv6,
        interfaces=tuple(interface or ()),
        public_ips=tuple(_address(text) for text in public_ip or ()),
        udp_port=udp_port,
        udp_ports=_range(udp_ports) if udp_ports is not None else None,
        tcp_port=tcp_port,
        ca_file=str(ca_file) if ca_file is not None else None,
    )


def token(text: str | None, file: Path | None) -> "TokenSource | None":
    """Where access tokens are from; a file stands above the environment's."""
    from peer.tokens import TokenFile as File

    return File(file) if file is not None else text or None


def seconds_of(text: str, flag: str) -> float:
    """Seconds that `600`, `90s`, `10m` or `1h` mean. Raises UsageError for anything else, and for none at all."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smh]?)", text.strip().lower())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"{flag} {text} is no length of time; write it like 600, 90s, 10m or 1h")
    return seconds


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text.strip())
    low, high = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < low <= high <= 65535:
        raise UsageError(f"--udp-ports {text} is no range of ports; write it like 50000-50100")
    return low, high


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise UsageError(f"--public-ip {text} is no IP address; write one like 203.0.113.7") from None


def ice_servers(flags: list[str] | None, file: Path | None = None) -> tuple[list[str], str]:
    """The texts that describe the ICE servers, and where they are from: a flag, a file, the environment, or nowhere.

    Raises:
        UsageError: the file cannot be read.
    """
    if flags:
        return flags, "--ice-server"
    if file is not None:
        return entries(_read(file)), f"--ice-servers-file {file}"
    if text := os.environ.get("PEER_ICE_SERVERS", "").strip():
        return entries(text), "PEER_ICE_SERVERS"
    return [], "default"


def entries(text: str) -> list[str]:
    """The ICE servers of a file or a variable: JSON, or URLs between spaces, commas or lines; # begins a note."""
    text = text.strip()
    if text[:1] in ("{", "["):
        return [text]
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [word for line in lines for word in re.split(r"[\s,]+", line) if word]


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise UsageError(f"{file} is too long for a list of ICE servers; shorten it")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the ICE servers in {file} cannot be read ({reason}); correct --ice-servers-file") from error
