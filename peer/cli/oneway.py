"""`peer publish` and `peer pull`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peer.cli import options
from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.calling import Plan
    from peer.rtc.ice.servers import IceSettings

WhipUrl = Annotated[str, typer.Argument(metavar="WHIP_URL", help="Of the endpoint, such as http://HOST/whip/lab/desk.")]
WhepUrl = Annotated[str, typer.Argument(metavar="WHEP_URL", help="Of the endpoint, such as http://HOST/whep/lab/desk.")]
Record = Annotated[Path | None, typer.Option(metavar="DIR", help="Record what comes to a file in DIR.")]
_NETWORK = ("udp_ports", "interface", "ipv6", "relay", "ca_file")


@options.with_network(*_NETWORK)
def publish(
    url: WhipUrl,
    *,
    video: options.Video = "test",
    audio: options.Audio = "test",
    token: options.Token = None,
    token_file: options.TokenFile = None,
    seconds: options.Seconds = None,
    timeout: options.Timeout = 20.0,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Send pictures and sound to a WHIP endpoint.

    Ends on Ctrl-C, after --seconds, or when the endpoint ends the session.
    """
    if "none" == video == audio:
        raise UsageError("there is nothing to publish; name a source with --video or --audio")
    from peer.calling import Plan
    from peer.whip import WhipConnect

    connect = WhipConnect(url, direction="sendonly", token=options.token(token, token_file), timeout=timeout)
    plan = Plan(
        url=connect,
        room="whip",
        name="publisher",
        to=connect.endpoint,
        video=video,
        audio=audio,
        seconds=seconds,
        timeout=timeout,
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    return _run(plan, json=json, quiet=quiet, verbose=verbose)


@options.with_network(*_NETWORK)
def pull(
    url: WhepUrl,
    *,
    record: Record = None,
    token: options.Token = None,
    token_file: options.TokenFile = None,
    seconds: options.Seconds = None,
    timeout: options.Timeout = 20.0,
    ice_server: options.IceServers = None,
    network: "IceSettings",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Receive pictures and sound from a WHEP endpoint.

    Ends on Ctrl-C, after --seconds, or when the endpoint ends the session.
    """
    from peer.calling import Plan
    from peer.whip import WhipConnect

    connect = WhipConnect(url, direction="recvonly", token=options.token(token, token_file), timeout=timeout)
    plan = Plan(
        url=connect,
        room="whep",
        name="player",
        to=connect.endpoint,
        video="none",
        audio="none",
        record=record,
        seconds=seconds,
        timeout=timeout,
        ice_servers=options.ice_servers(ice_server)[0],
        network=network,
    )
    return _run(plan, json=json, quiet=quiet, verbose=verbose)


def _run(plan: "Plan", *, json: bool, quiet: bool, verbose: int) -> int:
    from peer import logs
    from peer.cli.call import carry_out, report
    from peer.cli.signals import run

    handler = logs.set_up(verbose=verbose, quiet=quiet)
    outcome = run(carry_out(plan, handler, live=not quiet and not json))
    return report(plan, outcome, json=json) if outcome is not None else 0
