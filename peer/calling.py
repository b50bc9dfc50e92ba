"""What `peer call` does: call one participant or everybody, answer whoever calls, watch over the calls, report.

Narrates in plain words on this module's logger; what became of each call is in the reports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peer import events
from peer.errors import CallLost, Error, NoAnswer, NotHere
from peer.joining import joined
from peer.observing import Observed
from peer.report import CallReport, ended_words, file_words, keep

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from typing import Any

    from peer.call import Call
    from peer.channel import Connect
    from peer.recording.group import Recorder
    from peer.ring import Ring
    from peer.room import Room
    from peer.rtc.ice.servers import IceSettings
    from peer.tokens import TokenSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do in a room; every field is a flag of `peer call`."""

    url: str | Connect
    room: str
    name: str
    to: str | None = None
    """Whom to call; None: everybody who is or comes there."""
    video: str = "test"
    audio: str = "test"
    record: Path | None = None
    seconds: float | None = None
    """Seconds after which to hang up and leave; None: stay."""
    timeout: float = 20.0
    """Seconds that `to` may take to be in the room, and to answer."""
    token: TokenSource | None = field(default=None, repr=False)
    """Where access tokens are from."""
    ice_servers: Sequence[str] = ()
    network: IceSettings | None = None


class Calling:
    """The calls of one room: `run()` makes, answers and watches them until told to stop, or until there is no more."""

    def __init__(
        self, room: Room, plan: Plan, recorder: Recorder | None = None, reply: Callable[[str], str] | None = None
    ) -> None:
        """`reply` makes the answer to a text message; without, each is told and none answered."""
        self.room = room
        self.plan = plan
        self.recorder = recorder
        self._reply = reply
        self.reports: list[CallReport] = []
        self.observed: dict[str, Observed] = {}
        """The calls that run, by session."""
        self.error: Error | None = None
        """Why the one call that was asked for did not come about, or broke."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._trouble: BaseException | None = None
        self._connecting: set[str] = set()
        self._lost: set[str] = set()

    async def run(self) -> None:
        """Call, answer and watch; returns after `plan.seconds`, or when the call to `plan.to` is over.

        However it ends, every call is hung up and reported. A mistake of ours in any call is raised here.
        """
        self._spawn(self._follow())
        self._spawn(self._answer())
        if self.plan.to is not None:
            self._spawn(self._call_one(self.plan.to))
        else:
            for name in filter(self.room.may_call, self.room.members):
                self._spawn(self._call(name))
        try:
            async with asyncio.timeout(self.plan.seconds):
                await self._over.wait()
        except TimeoutError:
            logger.info("%g s are over", self.plan.seconds)
            if self.plan.to is not None and not self.observed:
                self.error = NoAnswer(f"{self.plan.to} was not reached within {self.plan.seconds:g} s; try again later")
        finally:
            await self._finish()
        if self._trouble is not None:
            raise self._trouble

    def status(self) -> str:
        """Everything at a glance, in one line."""
        calls = "; ".join(one.status() for one in list(self.observed.values())[:4]) or "nobody in a call"
        files = self.recorder.files if self.recorder is not None else []
        recorded = f"; {sum(file.bytes for file in files) / 1e6:.1f} MB recorded" if files else ""
        return f"room {self.room.room}: {calls}{recorded}"

    async def _finish(self) -> None:
        for one in list(self.observed.values()):
            await one.look()
        while self.observed:  # also those that came about meanwhile; each ends by itself once its call is over
            await asyncio.gather(*(one.call.hang_up() for one in list(self.observed.values())))
            await asyncio.wait(list(self._tasks), timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Who is called, who is answered

    async def _call_one(self, name: str) -> None:
        try:
            report = await self._call_when_here(name)
        except Error as error:
            self._one_is_over(error)
        else:
            if report is not None:
                self._one_is_over(broken(report, lost=report.name in self._lost))

    def _one_is_over(self, error: Error | None) -> None:
        self.error = error
        self._over.set()

    async def _call_when_here(self, name: str) -> CallReport | None:
        plan = self.plan
        deadline = time.monotonic() + plan.timeout
        if name not in self.room.members:
            logger.info("waiting for %s", name)
        try:
            async with asyncio.timeout(plan.timeout):
                await self.room.wait_for(name)
        except TimeoutError:
            text = f"{name} did not come to room {plan.room} within {plan.timeout:g} s; check the name, or wait longer"
            raise NotHere(f"{text} with --timeout") from None
        return await self._dial(name, max(1.0, deadline - time.monotonic()))

    async def _call(self, name: str) -> None:
        """Call one of many: what goes wrong is told, and ends nothing else."""
        try:
            await self._dial(name, self.plan.timeout)
        except Error as error:
            logger.warning("%s", error)

    async def _dial(self, name: str, timeout: float) -> CallReport | None:
        """Call and watch until it is over; nothing where a call with them is on already, or about to be."""
        if name in self._connecting or any(one.call.name == name for one in self.observed.values()):
            return None
        report = CallReport(name, outgoing=True)
        logger.info("calling %s", name)
        self._connecting.add(name)
        try:
            call = await self.room.call(name, timeout=timeout)
        except Error as error:
            self._failed(report, error)
            raise
        finally:
            self._connecting.discard(name)
        return await self._observe(call, report)

    async def _answer(self) -> None:
        async for ring in self.room.rings():
            self._spawn(self._accept(ring))

    async def _accept(self, ring: Ring) -> None:
        if ring.caller in self._connecting and ring.caller in self.room.members:
            return  # both called at once, and the room makes one call of it; callers over HTTP may share a name
        report = CallReport(ring.caller, outgoing=False)
        logger.info("%s calls", ring.caller)
        self._connecting.add(ring.caller)
        try:
            call = await ring.accept()
        except Error as error:
            self._failed(report, error)
            logger.warning("the call of %s did not come about: %s", ring.caller, error)
            if ring.caller == self.plan.to:
                self._one_is_over(error)
            return
        finally:
            self._connecting.discard(ring.caller)
        await self._observe(call, report)
        if ring.caller == self.plan.to:
            self._one_is_over(broken(report, lost=report.name in self._lost))

    async def _observe(self, call: Call, report: CallReport) -> CallReport:
        keep(self.reports, report)
        observed = self.observed[call.session] = Observed(call, report, self._reply)
        try:
            await observed.run()
        finally:
            del self.observed[call.session]
        for line in file_words(report.files):
            logger.info("%s", line)
        return report

    async def _follow(self) -> None:
        """Narrate the room, and call those who come where everybody is to be called."""
        async for event in self.room.events():
            match event:
                case events.MemberJoined():
                    self._lost.discard(event.name)
                    logger.info("%s came", event.name)
                    here = event.name in self.room.members
                    if self.plan.to is None and here and self.room.may_call(event.name):
                        self._spawn(self._call(event.name))
                case events.MemberLeft():
                    lost = event.reason in ("lost", "silent")
                    if lost:
                        self._lost.add(event.name)
                    if event.reason != "replaced":
                        gone = "is gone from the signaling server" if lost else "left the room"
                        logger.info("%s %s", event.name, gone)
                case events.SignalingRestored():
                    logger.info("the signaling server is back after %.0f s", event.seconds)
        if self.room.refusal is not None:  # it lets us in no more, and that was the end of the room
            self._one_is_over(self.room.refusal)

    # Inside

    def _failed(self, report: CallReport, error: Error) -> None:
        report.state, report.error = "failed", error
        keep(self.reports, report)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._trouble = self._trouble or error
            self._over.set()


def broken(report: CallReport, *, lost: bool) -> Error | None:
    """Why the end of a call was none that anybody wanted; `lost`: the signaling server lost the other side too."""
    ended = report.ended
    if ended is None or ended.reason in ("hung up", "cancelled") or (ended.reason == "left" and not lost):
        return None
    if ended.reason == "no answer":
        return NoAnswer(f"{report.name} did not answer; try again later")
    return CallLost(f"{ended_words(report)}; call again")


@dataclass(slots=True)
class Outcome:
    """How it went: the reports of all calls, and the error that decides on the exit code."""

    reports: list[CallReport]
    error: Error | None = None
    interrupted: bool = False


async def call(plan: Plan, started: Callable[[Calling], None] = lambda calling: None) -> Outcome:
    """Do what `plan` says; Ctrl-C (a cancellation) is an end like any other. `started` gets what to watch.

    Raises:
        Unreachable, UsageError, DeviceError: it could not even begin.
    """
    calling: Calling | None = None
    try:
        async with AsyncExitStack() as stack:
            room = await stack.enter_async_context(joined(plan))
            recorder = None
            if plan.record:
                recorder = await stack.enter_async_context(room.record(plan.record, everyone=False))
            if isinstance(plan.url, str):  # else there is no room but in our own eyes
                others = ", ".join(room.members) or "nobody yet"
                logger.info("in room %s as %s; others: %s", room.room, room.name, others)
            calling = Calling(room, plan, recorder)
            started(calling)
            await calling.run()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise
        task.uncancel()
        return Outcome(calling.reports if calling else [], interrupted=True)
    return Outcome(calling.reports, calling.error)
