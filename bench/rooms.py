"""The signaling server beside Socket.IO on Node.js: messages to one member of a room, and what a connection costs.

Each server has a process, the clients another (bench/wsload.py). 100 rooms of 4 members. "messages/s": as many as come
through while every client always has 4 on the way; "CPU": of the server's processes for each of them; latencies at a
rate that both carry easily; memory: what the server grows by for each of 5,000 connections that have joined and are
silent. With two nodes, the members of a room are spread over both, and Redis is between them.

    python bench/rooms.py [--seconds 8] [--rate 4000] [--idle 5000] [--only ours socket.io] [--json]

Socket.IO is installed with npm, once, into .venv/socket.io.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import NotHere, Report, arguments, percentile, progress, show_measured
from recorders import cpu_seconds, resident_bytes
from wsload import Generator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOMS, MEMBERS, UNDER_WAY = 100, 4, 4
HERE = Path(__file__).parent
MODULES = HERE.parent / ".venv" / "socket.io"
PACKAGES = ("socket.io@4", "@socket.io/redis-adapter@8", "redis@4")
COLUMNS = {
    "server": "",
    "nodes": "d",
    "messages/s": ",.0f",
    "CPU us/message": ".1f",
    "p50, ms": ".2f",
    "p99, ms": ".2f",
    "kB/connection": ".1f",
}
SERVE = """
import sys
from peer.mainloop import run
from signaling.app import Server
from signaling.settings import Limits, Settings
import asyncio

async def serve(port):
    limits = Limits(connections=20000, messages_per_second=1000000, burst=1000000, exchanges=1)
    async with Server(Settings(port=port, limits=limits)):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()

run(serve(int(sys.argv[1])))
"""


@dataclass
class Measured:
    """Of one server."""

    rate: float
    cpu: float
    p50: float
    p99: float
    memory: float


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def socket_io() -> list[str]:
    """The command that starts it, without the port."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotHere("Socket.IO needs Node.js; sudo apt-get install nodejs npm, or --only ours")
    if not (MODULES / "node_modules").exists():
        progress("npm install socket.io")
        MODULES.mkdir(parents=True, exist_ok=True)
        install = await asyncio.create_subprocess_exec(npm, "install", "--silent", "--prefix", str(MODULES), *PACKAGES)
        if await install.wait():
            shutil.rmtree(MODULES)
            raise NotHere("npm could not install Socket.IO; see above, or --only ours")
    script = MODULES / "server.mjs"  # beside its modules, where Node.js looks for them
    script.write_text((HERE / "socketio.mjs").read_text())
    return [node, str(script)]


@contextlib.asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[int]:
    """A server that listens; gives the id of its process."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            if b"listening" not in await process.stdout.readline():
                raise NotHere(f"{command[0]} did not start")
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def nodes(command: list[str], count: int, redis: str | None) -> AsyncIterator[tuple[list[int], list[str]]]:
    async with contextlib.AsyncExitStack() as stack:
        ports = [free_port() for _ in range(count)]
        given = [redis] if redis else []
        pids = [await stack.enter_async_context(running([*command, str(port), *given])) for port in ports]
        yield pids, [f"http://127.0.0.1:{port}" for port in ports]


async def measure(name: str, command: list[str], count: int, redis: str | None, given: Any) -> Measured:
    async with nodes(command, count, redis) as (pids, urls):
        load = Generator(name, urls)
        try:
            await load.ask("join", ROOMS, MEMBERS)
            began = cpu(pids)
            rate = await load.ask("flood", given.seconds, UNDER_WAY)
            spent = (cpu(pids) - began) / (given.seconds * 1.25)
            ages = await load.ask("paced", given.seconds, given.rate)
        finally:
            await load.close()
    memory = await idle(name, command, count, redis, given.idle) if given.idle else 0.0
    return Measured(rate, spent / rate, percentile(ages, 0.5), percentile(ages, 0.99), memory)


async def idle(name: str, command: list[str], count: int, redis: str | None, connections: int) -> float:
    """Bytes that the server's processes grow by for each connection."""
    async with nodes(command, count, redis) as (pids, urls):
        load = Generator(name, urls)
        try:
            await load.ask("join", 1, MEMBERS)  # what is loaded with the first ones is no connection's
            before = sum(map(resident_bytes, pids))
            await load.ask("join", connections // MEMBERS, MEMBERS)
            await asyncio.sleep(2)
            return (sum(map(resident_bytes, pids)) - before) / connections
        finally:
            await load.close()


def cpu(pids: list[int]) -> float:
    return sum(map(cpu_seconds, pids))


async def compare(given: Any) -> list[Report]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard := resource.getrlimit(resource.RLIMIT_NOFILE)[1], hard))
    report = Report(f"{ROOMS} rooms of {MEMBERS}, {given.seconds:g} s each, latencies at {given.rate:g}/s", COLUMNS)
    commands = {"ours": [sys.executable, "-c", SERVE], "socket.io": await socket_io()}
    found: dict[str, Measured] = {}
    for name, command in commands.items():
        if not given.only or name in given.only:
            progress(f"{name}, 1 node")
            one = found[name] = await measure(name, command, 1, None, given)
            report.add(name, 1, one.rate, one.cpu * 1e6, one.p50 * 1e3, one.p99 * 1e3, one.memory / 1e3)
    if len(found) == 2:
        report.notes.append(ratios(found["ours"], found["socket.io"]))
    return [report]


def ratios(ours: Measured, theirs: Measured) -> str:
    memory = f", {ours.memory / theirs.memory:.2f} x its memory per connection" if theirs.memory else ""
    return (
        f"ours: {ours.rate / theirs.rate:.2f} x the throughput of socket.io, {ours.p99 / theirs.p99:.2f} x its p99"
        f"{memory}, {ours.cpu / theirs.cpu:.2f} x its CPU per message"
    )


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rate", type=float, default=4000.0, help="messages per second for the latencies")
    parser.add_argument("--idle", type=int, default=5000, help="silent connections; 0: leave that out")
    parser.add_argument("--only", nargs="+", choices=("ours", "socket.io"), default=[])
    given = parser.parse_args()
    show_measured(compare(given), as_json=given.json)


if __name__ == "__main__":
    main()
