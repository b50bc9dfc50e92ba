"""`peer.run`: a coroutine becomes a page that people call; `peer.run_until_complete`: a program of your own."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from peer import mainloop
from peer.errors import Error, UsageError
from peer.goodbye import legible
from peer.hosting import serve
from peer.joining import ice_server, join

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from peer.call import Call
    from peer.hosting import Hosted
    from peer.joining import Joining
    from peer.media.base import PictureSourceBase, SoundSourceBase

    Script = Callable[[Call], Awaitable[None]]

T = TypeVar("T")


def run(
    script: Script,
    *,
    port: int | None = None,
    host: str | None = None,
    room: str = "lab",
    name: str = "bot",
    video: str | PictureSourceBase | None = None,
    audio: str | SoundSourceBase | None = None,
    ice_servers: Sequence[str] = (),
    open: bool = False,
) -> None:
    """Serve a page and answer every call from it with `script(call)`; blocks until Ctrl-C.

    One coroutine runs per call; returning hangs up, an exception is logged and shown in that page, and ends that call
    only. `port` and `host` default to the environment's PORT and HOST, else 8080 on loopback; a host that others reach
    needs `open=True`, since everybody may call then. Ends the program with one sentence and an exit code when it cannot
    start.
    """

    async def main() -> None:
        servers = [server for entry in ice_servers for server in ice_server(entry)]
        address = host or os.environ.get("HOST") or "127.0.0.1"  # set but empty would be every interface
        try:
            async with serve(host=address, port=_port(port), ice_servers=servers, open=open) as hosted:
                await _answer_all(script, hosted, join(hosted.url, room=room, name=name, video=video, audio=audio))
        except UsageError as error:  # said for the command line; here they are keywords
            raise UsageError(re.sub(r"--(port|host) (\S+)", r"\1=\2", str(error))) from error

    run_until_complete(main())


def run_until_complete(main: Coroutine[Any, Any, T]) -> T | None:
    """Run a program of yours to its end, as `asyncio.run` does, and return its result.

    Ctrl-C and SIGTERM cancel it: calls are hung up and files finished as its `async with` blocks are left, within 3 s;
    None is returned then. A `peer.Error` ends the process with its sentence and its exit code instead of a traceback.
    Warnings of the package go to standard error unless logging is set up already.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return mainloop.run(main)
    except Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


async def _answer_all(script: Script, hosted: Hosted, joining: Joining) -> None:
    async with joining as room:
        sys.stdout.write(f"Call the {room.name}: {hosted.page(room.room)}\n")
        sys.stdout.flush()
        async for ring in room.rings():
            sys.stdout.write(f"{legible(ring.caller)} calls\n")
            sys.stdout.flush()
            room.start(script, ring.accept())


def _port(port: int | None) -> int:
    if port is not None:
        return port
    text = os.environ.get("PORT") or "8080"
    if not text.isdigit():
        raise UsageError(f"PORT={text!r} in the environment is no port; set a number such as 8080")
    return int(text)
