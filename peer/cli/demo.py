"""`peer demo`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peer.cli import options, output
from peer.cli.settings import NO_CAMERA, is_local
from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.calling import Calling
    from peer.demo import DemoPlan, DemoResult
    from peer.logs import LineHandler

logger = logging.getLogger(__name__)

Seconds = Annotated[float, typer.Option(metavar="S", min=1, max=3600, help="Seconds to record.")]
Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the recordings go.")]
RECORDINGS = Path("recordings")
Host = Annotated[str, typer.Option(metavar="H", envvar="HOST", help="Address to listen on.")]
Open = Annotated[bool, typer.Option("--open", help="Let everybody in who reaches --host.")]
Room = Annotated[str, typer.Option(metavar="ROOM", envvar="PEER_ROOM", help="The room.")]
Port = Annotated[
    int | None,
    typer.Option(metavar="P", envvar="PORT", min=0, max=65535, help="Port of the server; else 8080 or any free one."),
]


def demo(
    *,
    seconds: Seconds = 10.0,
    directory: Output = RECORDINGS,
    video: options.Video = "test",
    audio: options.Audio = "test",
    host: Host = "127.0.0.1",
    port: Port = None,
    open: Open = False,
    room: Room = "demo",
    timeout: options.Timeout = 20.0,
    ice_server: options.IceServers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Let two headless peers call each other and record.

    A server, a peer that answers and one that calls, on this machine: the test picture and tone go both ways, both ends
    record, the files are verified. On a terminal one of them then waits for your browser, until Ctrl-C.
    """
    from peer import logs
    from peer.cli.signals import run
    from peer.demo import DemoPlan

    handler = logs.set_up(verbose=verbose, quiet=quiet)
    if not open and not is_local(host):
        raise UsageError(f"--host {host} would let everybody who reaches it into the room; add --open if they may")
    plan = DemoPlan(
        room=room,
        host=host,
        open=open,
        port=port,
        seconds=seconds,
        output=directory,
        video=video,
        audio=audio,
        timeout=timeout,
        ice_servers=options.ice_servers(ice_server)[0],
    )
    return run(_demo(plan, handler, json=json, live=not quiet and not json)) or 0


async def _demo(plan: "DemoPlan", handler: "LineHandler", *, json: bool, live: bool) -> int:
    from peer.cli.live import live_while
    from peer.demo import Demo

    one = Demo(plan)
    if not is_local(plan.host):
        logger.warning(NO_CAMERA)
    async with one.prepared() as bot:
        async with live_while(handler, one.status, wanted=live):
            result = await one.show(bot)
        _report(result, json=json)
        if result.error is not None:
            return result.error.exit_code
        if not json and output.is_interactive():
            output.say(f"Call the {bot.name} from a browser: {result.page} (Ctrl-C ends it)")
            watched: list[Calling] = []
            try:
                async with live_while(handler, lambda: watched[0].status() if watched else "", wanted=live):
                    await one.stay(bot, watched.append)
            finally:
                if watched and watched[0].reports:
                    output.print_calls(watched[0].reports)
    return 0


def _report(result: "DemoResult", *, json: bool) -> None:
    if json:
        output.print_json(result.to_json())
    elif result.reports:
        output.print_calls(result.reports)
        for path, found in result.checks.items():
            verdict = "verified" if found.ok else f"not good: {'; '.join(found.problems)}"
            output.say(f"{path}: {found.seconds:.1f} s, {found.video_frames} pictures, {verdict}")
    if result.error is not None:
        typer.echo(str(result.error), err=True)
