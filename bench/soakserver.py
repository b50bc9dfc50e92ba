"""The server of a soak, for a process of its own: it says where it is, and on each line of its input what it holds.

With access tokens; its waits are shorter than usual, so that a soak of minutes sees thousands of them end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import Any, Final

from peer.mainloop import run
from signaling.app import HUB, Server
from signaling.settings import Access, Limits, Settings

LIMITS: Final = Limits(
    heartbeat=2.0, join_timeout=2.0, answer_timeout=2.0, grace=4.0, outbox_bytes=512 * 1024, room_size=256
)


def serve() -> None:
    """Until its input ends. The first line of that is the secret of the tokens."""
    run(_serve(sys.stdin.readline().strip()))


async def _serve(secret: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    async with Server(Settings(port=0, limits=LIMITS, access=Access(secrets=(secret,)))) as server:
        print(server.url, flush=True)

        def asked() -> None:
            if sys.stdin.readline():
                print(json.dumps(_held(server)), flush=True)
            else:
                loop.remove_reader(sys.stdin.fileno())
                ended.set()

        loop.add_reader(sys.stdin.fileno(), asked)
        await ended.wait()


def _held(server: Server) -> dict[str, int]:
    runner: Any = server._runner
    hub = runner.app[HUB]
    gc.collect()
    return {
        "objects": len(gc.get_objects()),
        "rooms": hub.rooms.room_count,
        "members": hub.rooms.member_count,
        "connections": hub.connection_count,
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }
