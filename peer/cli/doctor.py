"""`peer doctor`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from peer.cli import options, output

if TYPE_CHECKING:
    from peer.doctor.examination import Plan
    from peer.doctor.findings import Findings
    from peer.logs import LineHandler
    from peer.rtc.ice.servers import IceSettings

Url = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", envvar="PEER_URL", help="Of the signaling server: calls are made through it too."),
]
# PEER_ROOM does not count: who is there did not ask for a call of a doctor.
Room = Annotated[str, typer.Option(metavar="ROOM", help="The room to call in.")]
To = Annotated[
    str | None, typer.Option(metavar="NAME", help="Call NAME; else whoever is in the room, else an end of our own.")
]
Timeout = Annotated[float, typer.Option(metavar="S", min=0.5, max=60, help="Seconds for each server and each call.")]


@options.with_network("interface", "ipv6", "ca_file")
def doctor(
    url: Url = None,
    *,
    ice_server: options.IceServers = None,
    room: Room = "doctor",
    to: To = None,
    token: options.Token = None,
    token_file: options.TokenFile = None,
    timeout: Timeout = 5.0,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Find out what stands in the way of calls.

    Asks each STUN and TURN server what it gives and how fast, tells what kind of NAT there is and whether UDP, TCP and
    TLS get out. With URL: takes the servers that the signaling server hands out too, and makes a call through each
    path, to NAME, to whoever is in the room, or to an end of its own.
    """
    from peer import logs
    from peer.cli.signals import run
    from peer.doctor.examination import Plan
    from peer.joining import ice_server as parsed

    handler = logs.set_up(verbose=verbose, quiet=quiet)
    if not verbose:
        for name in (*logs.OURS, *logs.NARRATED):  # what fails is in the table, once
            logging.getLogger(name).setLevel(logging.CRITICAL)
    texts, origin = options.ice_servers(ice_server)
    plan = Plan(
        url=url,
        room=room,
        to=to,
        servers=tuple(server for text in texts for server in parsed(text)),
        origin=origin,
        settings=network,
        timeout=timeout,
        token=options.token(token, token_file),
    )
    code = run(_examine(plan, handler, live=not quiet and not json, json=json))
    return code if code is not None else 0


async def _examine(plan: "Plan", handler: "LineHandler", *, live: bool, json: bool) -> int:
    from peer.cli.live import live_while
    from peer.doctor.examination import Examination

    examination = Examination(plan)
    async with live_while(handler, examination.status, wanted=live):
        findings = await examination.run()
    code = _report(findings, json=json)
    if any(server.looking_up for server in findings.servers):
        # The system's resolver holds its thread for half a minute more, and the process with it.
        sys.stdout.flush()
        os._exit(code)
    return code


def _report(findings: "Findings", *, json: bool) -> int:
    from peer.doctor import diagnosis, shown

    if json:
        output.print_json(shown.to_json(findings))
    else:
        output.print_checks(shown.rows(findings))
        for sentence in diagnosis.diagnose(findings):
            output.say(f"{sentence.level}: {sentence.text}")
        output.say(diagnosis.summary(findings))
    return diagnosis.exit_code(findings)
