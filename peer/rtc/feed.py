"""What a source gives, made once and handed to all who take of it; what pictures and sound have in common."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from peer.rtc.stats import SourceCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from peer.rtc.encoded import Subscription, Taker

logger = logging.getLogger(__name__)

S = TypeVar("S", bound="Subscription")
F = TypeVar("F", bound="Feed[Any]")


class Feed(ABC, Generic[S]):
    """Belongs to an event loop; runs from the first subscription until the last was closed."""

    def __init__(self) -> None:
        self.subscribers: list[S] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: asyncio.Handle | None = None
        self._forget: Callable[[], None] = lambda: None

    @abstractmethod
    def subscription(self, taker: Taker, counts: SourceCounts) -> S:
        """A new one."""

    @abstractmethod
    def reconsider(self) -> None:
        """Who takes what has changed."""

    def changed(self) -> None:
        """The same; in the next turn of the loop, once for all that changes in this one."""
        if self._changed is None and self.subscribers:
            self._changed = asyncio.get_running_loop().call_soon(self._reconsider)

    def _reconsider(self) -> None:
        self._changed = None
        self.reconsider()

    def subscribe(self, taker: Taker, counts: SourceCounts | None = None) -> S:
        """Let a taker have frames from now on; what the source gives meanwhile is added to `counts`."""
        made = self.subscription(taker, counts or SourceCounts())
        self.subscribers.append(made)
        if len(self.subscribers) == 1:  # at once: another feed may be about to let go of the source, which would end it
            self.reconsider()
        else:
            self.changed()
        return made

    def leave(self, subscription: S) -> None:
        """Its taker has enough."""
        if subscription in self.subscribers:
            self.subscribers.remove(subscription)
            self.changed()
            if not self.subscribers:
                self._close()

    def end(self, error: Exception | None) -> None:
        """The source came to its end, or broke."""
        gone, self.subscribers = self.subscribers, []
        self._close()
        for each in gone:
            each.taker.ended(error)  # type: ignore[attr-defined]

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run this for as long as the feed runs; what it raises ends the feed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("what is sent breaks off: %r", error)
            self.end(error if isinstance(error, Exception) else None)

    def _close(self) -> None:
        self._forget()
        if self._changed is not None:
            self._changed.cancel()
            self._changed = None
        for task in self._tasks:
            task.cancel()


_FEEDS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Feed[Any]]] = WeakKeyDictionary()


def feed_of(key: Hashable, make: Callable[[], F]) -> F:
    """The feed of that key on this event loop, made if there is none; it is forgotten when nobody takes of it."""
    feeds = _FEEDS.setdefault(asyncio.get_running_loop(), {})
    found = feeds.get(key)
    if found is None:
        found = feeds[key] = make()
        found._forget = lambda: _remove(feeds, key, found)
    return found  # type: ignore[return-value]


def feeds() -> list[Feed[Any]]:
    """Those that run on this event loop."""
    return list(_FEEDS.get(asyncio.get_running_loop(), {}).values())


def _remove(feeds: dict[Hashable, Feed[Any]], key: Hashable, feed: Feed[Any]) -> None:
    if feeds.get(key) is feed:
        del feeds[key]
