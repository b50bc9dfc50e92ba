"""How long a call takes from its start to the first decoded picture, beside Chromium calling Chromium with trickle.

A call starts when the caller is told to call: its camera is open, its signaling is connected, and it has no
RTCPeerConnection yet. It ends at a side when that side has its first decoded picture of the other one: in Chromium
when a MediaStreamTrackProcessor of the remote track gives its first frame, in ours when `recv()` of the remote track
gives its first. (Neither waits for a screen.) Both sides send video and audio, so both figures are taken: at the
callee, which waits for the caller's media, and at the caller. All times are by the clock of this process, which tells
the caller to begin and is told of each picture the same way.

Each participant is a process of its own (a browser, or Python on uvloop) and speaks to the other through the same
relay (see relay.py), descriptions and candidates as they come. Browsers and processes stay; each run has new
connections and newly opened cameras. Runs of the cases alternate, so that a busy machine is unkind to all of them.

Servers: "good" is STUN and TURN of a coturn on this machine; "dead first" has a STUN and two TURN servers (UDP, TCP)
that swallow everything, on a loopback address, in front of the same.

    python bench/setup.py [--runs 20] [--json] [--stock]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import socket
import tempfile
from typing import TYPE_CHECKING, Any

from harness import NotHere, Report, arguments, median, percentile, show_measured
from relay import HERE as GOOD
from relay import PATIENCE, Relay, participants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEAD = "127.0.0.9"
TARGET = 0.6
CALLS = {
    "Chromium - Chromium": ("chromium 1", "chromium 2"),
    "Chromium - ours": ("chromium 1", "ours 1"),
    "ours - Chromium": ("ours 1", "chromium 1"),
    "ours - ours": ("ours 1", "ours 2"),
}
STOCK_CALLS = {"Chromium - aiortc": ("chromium 1", "stock 1"), "aiortc - aiortc": ("stock 1", "stock 2")}
BASE = "Chromium - Chromium"


@contextlib.asynccontextmanager
async def good_servers() -> AsyncIterator[list[dict[str, Any]]]:
    """STUN and TURN of a coturn of our own."""
    program = shutil.which("turnserver")
    if program is None:
        raise NotHere("turnserver is not installed; run: apt-get install coturn")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(program, "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-stdout-log", "--simple-log"),
            *("--log-file", f"{folder}/log", "--pidfile", f"{folder}/pid", "--userdb", f"{folder}/db"),
            *("--listening-ip", GOOD, "--relay-ip", GOOD, "--listening-port", str(port), "--allow-loopback-peers"),
            *("--lt-cred-mech", "--user", "user:secret", "--realm", "bench"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await accepts(port)
            yield [
                {"urls": [f"stun:{GOOD}:{port}"]},
                {"urls": [f"turn:{GOOD}:{port}?transport=udp"], "username": "user", "credential": "secret"},
            ]
        finally:
            process.terminate()
            await process.wait()


def free_port() -> int:
    with socket.create_server((GOOD, 0)) as server:
        return int(server.getsockname()[1])


async def accepts(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(GOOD, port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def dead_servers() -> Any:
    """A STUN and two TURN servers that take everything and never say a word."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for each in silent:
            each.bind((DEAD, 0))
        deaf = stack.enter_context(socket.create_server((DEAD, 0)))
        stun, turn, tcp = (each.getsockname()[1] for each in (*silent, deaf))
        account = {"username": "user", "credential": "secret"}
        yield [
            {"urls": [f"stun:{DEAD}:{stun}"]},
            {"urls": [f"turn:{DEAD}:{turn}?transport=udp", f"turn:{DEAD}:{tcp}?transport=tcp"], **account},
        ]


async def measure(calls: dict[str, tuple[str, str]], runs: int) -> list[Report]:
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    relay = Relay()
    names = sorted(set(itertools.chain.from_iterable(calls.values())))
    async with good_servers() as good, relay.serving() as address, participants(relay, address, names):
        with dead_servers() as dead:
            lists = {"good servers": good, "dead servers first": dead + good}
            for number in range(runs + 1):
                for servers, (call, (caller, callee)) in itertools.product(lists, calls.items()):
                    async with relay.call(caller, callee, servers=lists[servers]) as began:
                        pictures = await asyncio.gather(*(relay.told(name, "picture") for name in (callee, caller)))
                    if number:  # the first of each opens codecs and caches
                        times.setdefault((servers, call), []).append((pictures[0] - began, pictures[1] - began))
    return [_report(servers, {call: times[servers, call] for call in calls}) for servers in lists]


def _report(servers: str, times: dict[str, list[tuple[float, float]]]) -> Report:
    columns = {"call": ""}
    for side in ("callee", "caller"):
        columns |= {f"{side} ms": ".0f", f"{side} p95": ".0f", f"{side} x": ".2f"}
    title = f"Call start to the first decoded picture, {servers}: median of {len(times[BASE])} runs, 95th percentile, "
    report = Report(f"{title}median x {BASE} (wanted: {TARGET} at most)", columns)
    for call, seconds in times.items():
        row: list[Any] = []
        for side in range(2):
            own, base = ([each[side] for each in some] for some in (seconds, times[BASE]))
            row += [median(own) * 1000, percentile(own, 0.95) * 1000, median(own) / median(base)]
        report.add(call, *row)
    return report


def main() -> None:
    parser = arguments("Call start to the first decoded picture, beside Chromium calling Chromium", runs=20)
    parser.add_argument(
        "--stock", action="store_true", help="aiortc's own connection too (slow: 5 s for a dead server)"
    )
    chosen = parser.parse_args()
    calls = CALLS | (STOCK_CALLS if chosen.stock else {})
    show_measured(measure(calls, chosen.runs), as_json=chosen.json)


if __name__ == "__main__":
    main()
