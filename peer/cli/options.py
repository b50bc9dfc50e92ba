"""The flags that several verbs share, spelled once; a flag stands above its environment variable."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from peer.errors import UsageError

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
        help="stun:HOST, turn:USER:PASSWORD@HOST or JSON as in browsers; repeatable. [env var: PEER_ICE_SERVERS]",
    ),
]


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
