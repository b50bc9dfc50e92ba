"""What a call is before it is one: a ring that comes in, a dialling that goes out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peer.beginning import Sources
from peer.errors import CallEnded, Error, UsageError
from peer.goodbye import told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import EllipsisType, TracebackType

    from peer.call import Call
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.room import Room

    Pictures = str | PictureSourceBase | None
    Sounds = str | SoundSourceBase | None

logger = logging.getLogger(__name__)


class Ring:
    """Somebody calls: `accept()` or `reject()`. Not answered within 30 s, the caller is told so."""

    def __init__(self, room: Room, call: Call) -> None:
        self._room = room
        self._call = call

    @property
    def caller(self) -> str:
        """Name of who calls."""
        return self._call.name

    @property
    def member(self) -> str:
        """Id of who calls; one who calls by plain HTTP is no member of the room."""
        return self._call.remote.member

    @property
    def over(self) -> bool:
        """Whether there is nothing to answer any more: answered, rejected, or the caller gave up."""
        return self._call.over or self._call.session not in self._room.ringing

    def accept(self, *, video: Pictures | EllipsisType = ..., audio: Sounds | EllipsisType = ...) -> Dialing:
        """Answer: await it for the call, or `async with` it. Sources are the room's unless said here.

        Raises (when awaited, which returns once media can flow):
            CallEnded: the caller gave up first.
            IceFailed: no media path.
            UsageError, DeviceError: a source cannot be opened.
        """
        return Dialing(self.caller, lambda: self.answer(Sources(video, audio)))

    async def answer(self, sources: Sources) -> Call:
        """What `accept` gives, awaited."""
        if self.over:
            raise CallEnded(f"{self.caller} does not call any more; wait for the next ring")
        return await self._room.take_ring(self._call, sources)

    async def reject(self, reason: str = "declined", text: str = "") -> None:
        """Decline: `reason` is `declined` or `busy`, `text` is shown to the caller. Raises UsageError for others."""
        if reason not in ("declined", "busy"):
            raise UsageError(f"{reason!r} is no reason to reject a call; use declined or busy, and text for the rest")
        if not self.over:
            self._room.ringing.pop(self._call.session, None)
            await self._call.reject(reason, text)


@dataclass
class Dialing:
    """A call to be: await it for the call, or use it as an async context manager that hangs up at its end.

    Nothing happens before that.
    """

    name: str
    """Name of the other participant."""
    work: Callable[[], Awaitable[Call]]
    call: Call | None = field(default=None, init=False)

    def __await__(self) -> Generator[Any, None, Call]:
        return self.work().__await__()

    async def __aenter__(self) -> Call:
        self.call = await self.work()
        return self.call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.call is not None:
            await self.call.__aexit__(kind, error, trace)


async def run_over(script: Callable[[Call], Awaitable[None]], call: Call | Dialing) -> None:
    """Run a coroutine over a call, or one still to come; what it raises is logged and told to the other side."""
    try:
        started = await call if isinstance(call, Dialing) else call
    except Error as error:
        logger.warning("the call with %s did not come about: %s", call.name, error)
        return
    try:
        await script(started)
    except (CallEnded, StopAsyncIteration) as error:  # the latter of anext(), over what came through it
        logger.info("the script with %s ended with its call: %s", call.name, error)
    except Exception as error:
        logger.exception("the script with %s raised", call.name)
        await started.hang_up(reason="error", text=told(error))
    finally:
        await started.hang_up()
