"""`peer serve`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peer.cli import identity, operating, options, output
from peer.cli.configfile import Config
from peer.cli.operating import LogFormat, OperatingFlags
from peer.cli.settings import NO_CAMERA, ServeSettings, is_local
from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.hosting import Limits, Operation

logger = logging.getLogger(__name__)

Host = Annotated[
    str, typer.Option(metavar="H", envvar=["PEER_HOST", "HOST"], help="Address to listen on; 0.0.0.0: all of them.")
]
Port = Annotated[
    int, typer.Option(metavar="P", envvar=["PEER_PORT", "PORT"], min=0, max=65535, help="Port; 0: any free one.")
]
ServersFile = Annotated[Path | None, typer.Option(metavar="F", help="File of ICE servers: JSON, or a URL a line.")]
Static = Annotated[Path | None, typer.Option(metavar="DIR", help="Serve the files of DIR beside the page.")]
Origin = Annotated[list[str] | None, typer.Option(metavar="URL", help="Pages that may connect too; repeatable.")]
PeerJsPath = Annotated[str, typer.Option(metavar="PATH", help="What pages written with PeerJS give as their path.")]
RoomSize = Annotated[int, typer.Option(metavar="N", min=1, help="Participants that one room may hold.")]
RedisUrl = Annotated[
    str | None, typer.Option(metavar="URL", envvar="PEER_REDIS", help="Redis that makes this one of several nodes.")
]
Check = Annotated[bool, typer.Option("--check", help="Say whether the server could run like this, and end.")]
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
    redis: RedisUrl = None,
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
    tls_cert: operating.TlsCert = None,
    tls_key: operating.TlsKey = None,
    trust_proxy: operating.TrustProxy = None,
    limit: operating.Limit = None,
    metrics_port: operating.MetricsPort = None,
    metrics_host: operating.MetricsHost = "127.0.0.1",
    log_format: operating.Format = LogFormat.TEXT,
    drain: operating.Drain = 0.0,
    admin_secret_file: operating.AdminSecretFile = None,
    config: Config = None,
    check: Check = False,
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

    logs.set_up(verbose=verbose, quiet=quiet, narrated=(), as_json=log_format is LogFormat.JSON)
    flags = OperatingFlags(
        tls_cert=tls_cert,
        tls_key=tls_key,
        trust_proxy=trust_proxy or (),
        limit=limit or (),
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        log_format=log_format,
        drain=drain,
        admin_secret_file=admin_secret_file,
    )
    servers, origin_of_servers = options.ice_servers(ice_server, ice_servers_file)
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
    settings = ServeSettings(
        host, port, room, servers, static, origin or [], room_size, peerjs_path, seconds, who, flags, redis
    )
    if check:
        return _check(settings, json=json)
    if static is not None and not static.is_dir():
        raise UsageError(f"{static} is no folder; give --static the folder that holds your pages")
    settings.parsed()
    if show_config:
        _show(settings, context, origin_of_servers, json=json)
        return 0
    who.check(host)
    run(_serve(settings, settings.limits(), flags.operation(), json=json))
    return 0


async def _serve(settings: ServeSettings, limits: "Limits", operation: "Operation", *, json: bool) -> None:
    import asyncio  # not above: `peer --help` would wait for it

    from peer import hosting
    from peer.cli.signals import terminating

    async with hosting.serve(
        host=settings.host,
        port=settings.port,
        ice_servers=settings.parsed(),
        static=settings.static,
        limits=limits,
        allowed_origins=settings.origins,
        redis=settings.redis,
        peerjs_path=settings.peerjs_path,
        operation=operation,
        access=settings.identity.access(),
        open=settings.identity.open,
        turn=settings.identity.turn_access(),
    ) as server:
        page = server.page(settings.room)
        if json:
            metrics = {"metricsPort": server.metrics_port} if server.metrics_port is not None else {}
            urls = {"url": server.url, "page": page, "urls": server.urls}
            output.print_json({**urls, "host": settings.host, "port": server.port, "pid": os.getpid(), **metrics})
        else:
            output.say(f"Signaling server and page: {page}")
        for url in server.urls[1:]:
            logger.info("in this network: %s", url)
        if server.metrics_port is not None:
            logger.info("figures: http://%s:%d/metrics", settings.operating.metrics_host, server.metrics_port)
        if not is_local(settings.host) and not settings.operating.secure:
            logger.warning(NO_CAMERA)
        drain = settings.operating.drain
        with terminating(wanted=drain > 0) as told, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.seconds):
                await told.wait()
            logger.info("clients are sent elsewhere, over %g s", drain)
            await server.drain(drain)


def _check(settings: ServeSettings, *, json: bool) -> int:
    from peer.cli import check

    return check.report(check.check(settings), json=json)


def _show(settings: ServeSettings, context: typer.Context, origin_of_servers: str, *, json: bool) -> None:
    shown = settings.shown()
    origins = {name: _origin(context, name) for name in shown} | {"ice_servers": origin_of_servers}
    if _source(context, "ice_server") == "DEFAULT_MAP":
        origins["ice_servers"] = _origin(context, "ice_server")
    width = max(map(len, shown))
    if json:
        output.print_json({name: {"value": value, "origin": origins[name]} for name, value in shown.items()})
        return
    for name, value in shown.items():
        output.say(f"{name.replace('_', '-'):{width}} {_written(value):32} {origins[name]}")


def _origin(context: typer.Context, name: str) -> str:
    source = _source(context, "origin" if name == "origins" else name)
    if source == "ENVIRONMENT":
        return _variable(name)
    if source == "DEFAULT_MAP":
        return f"--config {context.params['config']}"
    return f"--{name.replace('_', '-')}" if source == "COMMANDLINE" else "default"


def _source(context: typer.Context, name: str) -> str | None:
    source = context.get_parameter_source(name)
    return source.name if source is not None else None


def _variable(name: str) -> str:
    own = {"host": "HOST", "port": "PORT", "origins": "PEER_ORIGIN"}.get(name)
    ours = f"PEER_{name.upper()}"
    return own if own is not None and not os.environ.get(ours) else ours


def _written(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
