"""`peer swarm`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peer.cli import options, output
from peer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from peer.logs import LineHandler
    from peer.rtc.ice.servers import IceSettings
    from peer.swarm.plan import Plan
    from peer.swarm.report import SwarmReport
    from peer.swarm.swarm import Swarm

Url = Annotated[
    str,
    typer.Argument(metavar="URL", envvar="PEER_URL", help="Of the signaling server, or of a WHIP or WHEP endpoint."),
]
Bots = Annotated[int, typer.Option(metavar="N", help="How many bots.")]
Rooms = Annotated[int, typer.Option(metavar="K", help="Spread them over K rooms: ROOM-01, ROOM-02, ...")]
Calls = Annotated[str, typer.Option(metavar="pairs|mesh|none", help="Whom bots call: each one other, all, or nobody.")]
To = Annotated[
    str | None, typer.Option(metavar="NAME", help="Every bot calls NAME, who is none of them; nobody else is called.")
]
Script = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Each bot runs this script (see peer bot) instead of calling.")
]
Video = Annotated[str | None, typer.Option(metavar="SRC", help=f"What bots show: {options.SOURCES}.  [default: test]")]
Audio = Annotated[str | None, typer.Option(metavar="SRC", help=f"What is heard: {options.SOUNDS}.  [default: test]")]
ReceiveOnly = Annotated[bool, typer.Option("--receive-only", help="Bots send no media; for --to, or --calls none.")]
Decode = Annotated[str, typer.Option(metavar="N|N%", help="How many bots decode, and so measure the latency.")]
Processes = Annotated[str, typer.Option(metavar="N|auto", help="Processes; auto: one for each core.")]
Ramp = Annotated[str, typer.Option(metavar="N/s", help="Bots that begin in a second.")]
Seconds = Annotated[float, typer.Option(metavar="S", min=0.1, help="Go on for S seconds when all bots have begun.")]
ReportFile = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the report as JSON.")]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page with charts.")
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(metavar="CONDITION", show_default=False, help="Such as join_p95>2s: exit code 8 then; repeatable."),
]


@options.with_network("udp_ports", "interface", "ipv6", "relay", "ca_file")
def swarm(
    url: Url,
    *,
    room: options.Room = "lab",
    bots: Bots = 10,
    rooms: Rooms = 1,
    calls: Calls = "pairs",
    to: To = None,
    video: Video = None,
    audio: Audio = None,
    script: Script = None,
    receive_only: ReceiveOnly = False,
    decode: Decode = "1%",
    processes: Processes = "auto",
    ramp: Ramp = "10/s",
    seconds: Seconds = 60.0,
    report: ReportFile = None,
    html: HtmlFile = None,
    fail_if: FailIf = None,
    timeout: options.Timeout = 20.0,
    token: options.Token = None,
    token_file: options.TokenFile = None,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Load a server, or one participant, with many bots.

    Bots in pairs call each other, over real ICE, DTLS, SRTP and RTCP; what they measure is summed up at the end.
    Nothing is decoded but by the few that measure the latency.

    Ends when the time is over, or on Ctrl-C, with a report either way; exit code 8 when a --fail-if is true.
    """
    from peer import logs
    from peer.cli.signals import run
    from peer.swarm.conditions import parse_condition
    from peer.swarm.machine import cores
    from peer.swarm.plan import Plan, processes_of, rate_of
    from peer.whip import direction_of, endpoint_name

    if (direction := direction_of(url)) is not None:  # bots send to it, or receive from it, and nothing else
        if script is not None or to is not None or rooms != 1:
            raise UsageError("bots at a WHIP or WHEP URL have no rooms; leave --script, --to and --rooms out")
        to, receive_only = endpoint_name(url), direction == "recvonly"
    handler = logs.set_up(verbose=verbose, quiet=quiet)
    usual = "none" if script is not None else "test"
    plan = Plan(
        url=url,
        room=room,
        rooms=rooms,
        bots=bots,
        calls=calls,
        to=to,
        video=video or usual,
        audio=audio or usual,
        receive_only=receive_only,
        script=str(script) if script is not None else None,
        decode=decode,
        processes=processes_of(processes, cores(), bots),
        ramp=rate_of(ramp),
        seconds=seconds,
        timeout=timeout,
        token=token,
        token_file=str(token_file.absolute()) if token_file is not None else None,
        conditions=[parse_condition(text) for text in fail_if or ()],
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    _writable("--report", report)
    _writable("--html", html)
    found = run(_swarm(plan, handler, live=not quiet and not json))
    return _report(found, report, html, json=json) if found is not None else 0


async def _swarm(plan: "Plan", handler: "LineHandler", *, live: bool) -> "SwarmReport":
    from peer.cli.live import drawn_while
    from peer.cli.swarmtable import running
    from peer.swarm.swarm import run

    watched: list[Swarm] = []

    def picture(console: "Console") -> "RenderableType":
        return running(watched[0], console.height) if watched else "starting"

    async with drawn_while(output.live(handler, picture, wanted=live)):
        return await run(plan, watched.append)


def _report(found: "SwarmReport", report: Path | None, html: Path | None, *, json: bool) -> int:
    from peer.cli.swarmtable import print_report
    from peer.swarm.html import page
    from peer.swarm.report import encode

    if report is not None:
        _write(report, encode(found))
    if html is not None:
        _write(html, page(found).encode())
    if json:
        import msgspec

        output.print_json(msgspec.to_builtins(found))
    else:
        print_report(found)
        for path in (report, html):
            if path is not None:
                output.say(f"report: {path}")
    if found.saturation.text:
        typer.echo(f"warning: {found.saturation.text}", err=True)
    if found.error is not None:
        typer.echo(found.error, err=True)
    return found.exit_code


def _writable(flag: str, path: Path | None) -> None:
    """A minute of load is not to end in an error that could be known before."""
    from peer.errors import DeviceError

    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise DeviceError(
            f"{flag} {path} cannot be written: {'it is' if path.is_dir() else 'there is no'} directory"
            f"{'' if path.is_dir() else f' {path.parent}'}; name a file"
        )


def _write(path: Path, data: Any) -> None:
    from peer.errors import DeviceError

    try:
        path.write_bytes(data)
    except OSError as error:
        raise DeviceError(f"{path} could not be written ({error.strerror}); name another file") from error
