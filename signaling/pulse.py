"""Says every second that this node lives, learns which others do, and notices when the backplane is away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from signaling.backplane import NODE, BackplaneDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.backplane import Alive, Backplane
    from signaling.counters import Counters

logger = logging.getLogger(__name__)

TICK: Final = 1.0  # seconds between two looks at what was not answered, at leases and at who is alive


class Beaten(Protocol):
    """What is to be done with every beat. May raise BackplaneDown.

    `late`: others may have given this node up meanwhile; `after_outage`: nobody could say that it lives.
    """

    async def __call__(self, alive: Alive, *, late: bool, after_outage: bool) -> None: ...


class Pulse:
    """`start()` it on the loop that it is used on."""

    def __init__(self, backplane: Backplane, beaten: Beaten) -> None:
        self._backplane = backplane
        self._beaten = beaten
        self._ahead = 0.0  # of our clock, the backplane's
        self._down_since: float | None = None
        self._last = 0.0  # when this node last said that it lives
        self._seen: dict[str, float] = {}  # node -> when it was last heard of

    @property
    def down(self) -> bool:
        """Whether the backplane could not be reached the last time."""
        return self._down_since is not None

    @property
    def trouble(self) -> str | None:
        """Since when it cannot be reached, as a sentence."""
        if self._down_since is None:
            return None
        return f"the backplane cannot be reached for {self._loop.time() - self._down_since:.0f} s"

    @property
    def nodes(self) -> set[str]:
        """The nodes that live, as far as this one knows."""
        return set(self._seen)

    def count(self, counters: Counters) -> None:
        """Adds its figures."""
        counters.state("redis_up", "1 while the Redis that nodes share can be reached.", lambda: not self.down)
        counters.state("nodes", "Nodes that were heard of lately, while Redis is up.", lambda: len(self.nodes))

    def now(self) -> float:
        """The backplane's clock, as the nodes share it."""
        return self._loop.time() + self._ahead

    async def look(self) -> set[str]:
        """The nodes that live, one among them that began just now. Raises BackplaneDown."""
        self._learn(await self._backplane.beat(), after_outage=False)
        return self.nodes

    def _learn(self, alive: Alive, *, after_outage: bool) -> None:
        """After an outage those that were there before have their time to say that they still are."""
        before = dict.fromkeys(self._seen, alive.now) if after_outage else self._seen
        seen = {node: max(alive.nodes.get(node, 0.0), before.get(node, 0.0)) for node in alive.nodes.keys() | before}
        self._seen = {node: at for node, at in seen.items() if at >= alive.now - NODE}

    async def start(self) -> None:
        """Says so for the first time."""
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        await self._try(after_outage=True)

    async def run(self, well: Callable[[], None]) -> None:
        """For ever; `well` is called each time that it went well."""
        while True:
            await asyncio.sleep(TICK)
            if await self._try(after_outage=self.down):
                well()

    async def _try(self, *, after_outage: bool) -> bool:
        try:
            await self._beat(after_outage=after_outage)
        except BackplaneDown as error:
            if self._down_since is None:
                self._down_since = self._loop.time()
                logger.warning("the backplane cannot be reached (%s); nobody can join until it is back", error)
            return False
        except Exception:
            logger.exception("leases could not be looked after")
        return True

    async def _beat(self, *, after_outage: bool) -> None:
        alive = await self._backplane.beat()
        self._learn(alive, after_outage=after_outage)
        late, self._last = self._loop.time() - self._last > NODE / 2, self._loop.time()
        self._ahead = alive.now - self._loop.time()
        await self._beaten(alive, late=late, after_outage=after_outage)
        if self._down_since is not None:
            logger.warning("the backplane is back after %.0f s", self._loop.time() - self._down_since)
            self._down_since = None
