"""`peer bot`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import os
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from peer.cli import options

if TYPE_CHECKING:
    from peer.events import Event, ScriptEnded
    from peer.rtc.ice.servers import IceSettings

Script = Annotated[Path, typer.Argument(metavar="SCRIPT", help="With async def main(room) or on_call(call).")]
Url = Annotated[str, typer.Argument(metavar="URL", envvar="PEER_URL", help="Of the signaling server.")]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="[-- ARGS...]", show_default=False, help="For the script: its sys.argv.")
]
Reload = Annotated[bool, typer.Option("--reload", help="Read the script anew when it is edited; calls go on.")]
Restart = Annotated[str, typer.Option(metavar="never|on-failure|always", help="Whether it begins again when it ended.")]


@options.with_network()
def bot(
    script: Script,
    url: Url,
    arguments: Arguments = None,
    *,
    room: options.Room = "lab",
    name: options.Name = "bot",
    token: options.Token = None,
    token_file: options.TokenFile = None,
    video: options.Video = "none",
    audio: options.Audio = "none",
    reload: Reload = False,
    restart: Restart = "never",
    seconds: options.Seconds = None,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each event on stdout.")] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Run a script as a bot in a room.

    The script has `async def main(room)`, which runs once, or `async def on_call(call)`, which runs over each call
    that comes in. What is behind -- it finds in sys.argv.

    Ends on Ctrl-C, after --seconds, or when the script does.
    """
    from peer import logs
    from peer.bot import Bot, Plan
    from peer.cli.signals import run

    logs.set_up(verbose=verbose, quiet=quiet)
    words = list(arguments or ())
    if "://" not in url and "PEER_URL" in os.environ:  # the first of the script's arguments, where no URL was given
        words, url = [url, *words], os.environ["PEER_URL"]
    plan = Plan(
        url=url,
        room=room,
        name=name,
        script=script,
        arguments=words,
        video=video,
        audio=audio,
        reload=reload,
        restart=restart,
        seconds=seconds,
        token=options.token(token, token_file),
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    out = sys.stdout

    def tell(event: "Event") -> None:
        if json:
            _print(event, out)
        else:
            _show(event)

    with redirect_stdout(sys.stderr) if json else nullcontext():  # what the script prints is no event
        ended: ScriptEnded | None = run(Bot(plan, tell).run())
    if ended is None:
        return 0
    if ended.error:
        typer.echo(ended.error.translate(logs.CONTROLS), err=True)
    return ended.exit_code


def _show(event: "Event") -> None:
    """What the log does not tell: where a script failed."""
    from peer import events, logs

    if isinstance(event, events.ScriptFailed):
        heading = f"in the call with {event.call}:\n" if event.call else ""
        typer.echo(f"{heading}{event.traceback}".rstrip().translate(logs.CONTROLS), err=True)


def _print(event: "Event", out: TextIO) -> None:
    from json import dumps

    out.write(dumps(to_json(event, datetime.now(UTC)), ensure_ascii=False) + "\n")
    out.flush()


def to_json(event: "Event", at: datetime) -> dict[str, Any]:
    """An event as one JSON object: `time`, `event` (its name in `peer.events`), and its fields."""
    fields = {_camel(name): value for name, value in asdict(event).items()}
    return {"time": at.isoformat(timespec="milliseconds"), "event": type(event).__name__, **fields}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
