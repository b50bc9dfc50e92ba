"""`peer serve`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import contextlib
import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from peer.cli import identity, options, output
from peer.cli.settings import NO_CAMERA, ServeSettings, is_local
from peer.errors import UsageError

logger = logging.getLogger(__name__)

Host = Annotated[str, typer.Option(metavar="H", envvar="HOST", help="Address to listen on; 0.0.0.0: all of them.")]
Port = Annotated[int, typer.Option(metavar="P", envvar="PORT", min=0, max=65535, help="Port; 0: any free one.")]
ServersFile = Annotated[Path | None, typer.Option(metavar="F", help="File of ICE servers: JSON, or a URL a line.")]
Static = Annotated[Path | None, typer.Option(metavar="DIR", help="Serve the files of DIR beside the page.")]
Origin = Annotated[list[str] | None, typer.Option(metavar="URL", help="Pages that may connect too; repeatable.")]
PeerJsPath = Annotated[str, typer.Option(metavar="PATH", help="What pages written with PeerJS give as their path.")]
RoomSize = Annotated[int, typer.Option(metavar="N", min=1, help="Participants that one room may hold.")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="Print the configuration with its origin, and end.")]


def serve(
    context: typer.Context,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    room: options.Room = "lab",
    ice_server: options.IceServers = None,
    ice_servers_file: ServersFile = None,
    static: Static = None,
    origin: Origin = None,
    room_size: RoomSize = 64,
    peerjs_path: PeerJsPath = "/",
    key_file: identity.KeyFiles = None,
    secret_env: identity.SecretEnv = None,
    audience: identity.Audience = None,
    open: identity.Open = False,
    turn: identity.TurnUrls = None,
    turn_secret_file: identity.TurnSecretFile = None,
    turn_secret_env: identity.TurnSecretEnv = None,
    turn_ttl: identity.TurnTtl = "1h",
    seconds: options.Seconds = None,
    show_config: ShowConfig = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Run the signaling server and its page until Ctrl-C.

    Without keys everybody may enter every room, so it listens on this machine only unless --open is given.
    """
    from peer import logs
    from peer.cli.signals import run

    logs.set_up(verbose=verbose, quiet=quiet, narrated=())
    servers, origin_of_servers = options.ice_servers(ice_server, ice_servers_file)
    if static is not None and not static.is_dir():
        raise UsageError(f"{static} is no folder; give --static the folder that holds your pages")
    who = identity.Identity(
        key_file=key_file or (),
        secret_env=secret_env,
        audience=audience,
        open=open,
        turn=turn or (),
        turn_secret_file=turn_secret_file,
        turn_secret_env=turn_secret_env,
        turn_ttl=options.seconds_of(turn_ttl, "--turn-ttl"),
    )
    settings = ServeSettings(host, port, room, servers, static, origin or [], room_size, peerjs_path, seconds, who)
    settings.parsed()
    if show_config:
        _show(settings, context, origin_of_servers, json=json)
        return 0
    who.check(host)
    run(_serve(settings, json=json))
    return 0


async def _serve(settings: ServeSettings, *, json: bool) -> None:
    import asyncio  # not above: `peer --help` would wait for it

    from peer import hosting

    async with hosting.serve(
        host=settings.host,
        port=settings.port,
        ice_servers=settings.parsed(),
        static=settings.static,
        limits=hosting.Limits(room_size=settings.room_size),
        allowed_origins=settings.origins,
        peerjs_path=settings.peerjs_path,
        access=settings.identity.access(),
        open=settings.identity.open,
        turn=settings.identity.turn_access(),
    ) as server:
        page = server.page(settings.room)
        if json:
            urls = {"url": server.url, "page": page, "urls": server.urls}
            output.print_json({**urls, "host": settings.host, "port": server.port, "pid": os.getpid()})
        else:
            output.say(f"Signaling server and page: {page}")
        for url in server.urls[1:]:
            logger.info("in this network: %s", url)
        if not is_local(settings.host):
            logger.warning(NO_CAMERA)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.seconds):
                await asyncio.get_running_loop().create_future()


def _show(settings: ServeSettings, context: typer.Context, origin_of_servers: str, *, json: bool) -> None:
    shown = settings.shown()
    origins = {name: _origin(context, name) for name in shown} | {"ice_servers": origin_of_servers}
    if json:
        output.print_json({name: {"value": value, "origin": origins[name]} for name, value in shown.items()})
        return
    for name, value in shown.items():
        output.say(f"{name.replace('_', '-'):16} {_written(value):32} {origins[name]}")


def _origin(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source("origin" if name == "origins" else name)
    if source is not None and source.name == "ENVIRONMENT":
        return {"host": "HOST", "port": "PORT", "room": "PEER_ROOM"}.get(name, "environment")
    if source is not None and source.name == "COMMANDLINE":
        return f"--{name.replace('_', '-')}"
    return "default"


def _written(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
