"""`peer record`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from peer.cli import options, output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    import peer.recording
    from peer.calling import Outcome
    from peer.logs import LineHandler
    from peer.recordall import Plan, RecordingAll
    from peer.rtc.ice.servers import IceSettings

logger = logging.getLogger(__name__)

Url = Annotated[str, typer.Argument(metavar="URL", envvar="PEER_URL", help="Of the signaling server.")]
Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the recordings go.")]
Format = Annotated[str, typer.Option("--format", metavar="mkv|webm|mp4", help="Container of the files.")]
Segment = Annotated[str | None, typer.Option(metavar="TIME", help="Begin another file every 600, 90s, 10m or 1h.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", show_default=False, help="Record nobody but NAME; repeatable."),
]
RECORDINGS = Path("recordings")


@options.with_network()
def record(
    url: Url,
    *,
    room: options.Room = "lab",
    name: options.Name = "recorder",
    token: options.Token = None,
    token_file: options.TokenFile = None,
    directory: Output = RECORDINGS,
    container: Format = "mkv",
    segment: Segment = None,
    only: Only = None,
    seconds: options.Seconds = None,
    timeout: options.Timeout = 20.0,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Record everyone in a room, a file each.

    Joins silently, calls everybody who is or comes there, answers whoever calls, and writes what they send as it was
    sent. Their pages say that they are recorded.

    Ends on Ctrl-C or after --seconds, with every file finished.
    """
    from peer import logs
    from peer.cli.signals import run
    from peer.recordall import Plan

    handler = logs.set_up(verbose=verbose, quiet=quiet)
    plan = Plan(
        url=url,
        room=room,
        name=name,
        output=directory,
        format=cast("peer.recording.Format", container),  # checked there
        segment=options.seconds_of(segment, "--segment") if segment is not None else None,
        only=only or None,
        seconds=seconds,
        timeout=timeout,
        token=options.token(token, token_file),
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    outcome = run(_record(plan, handler, live=not quiet and not json))
    return _report(plan, outcome, json=json) if outcome is not None else 0


async def _record(plan: "Plan", handler: "LineHandler", *, live: bool) -> "Outcome":
    from peer.calling import Outcome
    from peer.cli.live import drawn_while
    from peer.errors import Error
    from peer.recordall import record

    watched: list[RecordingAll] = []
    try:
        async with drawn_while(output.live(handler, lambda console: _picture(watched, console), wanted=live)):
            return await record(plan, watched.append)
    except Error as error:
        logger.debug("ended by an error", exc_info=error)
        return Outcome(watched[0].reports if watched else [], error)


def _picture(watched: "list[RecordingAll]", console: "Console") -> "RenderableType":
    """The table of those who are recorded now, and of as many of the others as there is room for, the newest first."""
    if not watched:
        return "joining"
    recording = watched[0]
    running = {id(one.report): one.rates[1] for one in recording.observed.values()}
    newest = reversed(recording.reports)
    shown = sorted(newest, key=lambda report: id(report) not in running)[: max(1, console.height // 2)]
    if not shown:
        return f"room {recording.room.room}: nobody to record yet"
    return output.recordings(shown, running, with_files=False)


def _report(plan: "Plan", outcome: "Outcome", *, json: bool) -> int:
    error = outcome.error
    code = error.exit_code if error else 0
    if json:
        output.print_json(to_json(plan, outcome, code))
    elif outcome.reports:
        output.print_recordings(outcome.reports)
    if error is not None:
        typer.echo(str(error), err=True)
    return code


def to_json(plan: "Plan", outcome: "Outcome", code: int) -> dict[str, Any]:
    """The result of `peer record` as one JSON object."""
    return {
        "room": plan.room,
        "name": plan.name,
        "output": str(plan.output),
        "exitCode": code,
        "error": str(outcome.error) if outcome.error else None,
        "interrupted": outcome.interrupted,
        "calls": [report.to_json() for report in outcome.reports],
    }
