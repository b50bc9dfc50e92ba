"""One bot of a swarm: goes in, calls and answers, or runs a script, and counts what comes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from peer.botfile import Left
from peer.errors import Error, retryable
from peer.goodbye import told
from peer.swarm.attended import LOOK, Attended
from peer.swarm.entry import RoomPlace
from peer.swarm.figures import CallTally, Figures, Mean, add_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from peer import events
    from peer.ring import Ring
    from peer.room import Room
    from peer.swarm.entry import Entry, Place
    from peer.swarm.plan import Seat

    Script = Callable[[Room], Awaitable[None]]

logger = logging.getLogger(__name__)

TRIES: Final = 3
"""Calls to somebody that are tried again, at most."""
TRY_AGAIN: Final = 2.0
"""Seconds before."""
BROKEN: Final = ("lost", "failed", "left", "error")
"""Ends of a call that nobody wanted."""


class Bot:
    """Runs until it is cancelled; `figures` is how far it is."""

    def __init__(
        self,
        seat: Seat,
        entry: Entry,
        *,
        timeout: float,
        script: Script | None = None,
        traced: set[str] | None = None,
    ) -> None:
        """`traced`: the failures whose traceback was logged, which all bots that have one script share."""
        self.seat = seat
        self.figures = Figures(number=seat.number)
        self.latencies: list[float] = []
        """Ages of the pictures that were decoded since somebody took them away from here."""
        self._entry = entry
        self._timeout = timeout
        self._script = script
        self._traced = traced if traced is not None else set()
        self._age = Mean()
        self._attended: list[Attended] = []
        self._over: list[CallTally] = []
        """Of calls that are over."""
        self._calling = 0
        """Those it is calling."""

    async def run(self) -> None:
        """Go in and stay; what fails is in the figures."""
        self.figures.state = "joining"
        began = time.monotonic()
        try:
            async with self._entry.enter(self.seat.room, self.seat.name) as place:
                self.figures.join = time.monotonic() - began
                self.figures.state = "joined"
                await self._live(place)
        except Error as error:
            self.figures.failed(str(error))
        except Exception as error:  # a script's, or a mistake of ours: it ends this bot only
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            if (text := told(cause)) not in self._traced:
                self._traced.add(text)
                logger.warning("%s failed; of others like it no more is told", self.seat.name, exc_info=cause)
            self.figures.failed(text)

    async def look(self) -> None:
        """Bring the figures up to date."""
        for each in list(self._attended):
            await each.look()
        self.add_up()

    def add_up(self) -> Figures:
        """The figures as of the last look at each call."""
        figures = self.figures
        add_up(figures, [*self._over, *(each.tally for each in self._attended)])
        figures.calls = len(self._attended)
        firsts = [each.first_frame for each in self._attended if each.first_frame is not None]
        figures.first_frame = max(
            [*firsts, *([figures.first_frame] if figures.first_frame is not None else [])], default=None
        )
        figures.latency = self._age.value
        if figures.state in ("joined", "calling", "in call"):
            enough = self._script is None and figures.calls >= self.seat.expects
            figures.state = "in call" if figures.calls and (enough or self._script) else "joined"
            if not figures.calls and self._calling:
                figures.state = "calling"
        return figures

    # Inside

    async def _live(self, place: Place) -> None:
        if self._script is not None:
            assert isinstance(place, RoomPlace)
            await self._perform(self._script, place.room)
            return
        async with asyncio.TaskGroup() as tasks:
            for name in self.seat.calls:
                tasks.create_task(self._call(place, name))
            async for ring in place.rings():
                tasks.create_task(self._answer(place, ring))
            await asyncio.Event().wait()  # the room is never left but by us

    async def _call(self, place: Place, name: str) -> None:
        """Call somebody, and again if that comes to nothing for a reason that may pass."""
        for tries in range(TRIES + 1):
            self._calling += 1
            try:
                await place.reach(name, self._timeout)
                began = time.monotonic()
                call = await place.dial(name, self._timeout)
                attended = Attended(call, began, self._latency)
            except Error as error:
                self.figures.error = str(error)
                logger.debug("%s does not reach %s: %s", self.seat.name, name, error)
                again = retryable(error)
            else:
                again = await self._attend(attended)
            finally:
                self._calling -= 1
            if not again or tries == TRIES:
                break
            self.figures.tries += 1
            await asyncio.sleep(TRY_AGAIN)

    async def _answer(self, place: Place, ring: Ring) -> None:
        began = time.monotonic()
        try:
            call = await place.answer(ring)
        except Error as error:
            self.figures.error = str(error)
            return
        await self._attend(Attended(call, began, self._latency))

    async def _attend(self, attended: Attended) -> bool:
        """See a call through; whether it broke."""
        figures = self.figures
        if attended.connect is not None:
            figures.connect = max(attended.connect, figures.connect or 0.0)
        self._attended.append(attended)
        try:
            ended = await attended.run()
        finally:
            self._attended.remove(attended)
            self._over.append(attended.tally)
        broken = ended.reason in BROKEN
        if broken:
            figures.lost_calls += 1
        figures.error = _words(attended, ended)
        return broken

    async def _perform(self, script: Script, room: Room) -> None:
        """Run the script, and look at the calls that it makes."""
        running = asyncio.ensure_future(_performed(script, room))
        async with asyncio.TaskGroup() as tasks:
            try:
                while not running.done():
                    known = {each.call.session for each in self._attended}
                    for call in room.calls:
                        if call.session not in known and call.open:
                            tasks.create_task(self._attend(Attended(call, None, self._latency)))
                    await asyncio.wait([running], timeout=LOOK / 2)
                await running
                self.figures.state = "done"
                await asyncio.shield(room.leave())
            finally:
                running.cancel()
                await asyncio.wait([running])

    @property
    def _latency(self) -> Callable[[float], None] | None:
        return self._decoded if self.seat.decodes else None

    def _decoded(self, seconds: float) -> None:
        self._age.add(seconds)
        self.latencies.append(seconds)


async def _performed(script: Script, room: Room) -> None:
    """Run it; its `sys.exit` ends this bot only, and well where it says that nothing is wrong."""
    try:
        await script(room)
    except SystemExit as left:
        if left.code:
            raise Left(left.code) from None


def _words(attended: Attended, ended: events.Ended) -> str:
    return f"the call with {attended.call.name} is over: {ended.reason}{f' ({ended.text})' if ended.text else ''}"
