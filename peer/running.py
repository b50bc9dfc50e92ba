"""`peer.run`: a coroutine becomes a page that people call."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from peer import mainloop
from peer.errors import Error, UsageError
from peer.hosting import serve
from peer.joining import ice_server, join

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from peer.call import Call
    from peer.hosting import Hosted
    from peer.joining import Joining
    from peer.media.base import PictureSourceBase, SoundSourceBase

    Script = Callable[[Call], Awaitable[None]]


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
) -> None:
    """Serve a page and answer every call from it with `script(call)`; blocks until Ctrl-C.

    One coroutine runs per call; returning hangs up, an exception is logged and shown in that page, and ends that call
    only. `port` and `host` default to the environment's PORT and HOST, else 8080 on loopback. Ends the program with one
    sentence and an exit code when it cannot start.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")

    async def main() -> None:
        servers = [server for entry in ice_servers for server in ice_server(entry)]
        address = host or os.environ.get("HOST") or "127.0.0.1"  # set but empty would be every interface
        async with serve(host=address, port=_port(port), ice_servers=servers) as hosted:
            await _answer_all(script, hosted, join(hosted.url, room=room, name=name, video=video, audio=audio))

    try:
        mainloop.run(main())
    except Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


async def _answer_all(script: Script, hosted: Hosted, joining: Joining) -> None:
    async with joining as room:
        sys.stdout.write(f"Call the {room.name}: {hosted.page(room.room)}\n")
        sys.stdout.flush()
        async for ring in room.rings():
            room.start(script, ring.accept())


def _port(port: int | None) -> int:
    if port is not None:
        return port
    text = os.environ.get("PORT") or "8080"
    if not text.isdigit():
        raise UsageError(f"PORT={text!r} in the environment is no port; set a number such as 8080")
    return int(text)
