"""Many who act as bench/hostile.py has it, at a rate, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from hostile import ACTS

if TYPE_CHECKING:
    from hostile import World

PATIENCE: Final = 20.0
"""Seconds after which an act counts as hung."""
MOST: Final = 200
"""Acts at the same time."""


@dataclass
class Crowd:
    """Acts, at a rate; `outcomes`: act -> what came of it, how often."""

    world: World
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in ACTS})
    _alive: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, rate: float) -> None:
        """So many a second, for ever; fewer while very many are under way. Each of them once, then as chance has it."""
        names, shares = list(ACTS), [act.share for act in ACTS.values()]
        first = self.world.chance.sample(names, len(names))
        following = time.monotonic()
        while True:
            following = max(following + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            if len(self._alive) < MOST:
                name = first.pop() if first else self.world.chance.choices(names, shares)[0]
                task = asyncio.create_task(self._live(name))
                self._alive.add(task)
                task.add_done_callback(self._alive.discard)

    async def ended(self) -> None:
        """Returns when all that were begun are over."""
        while self._alive:
            await asyncio.wait(self._alive)

    async def _live(self, name: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await ACTS[name].do(self.world)
        except TimeoutError:
            outcome = "hung"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"[:80]
        self.outcomes[name][outcome] += 1

    @property
    def count(self) -> int:
        return sum(each.total() for each in self.outcomes.values())

    @property
    def surprises(self) -> list[str]:
        """What came of acts that should not."""
        return [
            f"{name}: {outcome} ({count} x)"
            for name, outcomes in self.outcomes.items()
            for outcome, count in outcomes.items()
            if outcome not in ACTS[name].expected
        ]


def session() -> ClientSession:
    """For the acts: each on a connection of its own."""
    return ClientSession(connector=TCPConnector(limit=0, force_close=True), timeout=ClientTimeout(total=None))
