"""What an `async for` over live things iterates over, and how many share one stream: bounded, the oldest dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Takers(Generic[T]):
    """Those of one stream, in the order in which they came."""

    def __init__(self) -> None:
        self.held: list[ref[Taker[T]]] = []
        """Weakly; empty where there is none."""

    def add(self, taker: Taker[T]) -> None:
        self.held.append(ref(taker, self.held.remove))

    def discard(self, taker: Taker[T]) -> None:
        self.held[:] = [each for each in self.held if each() is not taker]

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[Taker[T]]:
        """As they are now: they may come and go meanwhile."""
        return iter([taker for each in self.held if (taker := each()) is not None])


class Taker(Generic[T]):
    """An async iterator over what arrives, bounded: when it is full, the oldest goes. Ends when its stream ends.

    Whoever feeds it holds it weakly, so a loop that is left takes nothing more; `close()` says so at once.
    """

    def __init__(self, size: int, registry: Takers[T] | None = None) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._ready = asyncio.Event()
        self._over = False
        self._registry = registry
        self.dropped = 0
        """How many items went because nobody took them in time."""
        if registry is not None:
            registry.add(self)

    def put(self, item: T) -> None:
        if self._over:
            return
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        self._ready.set()

    def end(self) -> None:
        """No more will come; what is waiting can still be taken."""
        self._over = True
        self._ready.set()

    def close(self) -> None:
        """Take no more, and forget what is waiting. Idempotent."""
        self.end()
        self._items.clear()
        if self._registry is not None:
            self._registry.discard(self)

    def __aiter__(self) -> Taker[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._over:
                self.close()
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()


class Broadcast(Generic[T]):
    """Items put in come out of every taker; what comes while nobody takes waits for the next who does."""

    def __init__(self, size: int = 1000) -> None:
        self._size = size
        self._takers: Takers[T] = Takers()
        self._watchers: Takers[T] = Takers()
        self._backlog: deque[T] = deque(maxlen=size)
        self._over = False

    def put(self, item: T) -> None:
        takers = list(self._takers)
        if not takers:
            self._backlog.append(item)
        for taker in (*takers, *self._watchers):
            taker.put(item)

    def take(self, *, aside: bool = False) -> Taker[T]:
        """A new iterator, which begins with what came while there was none; `aside`: only looks on, and takes nothing
        from those who come later."""
        taker = Taker(self._size, self._watchers if aside else self._takers)
        while not aside and self._backlog:
            taker.put(self._backlog.popleft())
        if self._over:
            taker.end()
        return taker

    def end(self) -> None:
        """No more will come: every taker ends after what it has."""
        self._over = True
        for taker in (*self._takers, *self._watchers):
            taker.end()
