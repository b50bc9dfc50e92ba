"""A recorder's part in a room: it calls and answers everyone who is to be recorded, and sends no media itself.

Whom to call when is decided in `peer.attendance`, which is pure.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from peer import events as happened
from peer.attendance import Attendance
from peer.beginning import SILENT
from peer.errors import Error, Rejected

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from typing import Any

    from peer.call import Call
    from peer.ring import Ring
    from peer.room import Room

logger = logging.getLogger(__name__)

NOT_WANTED: Final = "only others are recorded here"
"""What is told to those who call and are not to be recorded."""
RECORDS_TOO: Final = "a recorder too, and sends nothing"
"""What is told to another recorder."""


class Audience(Protocol):
    """Who is told what becomes of the calls; plain calls on the event loop."""

    def began(self, call: Call, *, outgoing: bool) -> None: ...
    def failed(self, name: str, error: Error, *, outgoing: bool) -> None: ...


class Attending:
    """Calls those of a room who do not call, answers those who do, and leaves alone who does not want to."""

    def __init__(
        self,
        room: Room,
        *,
        only: Collection[str] | None = None,
        grace: float = 0.0,
        timeout: float = 20.0,
        audience: Audience | None = None,
    ) -> None:
        """`only`: names of those who count. `timeout`: seconds that somebody who is called may take to answer.

        `grace`: seconds that those who are here already have to call by themselves.
        """
        self._room = room
        self._grace = grace
        self._timeout = timeout
        self._audience = audience
        self._attendance = Attendance(only)
        self._changed = asyncio.Event()
        self._dialling: set[str] = set()
        """Ids of the members who are being called."""
        self._calls: set[Call] = set()
        """The calls that were made or answered here, and are on."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, closing: asyncio.Event) -> None:
        """Until `closing` is set; then the calls that it made or answered are hung up.

        A mistake of ours in any of them is raised.
        """
        self._begin(self._follow())
        self._begin(self._answer())
        self._begin(self._keep_calling())
        waiting = asyncio.create_task(closing.wait())
        over: list[asyncio.Future[Any]] = [waiting, self._trouble]
        try:
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await self._finish()
        if self._trouble.done():
            self._trouble.result()

    async def _finish(self) -> None:
        """Nothing begins any more, and what is on ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(call.hang_up() for call in self._calls), *tasks, return_exceptions=True)

    # Whom to call

    async def _follow(self) -> None:
        events = self._room.events()
        for name in self._room.members:
            self._attendance.came(name, time.monotonic(), grace=self._grace)
        async for event in events:
            match event:
                case happened.MemberJoined():
                    self._attendance.came(event.name, time.monotonic())
                case happened.MemberLeft() if event.reason != "replaced":
                    self._attendance.left(event.name, on_purpose=event.reason == "left")
                case happened.SignalingRestored():
                    for name in self._room.members:
                        self._attendance.came(name, time.monotonic())
            self._changed.set()

    async def _keep_calling(self) -> None:
        while not self._room.answers_itself:
            self._changed.clear()
            for name in self._attendance.due(time.monotonic()):
                self._attendance.began(name)
                if self._room.may_call(name):
                    self._begin(self._call(name))
            due = self._attendance.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    await self._changed.wait()

    async def _call(self, name: str) -> None:
        """Call somebody, unless a call with them is on already; either way see it through."""
        call = next((each for each in self._calls_with(name) if each.open), None)
        if call is not None:
            await self._see_through(call, member=True)
            return
        member = ""
        try:
            found = self._room.find(name)
            member = found.id
            self._dialling.add(member)
            logger.info("calling %s", name)
            call = await self._room.dial(found, SILENT, self._timeout)
        except Error as error:
            self._failed(name, error, outgoing=True, member=True)
            return
        finally:
            self._dialling.discard(member)
        await self._attend(call, outgoing=True, member=True)

    # Whom to answer

    async def _answer(self) -> None:
        async for ring in self._room.arriving():
            self._begin(self._take(ring))

    async def _take(self, ring: Ring) -> None:
        member = self._room.member(ring.member) is not None
        if ring.over or self._room.answers_itself:
            return
        if ring.member in self._dialling:
            return  # both called at once, and the room makes one call of it
        logger.info("%s calls", ring.caller)
        if not self._attendance.wanted(ring.caller):
            await ring.reject("declined", NOT_WANTED)
            return
        if member:
            self._attendance.began(ring.caller)
            for before in self._calls_with(ring.caller):
                if before.open:  # who calls anew has given up the call before
                    await before.hang_up()
        try:
            call = await ring.answer(SILENT)
        except Error as error:
            self._failed(ring.caller, error, outgoing=False, member=member)
            return
        await self._attend(call, outgoing=False, member=member)

    # Inside

    async def _attend(self, call: Call, *, outgoing: bool, member: bool) -> None:
        if call.remote.recording and not call.remote.tracks:
            await call.hang_up(text=RECORDS_TOO)
            error = Rejected(f"{call.name} is a recorder too, and sends nothing; there is nothing to do")
            self._failed(call.name, error, outgoing=outgoing, member=member)
            return
        self._calls.add(call)
        if self._audience is not None:
            self._audience.began(call, outgoing=outgoing)
        await self._see_through(call, member=member)
        self._calls.discard(call)

    async def _see_through(self, call: Call, *, member: bool) -> None:
        ended = await call.ended()
        if member:
            self._attendance.over(call.name, ended.reason, time.monotonic(), connected=True)
            self._changed.set()

    def _failed(self, name: str, error: Error, *, outgoing: bool, member: bool) -> None:
        if member:
            reason = error.reason if isinstance(error, Rejected) else "failed"
            self._attendance.over(name, reason, time.monotonic())
            self._changed.set()
        if self._audience is not None:
            self._audience.failed(name, error, outgoing=outgoing)
        else:
            logger.warning("%s is not recorded: %s", name, error)

    def _calls_with(self, name: str) -> list[Call]:
        """The calls with a member; not those of a caller by plain HTTP, who may bear the same name."""
        return [call for call in self._room.calls if call.name == name and self._room.member(call.remote.member)]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._trouble.done():
            self._trouble.set_exception(error)
