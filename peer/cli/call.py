"""`peer call`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peer.cli import options, output

if TYPE_CHECKING:
    from peer.calling import Calling, Outcome, Plan
    from peer.logs import LineHandler
    from peer.rtc.ice.servers import IceSettings

logger = logging.getLogger(__name__)

Url = Annotated[str, typer.Argument(metavar="URL", envvar="PEER_URL", help="Of the signaling server.")]
To = Annotated[str | None, typer.Option(metavar="NAME", help="Call only NAME; else everybody who is or comes there.")]
Record = Annotated[Path | None, typer.Option(metavar="DIR", help="Record each participant to a file in DIR.")]


@options.with_network()
def call(
    url: Url,
    *,
    room: options.Room = "lab",
    name: options.Name = "bot",
    token: options.Token = None,
    token_file: options.TokenFile = None,
    to: To = None,
    video: options.Video = "test",
    audio: options.Audio = "test",
    record: Record = None,
    seconds: options.Seconds = None,
    timeout: options.Timeout = 20.0,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Join a room, call and answer, show, play, record.

    Calls NAME, or everybody who is or comes there, and answers whoever calls. Shows the test picture and plays the
    test tone unless told otherwise, so that the first call needs no camera.

    Ends on Ctrl-C, after --seconds, or when the other side hung up and --to was given.
    """
    from peer import logs
    from peer.calling import Plan
    from peer.cli.signals import run

    handler = logs.set_up(verbose=verbose, quiet=quiet)
    plan = Plan(
        url=url,
        room=room,
        name=name,
        to=to,
        video=video,
        audio=audio,
        record=record,
        seconds=seconds,
        timeout=timeout,
        token=options.token(token, token_file),
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    outcome = run(carry_out(plan, handler, live=not quiet and not json))
    return report(plan, outcome, json=json) if outcome is not None else 0


async def carry_out(plan: "Plan", handler: "LineHandler", *, live: bool) -> "Outcome":
    """Do what `plan` says; an error is in what comes of it."""
    from peer.calling import Outcome, call
    from peer.cli.live import live_while
    from peer.errors import Error

    watched: list[Calling] = []
    try:
        async with live_while(handler, lambda: watched[0].status() if watched else "joining", wanted=live):
            return await call(plan, watched.append)
    except Error as error:
        logger.debug("ended by an error", exc_info=error)
        return Outcome(watched[0].reports if watched else [], error)


def report(plan: "Plan", outcome: "Outcome", *, json: bool) -> int:
    """Print what came of it; the exit code."""
    error = outcome.error
    code = error.exit_code if error else 0
    if json:
        output.print_json(to_json(plan, outcome, code))
    elif outcome.reports:
        output.print_calls(outcome.reports)
    if error is not None:
        typer.echo(str(error), err=True)
    return code


def to_json(plan: "Plan", outcome: "Outcome", code: int) -> dict[str, Any]:
    """The result of `peer call` as one JSON object."""
    return {
        "room": plan.room,
        "name": plan.name,
        "exitCode": code,
        "error": str(outcome.error) if outcome.error else None,
        "interrupted": outcome.interrupted,
        "calls": [report.to_json() for report in outcome.reports],
    }
