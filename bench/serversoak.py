"""Whether the signaling server stays as it is, and true to those who behave, while others do what they can.

Ten rooms of four say numbers to each other, at a steady rate (bench/wellbehaved.py); the members of two rooms lose
their connection every now and then and come back. Meanwhile clients come and go, vanish, and send what is too much, too
large, or nothing at all (bench/hostile.py). It passes if every number came once and in order, everybody was told what
docs/protocol.md says, what the server holds is at the end what it was at the beginning, and memory stayed flat after
the first third of the time. The status is 1 if it did not pass.

    python bench/serversoak.py [--minutes 10] [--rate 30] [--messages 200] [--seed 1] [--json]
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from crowd import Crowd, session
from harness import Report, arguments, median, percentile, progress, show_measured
from hostile import World
from recorders import cpu_seconds, resident_bytes
from soakserver import LIMITS
from wellbehaved import Rooms

if TYPE_CHECKING:
    from collections.abc import Coroutine

ROOMS, MEMBERS, UNLUCKY = 10, 4, 2
FEWEST_SAMPLES = 12
JUDGED_FROM = 2.0
"""Minutes; of a shorter time the memory says nothing."""
GROWTH = 0.03
"""Of the memory, between the second and the last third of the time."""
OBJECTS_PER_ACT = 0.5
"""That may be left of each: less than one."""
END_TIMEOUT = LIMITS.grace + 2 * LIMITS.heartbeat + 10
"""Seconds until everybody who vanished is gone."""
COLUMNS = {
    "minute": ".1f",
    "RSS, MB": ".1f",
    "objects": ",d",
    "CPU": ".0%",
    "connections": "d",
    "tasks": "d",
    "descriptors": "d",
    "acts": ",d",
    "numbers": ",d",
    "p99, ms": ".1f",
}


PROGRAM = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); from soakserver import serve; serve()"


@dataclass(frozen=True)
class Held:
    """What the server held at some time."""

    resident: int
    """Bytes."""
    cpu: float
    """Seconds that it has used so far."""
    objects: int
    """That the garbage collector knows, after a collection."""
    rooms: int
    members: int
    connections: int
    tasks: int
    descriptors: int

    @property
    def countable(self) -> dict[str, int]:
        """What has to come back to what it was."""
        names = ("rooms", "members", "connections", "tasks", "descriptors")
        return {name: value for name, value in asdict(self).items() if name in names}


class ServerProcess:
    """bench/soakserver.py. Use it with `async with`; `url` is there then."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.url = ""

    async def __aenter__(self) -> ServerProcess:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stdin=pipe, stdout=pipe)
        self.url = await self._ask(self._secret)
        if not self.url:
            raise RuntimeError("the server did not start")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()

    async def held(self) -> Held:
        counted = json.loads(await self._ask(""))
        return Held(resident_bytes(self._process.pid), cpu_seconds(self._process.pid), **counted)

    async def _ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        return (await asyncio.wait_for(self._process.stdout.readline(), 20)).decode().strip()


