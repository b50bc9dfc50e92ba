"""The signaling server beside Socket.IO on Node.js: messages to one member of a room, and what a connection costs.

Each server has a process, the clients another (bench/wsload.py). 100 rooms of 4 members. "messages/s": as many as come
through while every client always has 4 on the way; "CPU": of the server's processes for each of them; latencies at a
rate that both carry easily; memory: what the server grows by for each of 5,000 connections that have joined and are
silent. Then two nodes: the members of each room are spread over both, with a Redis between them that keeps nothing on
the disk. Redis counts as one of the server's processes.

    python bench/rooms.py [--seconds 8] [--rate 4000] [--idle 5000] [--only ours socket.io] [--nodes 1 2] [--json]

Socket.IO is installed with npm, once, into .venv/socket.io.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
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
SERVERS = ("ours", "socket.io")
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
RATE_OF_NODES = 4
"""Latencies of two nodes are taken at this part of the rate: three processes share the machine."""
SERVE = """
import sys
from peer.mainloop import run
from signaling.app import Server
from signaling.settings import Limits, Settings
import asyncio

async def serve(port, redis=None):
    limits = Limits(connections=20000, messages_per_second=1000000, burst=1000000, exchanges=1)
    async with Server(Settings(port=int(port), limits=limits, redis=redis)):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()

run(serve(*sys.argv[1:]))
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


def redis_command() -> list[str]:
    """The command that starts it, without the port."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotHere("two nodes need Redis; sudo apt-get install redis-server, or --nodes 1")
    if importlib.util.find_spec("redis") is None:
        raise NotHere("two nodes need the Python package redis; pip install 'webrtc-peer[redis]', or --nodes 1")
    return [program, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]


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
async def running(command: list[str], ready: bytes = b"listening") -> AsyncIterator[int]:
    """A server that has said this; gives the id of its process."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            while ready not in (line := await process.stdout.readline()):
                if not line:
                    raise NotHere(f"{command[0]} did not start")
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def nodes(command: list[str], count: int) -> AsyncIterator[tuple[list[int], list[str]]]:
    """So many nodes, with a Redis if they are more than one; gives the ids of all processes, and the nodes' URLs."""
    async with contextlib.AsyncExitStack() as stack:
        pids, shared = list[int](), list[str]()
        if count > 1:
            port = str(free_port())
            pids.append(await stack.enter_async_context(running([*redis_command(), port], b"Ready to accept")))
            shared.append(f"redis://127.0.0.1:{port}")
        ports = [free_port() for _ in range(count)]
        pids += [await stack.enter_async_context(running([*command, str(port), *shared])) for port in ports]
        yield pids, [f"http://127.0.0.1:{port}" for port in ports]


async def measure(name: str, command: list[str], count: int, rate_paced: float, given: Any) -> Measured:
    async with nodes(command, count) as (pids, urls):
        load = Generator(name, urls)
        try:
            await load.ask("join", ROOMS, MEMBERS)
            began = cpu(pids)
            rate = await load.ask("flood", given.seconds, UNDER_WAY)
            spent = (cpu(pids) - began) / (given.seconds * 1.25)
            ages = await load.ask("paced", given.seconds, rate_paced)
        finally:
            await load.close()
    memory = await idle(name, command, count, given.idle) if given.idle else 0.0
    return Measured(rate, spent / rate, percentile(ages, 0.5), percentile(ages, 0.99), memory)


async def idle(name: str, command: list[str], count: int, connections: int) -> float:
    """Bytes that the server's processes grow by for each connection."""
    async with nodes(command, count) as (pids, urls):
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
    commands = {}
    if "ours" in given.only:
        commands["ours"] = [sys.executable, "-c", SERVE]
    if "socket.io" in given.only:
        commands["socket.io"] = await socket_io()
    if max(given.nodes) > 1:
        redis_command()  # what is missing is said before anything is measured
    return [await compare_nodes(count, commands, given) for count in given.nodes]


async def compare_nodes(count: int, commands: dict[str, list[str]], given: Any) -> Report:
    rate = given.rate if count == 1 else given.rate / RATE_OF_NODES
    over = "one node" if count == 1 else f"{count} nodes over Redis"
    title = f"{ROOMS} rooms of {MEMBERS}, {over}, {given.seconds:g} s each, latencies at {rate:g}/s"
    report = Report(title, COLUMNS)
    found: dict[str, Measured] = {}
    for name, command in commands.items():
        progress(f"{name}, {over}")
        one = found[name] = await measure(name, command, count, rate, given)
        report.add(name, count, one.rate, one.cpu * 1e6, one.p50 * 1e3, one.p99 * 1e3, one.memory / 1e3)
    if len(found) == 2:
        report.notes.append(ratios(found["ours"], found["socket.io"]))
    return report


def ratios(ours: Measured, theirs: Measured) -> str:
    memory = f", {ours.memory / theirs.memory:.2f} x its memory per connection" if theirs.memory else ""
    return (
        f"ours: {ours.rate / theirs.rate:.2f} x the throughput of socket.io, {ours.p99 / theirs.p99:.2f} x its p99"
        f"{memory}, {ours.cpu / theirs.cpu:.2f} x its CPU per message"
    )


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rate", type=float, default=4000.0, help="messages per second for the latencies of one node")
    parser.add_argument("--idle", type=int, default=5000, help="silent connections; 0: leave that out")
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--nodes", nargs="+", type=int, choices=(1, 2), default=(1, 2))
    given = parser.parse_args()
    show_measured(compare(given), as_json=given.json)


if __name__ == "__main__":
    main()
