"""What `peer record` does: join a room silently, record everyone who is or comes there, report.

Whom to call and whom to answer is in `peer.attending`; here the calls are watched and told of in plain words.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from peer import events
from peer.attending import Attending
from peer.calling import Outcome
from peer.errors import DeviceError, Error, NotHere
from peer.joining import join
from peer.observing import Observed
from peer.report import CallReport, file_words, keep
from peer.rtc.ice.servers import IceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence
    from pathlib import Path
    from typing import Any

    from peer.call import Call
    from peer.recording import Format, Recorder
    from peer.room import Room
    from peer.tokens import TokenSource

logger = logging.getLogger(__name__)

MAX_PAUSE: Final = 0.030
"""Seconds that packets may wait in their socket: nobody watches what is recorded, and reading many at once costs less.
When each came is known, so neither the files nor what senders are told differ for it; but lost sound that comes again
has `peer.rtc.jitter.REPAIR_GRACE` for it, which has to be longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to record; every field is a flag of `peer record`."""

    url: str
    room: str
    name: str
    output: Path
    format: Format = "mkv"
    """Container of the files."""
    segment: float | None = None
    """Seconds after which another file goes on."""
    only: Collection[str] | None = None
    """Names of those to be recorded; None: everybody."""
    seconds: float | None = None
    """Seconds after which to end; None: when told to."""
    timeout: float = 20.0
    """Seconds that somebody who is called may take to answer."""
    token: TokenSource | None = field(default=None, repr=False)
    """Where access tokens are from."""
    ice_servers: Sequence[str] = ()
    network: IceSettings | None = None


class RecordingAll:
    """The recordings of one room, watched (`peer.attending.Audience`)."""

    def __init__(self, room: Room, plan: Plan, recorder: Recorder) -> None:
        self.room = room
        self.plan = plan
        self.recorder = recorder
        self.reports: list[CallReport] = []
        """One for each call, and for each participant who cannot be recorded."""
        self.observed: dict[str, Observed] = {}
        """The calls that run, by session."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Record for `plan.seconds`, or until cancelled; either way every call is hung up and every file finished.

        A mistake of ours in any call is raised here.
        """
        plan, closing = self.plan, self._closing
        attending = Attending(self.room, only=plan.only, timeout=plan.timeout, audience=self)
        running = asyncio.create_task(attending.run(closing))
        self._spawn(self._follow())
        try:
            async with asyncio.timeout(plan.seconds):
                await asyncio.shield(running)
        except TimeoutError:
            logger.info("%g s are over", plan.seconds)
        finally:
            for one in list(self.observed.values()):
                await one.look()
            closing.set()
            await asyncio.gather(running, return_exceptions=True)
            await self._finish()
        running.result()

    @property
    def error(self) -> Error | None:
        """Why it did not do what it was for, if so: a recording that failed, or nothing to record in all the time."""
        if errors := self.recorder.errors:
            return DeviceError(errors[0] if len(errors) == 1 else f"{len(errors)} recordings failed; {errors[0]}")
        if self.room.refusal is not None:
            return self.room.refusal
        if self.plan.seconds is None or any(report.size for report in self.reports):
            return None
        whom = f" of {', '.join(sorted(self.plan.only))}" if self.plan.only is not None else ""
        who = ", ".join(f"{report.name}: {report.how}" for report in self.reports[-3:]) or "nobody came"
        return NotHere(f"nothing{whom} was recorded within {self.plan.seconds:g} s ({who}); try again later")

    async def _finish(self) -> None:
        while self.observed:  # each ends by itself, now that its call is over
            await asyncio.wait(list(self._tasks), timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Audience

    def began(self, call: Call, *, outgoing: bool) -> None:
        report = CallReport(call.name, outgoing=outgoing)
        self._forget_failures(call.name)
        keep(self.reports, report)
        observed = Observed(call, report)
        self.observed[call.session] = observed
        self._spawn(self._observe(call.session, observed))

    def failed(self, name: str, error: Error, *, outgoing: bool) -> None:
        logger.warning("%s is not recorded: %s", name, error)
        self._forget_failures(name)
        keep(self.reports, CallReport(name, outgoing=outgoing, state="failed", error=error))

    def _forget_failures(self, name: str) -> None:
        """Somebody who is tried again has one line, the last."""
        self.reports[:] = [one for one in self.reports if one.name != name or one.state != "failed"]

    async def _observe(self, session: str, observed: Observed) -> None:
        try:
            await observed.run()
        finally:
            del self.observed[session]
        for line in file_words(observed.report.files):
            logger.info("%s", line)

    async def _follow(self) -> None:
        """Narrate the room."""
        async for event in self.room.events():
            match event:
                case events.MemberJoined():
                    logger.info("%s came", event.name)
                case events.MemberLeft() if event.reason != "replaced":
                    lost = event.reason in ("lost", "silent")
                    logger.info("%s %s", event.name, "is gone from the signaling server" if lost else "left the room")
                case events.SignalingRestored():
                    logger.info("the signaling server is back after %.0f s", event.seconds)
        if self.room.refusal is not None:  # it lets us in no more, and that was the end of the room
            self._closing.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def record(plan: Plan, started: Callable[[RecordingAll], None] = lambda recording: None) -> Outcome:
    """Do what `plan` says; Ctrl-C (a cancellation) is an end like any other. `started` gets what to watch.

    Raises:
        DeviceError: nothing can be written to the directory.
        UsageError: there is no such format, or segments cannot be that long.
        Unreachable, UsageError: the room could not be joined.
    """
    from peer.recording import Options, Recorder

    recording: RecordingAll | None = None
    try:
        async with AsyncExitStack() as stack:
            options = Options(format=plan.format, segment=plan.segment)
            recorder = await stack.enter_async_context(Recorder(plan.output, room=plan.room, options=options))
            network = replace(plan.network or IceSettings(), max_pause=MAX_PAUSE)
            joining = join(
                plan.url,
                room=plan.room,
                name=plan.name,
                ice_servers=plan.ice_servers,
                network=network,
                token=plan.token,
            )
            room = await stack.enter_async_context(joining)
            room.record(recorder, only=plan.only, everyone=False)
            logger.info("in room %s as %s; others: %s", room.room, room.name, ", ".join(room.members) or "nobody yet")
            recording = RecordingAll(room, plan, recorder)
            started(recording)
            await recording.run()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise
        task.uncancel()
        error = recording.error if recording and recording.recorder.errors else None
        return Outcome(recording.reports if recording else [], error, interrupted=True)
    return Outcome(recording.reports, recording.error)
