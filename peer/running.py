"""`peer.run`: a coroutine becomes a page that people call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from peer.errors import Error, UsageError
from peer.hosting import serve
from peer.joining import ice_server, join

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

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
        address = host or os.environ.get("HOST", "127.0.0.1")
        async with serve(host=address, port=_port(port), ice_servers=servers) as hosted:
            await _answer_all(script, hosted, join(hosted.url, room=room, name=name, video=video, audio=audio))

    try:
        run_until_signalled(main())
    except Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def run_until_signalled(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where there is one; SIGINT and SIGTERM cancel it, which is an end like any other."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main, name="main")
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError):  # Windows
                    loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
            loop.run_until_complete(task)


async def _answer_all(script: Script, hosted: Hosted, joining: Joining) -> None:
    async with joining as room:
        sys.stdout.write(f"Call the {room.name}: {hosted.page(room.room)}\n")
        sys.stdout.flush()
        async for ring in room.rings():
            room.start(script, ring.accept())


def _port(port: int | None) -> int:
    if port is not None:
        return port
    text = os.environ.get("PORT", "8080")
    if not text.isdigit():
        raise UsageError(f"PORT={text!r} in the environment is no port; set a number such as 8080")
    return int(text)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop
