"""A swarm: starts its processes, lets the bots begin, collects what they tell, ends them all in time."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from msgspec import structs

from peer.rtc.ice.servers import IceSettings
from peer.swarm.collected import Collected
from peer.swarm.machine import Reading
from peer.swarm.plan import seats
from peer.swarm.process import CannotStart, Process
from peer.swarm.report import made
from peer.swarm.wire import Go, Stop, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peer.swarm.plan import Plan, Seat
    from peer.swarm.report import SwarmReport
    from peer.swarm.wire import Report

logger = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two points of the course."""
RESTARTS: Final = 3
"""Processes that take the place of one that ended by itself, at most."""
END: Final = 5.0
"""Seconds that the bots may take to hang up when their time is over ..."""
END_SOON: Final = 1.0
"""... and after Ctrl-C."""
KILL: Final = 1.2
"""Seconds after that from which on processes are killed."""


class Swarm:
    """One run of a plan; `run()` gives the report, `collected` is how it is meanwhile."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        everybody = seats(plan)
        processes = 1 + max(seat.process for seat in everybody)
        self.collected = Collected(everybody, processes, script=plan.script is not None, settle=plan.settle)
        self.began: float | None = None
        """When the first bot began (monotonic); None before."""
        self.pids: dict[int, int] = {}
        """Of the processes that run, by number."""
        self._processes: dict[int, Process] = {}
        self._ready = asyncio.Event()
        self._waiting = 0
        """Processes that can begin."""
        self._ending = False
        self._readings: list[Reading] = []
        """At the beginning, when the swarm was at work, and at the end."""
        self._started = time.time()

    @property
    def seconds(self) -> float:
        """Since the first bot began."""
        return time.monotonic() - self.began if self.began is not None else 0.0

    async def run(self) -> SwarmReport:
        """Do what the plan says. Ctrl-C (a cancellation) is an end like any other, within 3 s.

        Raises:
            CannotStart: a source, a script or a process cannot be used.
        """
        keeping = [asyncio.create_task(self._keep(one.number)) for one in self.collected.processes]
        ticking = asyncio.create_task(self._tick())
        interrupted = False
        try:
            try:
                await self._until_over(keeping)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or not task.cancelling():
                    raise
                task.uncancel()
                interrupted = True
            ticking.cancel()  # what is told from now on is of the end
            await self._finish(keeping, END_SOON if interrupted else END)
        finally:
            self._ending = True
            for task in (ticking, *keeping):
                task.cancel()
            await asyncio.wait([ticking, *keeping])
        return self._report(interrupted=interrupted)

    async def _until_over(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        """Until the time of the plan is over, or no process is left."""
        waiting = asyncio.create_task(self._time())
        try:
            running = {waiting, *keeping}
            while waiting in running and len(running) > 1:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    async def _time(self) -> None:
        await self._ready.wait()
        await asyncio.sleep(self.collected.complete_at - self.seconds)
        logger.info("all %d bots have begun; %g s from now on", self.plan.bots, self.plan.seconds)
        await asyncio.sleep(self.collected.settled_at - self.seconds)
        self._readings.append(Reading.now())
        await asyncio.sleep(self.collected.complete_at + self.plan.seconds - self.seconds)

    async def _tick(self) -> None:
        await self._ready.wait()
        before = Reading.now()
        while True:
            await asyncio.sleep(TICK)
            now = Reading.now()
            self.collected.tick(self.seconds, before.busy_until(now))
            before = now

    # Processes

    async def _keep(self, number: int) -> None:
        """Have a process of that number, another one where it ends by itself."""
        own = [seat for seat in self.collected.seats if seat.process == number]
        for attempt in range(RESTARTS + 1):
            process = await Process.started(number, self._work(own), lambda report: self._take(number, report))
            self._processes[number], self.pids[number] = process, process.pid
            try:
                await process.ready()
                if attempt == 0:
                    await self._all_ready()
                process.tell(Go(self.began or 0.0))
                how = await process.ended()
            except CannotStart as error:
                if attempt == 0:
                    raise
                how = str(error)
            finally:
                del self._processes[number], self.pids[number]
                await process.close()
            if self._ending:
                return
            again = attempt < RESTARTS
            lost = self.collected.crashed(number, how, self.seconds, again=again)
            logger.warning(
                "process %d of the swarm %s; its %d bots %s",
                number + 1,
                how,
                len(lost),
                "begin anew" if again else "failed",
            )
            own = [structs.replace(seat, at=self.seconds + place / self.plan.ramp) for place, seat in enumerate(own)]

    async def _all_ready(self) -> None:
        """Wait until every process can begin, and begin together."""
        self._waiting += 1
        if self._waiting == len(self.collected.processes):
            self.began = time.monotonic()
            self._readings.append(Reading.now())
            self._ready.set()
        await self._ready.wait()

    def _take(self, number: int, report: Report) -> None:
        self.collected.take(number, report, self.seconds)

    def _work(self, own: Sequence[Seat]) -> Work:
        plan = self.plan
        silent = plan.receive_only
        network = asdict(plan.network or IceSettings())
        del network["servers"]
        return Work(
            url=plan.url,
            video="none" if silent else plan.video,
            audio="none" if silent else plan.audio,
            receive_only=silent,
            script=plan.script,
            timeout=plan.timeout,
            token=plan.token,
            token_file=plan.token_file,
            ice_servers=tuple(plan.ice_servers),
            network=network,
            seats=tuple(own),
        )

    # The end

    async def _finish(self, keeping: Sequence[asyncio.Task[None]], within: float) -> None:
        """Have every process tell what there is, hang up and end; those that take too long are killed."""
        self._ending = True
        self._readings.append(Reading.now())
        for process in self._processes.values():
            process.tell(Stop(within))
        await asyncio.wait(keeping, timeout=within + KILL)

    def _report(self, *, interrupted: bool) -> SwarmReport:
        complete = self._readings[1] if len(self._readings) > 2 else (self._readings or [Reading.now()])[0]
        return made(
            self.plan,
            self.collected,
            complete.until(self._readings[-1] if self._readings else complete),
            started=self._started,
            seconds=self.seconds,
            interrupted=interrupted,
        )


async def run(plan: Plan, started: Callable[[Swarm], None] = lambda swarm: None) -> SwarmReport:
    """Run a swarm; `started` gets it to watch. Raises as `Swarm.run`."""
    swarm = Swarm(plan)
    started(swarm)
    return await swarm.run()