class Soak:
    """One of them; `faults` is what speaks against the server."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._samples: list[tuple[Held, int]] = []
        self._report = Report(
            f"{ROOMS} rooms of {MEMBERS}, {given.messages:g} numbers/s, {given.rate:g} acts/s, {given.minutes:g} min",
            COLUMNS,
        )
        self.faults: list[str] = []

    async def run(self) -> list[Report]:
        secret = secrets.token_urlsafe(48)
        rooms, names = [f"room-{n}" for n in range(ROOMS)], [f"member-{n}" for n in range(MEMBERS)]
        async with ServerProcess(secret) as server, session() as strangers:
            world = World(server.url, rooms, names, secret, random.Random(self._given.seed), strangers)
            crowd = Crowd(world)
            async with Rooms(server.url, rooms, names, world.token) as behaved:
                before = await server.held()
                talking = asyncio.create_task(behaved.talk(self._given.messages))
                misdeeds: list[Coroutine[Any, Any, None]] = [
                    crowd.run(self._given.rate),
                    behaved.break_connections(1.0, UNLUCKY),
                ]
                acting = [asyncio.create_task(work) for work in misdeeds]
                await self._watch(server, behaved, crowd, acting)
                await _stopped(*acting)
                await crowd.ended()
                await self._check_end(server, before)
                await _stopped(talking)
                await behaved.settled(END_TIMEOUT)
                self._judge(behaved, crowd)
        return [self._report, _outcomes(crowd)]

    async def _watch(self, server: ServerProcess, behaved: Rooms, crowd: Crowd, work: list[asyncio.Task[None]]) -> None:
        seconds = 60 * self._given.minutes
        interval = min(60.0, seconds / FEWEST_SAMPLES)
        began, cpu = time.monotonic(), (await server.held()).cpu
        for number in range(1, round(seconds / interval) + 1):
            left = began + number * interval - time.monotonic()
            await asyncio.wait(work, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()  # it never returns: a mistake of ours
            held, ages = await server.held(), behaved.take_ages()
            minute = (time.monotonic() - began) / 60
            self._add(minute, held, (held.cpu - cpu) / interval, crowd.count, behaved.came, ages)
            cpu = held.cpu

    def _add(self, minute: float, held: Held, cpu: float, acts: int, came: int, ages: list[float]) -> None:
        self._samples.append((held, acts))
        p99 = percentile(ages, 0.99) * 1e3 if ages else None
        counts = held.connections, held.tasks, held.descriptors
        self._report.add(minute, held.resident / 1e6, held.objects, cpu, *counts, acts, came, p99)
        progress(f"{minute:.1f} min, {held.resident / 1e6:.1f} MB, {acts} acts, {came} numbers")

    async def _check_end(self, server: ServerProcess, before: Held) -> None:
        """Everybody else is gone: what the server holds has to be what it was."""
        deadline = time.monotonic() + END_TIMEOUT
        while (after := await server.held()).countable != before.countable and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        for name, value in after.countable.items():
            if value != before.countable[name]:
                self.faults.append(f"{value} {name} at the end, {before.countable[name]} at the beginning")

    def _judge(self, behaved: Rooms, crowd: Crowd) -> None:
        notes = self._report.notes
        lost = behaved.said - behaved.came
        notes.append(
            f"{behaved.said:,} numbers said: {lost} lost, {behaved.twice} twice, {behaved.late} out of order; "
            f"{behaved.resumed} connections broken and resumed"
        )
        if lost or behaved.twice or behaved.late:
            self.faults.append("numbers of the well-behaved did not come once and in order")
        self.faults += [f"a well-behaved member was told {code}" for code in behaved.refused]
        self.faults += crowd.surprises
        if self._given.minutes >= JUDGED_FROM:
            self._judge_memory()
        else:
            notes.append("too short a time to say anything about the memory")
        notes += [f"FAILED: {fault}" for fault in self.faults] or ["passed"]

    def _judge_memory(self) -> None:
        """What is just going on has objects, as many as it has tasks: what acts leave behind is left without these."""
        third = len(self._samples) // 3
        middle, last = self._samples[third : 2 * third], self._samples[-third:]
        grown = median([held.resident for held, _ in last]) / median([held.resident for held, _ in middle]) - 1
        known = np.array([(1, held.tasks, acts) for held, acts in self._samples[third:]])
        objects = np.array([held.objects for held, _ in self._samples[third:]])
        per_act = np.linalg.lstsq(known, objects, rcond=None)[0][2]
        self._report.notes.append(
            f"from the second third of the time to the last: memory {grown:+.1%}, {per_act:+.3f} objects for each act"
        )
        if grown > GROWTH or per_act > OBJECTS_PER_ACT:
            self.faults.append("memory grew")


def _outcomes(crowd: Crowd) -> Report:
    report = Report("what the others did, and what came of it", {"act": "", "times": ",d", "outcome": ""})
    for name, outcomes in crowd.outcomes.items():
        said = ", ".join(f"{outcome or 'nothing'} {count}" for outcome, count in outcomes.most_common())
        report.add(name, outcomes.total(), said if len(outcomes) > 1 else said.rpartition(" ")[0])
    return report


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=30.0, help="acts of others per second")
    parser.add_argument("--messages", type=float, default=200.0, help="numbers of the well-behaved per second")
    parser.add_argument("--seed", type=int, default=1, help="of chance")
    given = parser.parse_args()
    soak = Soak(given)
    show_measured(soak.run(), as_json=given.json)
    sys.exit(1 if soak.faults else 0)


if __name__ == "__main__":
    main()
