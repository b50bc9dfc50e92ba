"""Runs a script in a room: begins it, tells what happens, reads it anew when it was edited, begins again when it ended.

Narrates in plain words on this module's logger, and in events to whoever runs it.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from peer import events
from peer.botfile import Left, ScriptFile
from peer.botscript import answering, where
from peer.errors import CallEnded, Error, UsageError
from peer.goodbye import told
from peer.joining import joined
from peer.report import CallReport, ended_words
from peer.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from peer.botscript import Main, Script
    from peer.call import Call
    from peer.channel import Connect
    from peer.room import Room
    from peer.rtc.ice.servers import IceSettings
    from peer.taker import Taker
    from peer.tokens import TokenSource

logger = logging.getLogger(__name__)

CHECK_FAILED: Final = 8
"""Exit code after an `assert` of the script that did not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to run a script; every field is a flag of `peer bot`."""

    url: str | Connect
    room: str
    name: str
    script: Path
    arguments: Sequence[str] = ()
    """What the script finds in `sys.argv` after its own name."""
    video: str = "none"
    audio: str = "none"
    reload: bool = False
    restart: str = "never"
    seconds: float | None = None
    """Seconds after which it ends, well; None: when the script does."""
    token: TokenSource | None = field(default=None, repr=False)
    """Where access tokens are from."""
    ice_servers: Sequence[str] = ()
    network: IceSettings | None = None


class Bot:
    """One script in one room, for as long as it is wanted."""

    def __init__(self, plan: Plan, tell: Callable[[events.Event], None]) -> None:
        """`tell` is called with everything that happens. Raises UsageError for a policy that there is not."""
        self._plan = plan
        self._tell = tell
        self._restarts = Restarts(plan.restart)
        self._file = ScriptFile(plan.script, plan.arguments)
        self._script: Script
        self._left: asyncio.Future[None]

    async def run(self) -> events.ScriptEnded:
        """Run the script until it ends for good; how it ended. A cancellation is an end like any other."""
        try:
            async with asyncio.timeout(self._plan.seconds) as time_limit:
                ended = await self._run()
        except TimeoutError:
            if not time_limit.expired():
                raise
            logger.info("%g s are over", self._plan.seconds)
            ended = events.ScriptEnded(0)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise
            task.uncancel()
            ended = events.ScriptEnded(0)
        self._tell(ended)
        return ended

    async def _run(self) -> events.ScriptEnded:
        try:
            self._script = await self._file.read()
        except Exception as error:
            return self._failed(error)
        while True:
            began, ended = time.monotonic(), events.ScriptEnded(0)
            permanent = False
            try:
                await self._stay()
            except Exception as error:
                ended, permanent = self._failed(error), isinstance(error, UsageError)
            pause = self._restarts.after(failed=ended.exit_code != 0, ran=time.monotonic() - began)
            if pause is None or permanent:
                return ended
            logger.info("it begins again in %g s", pause)
            self._tell(events.ScriptRestarting(pause))
            await asyncio.sleep(pause)

    def _failed(self, error: Exception) -> events.ScriptEnded:
        """What an error of the script means for the whole; one that is no sentence yet is told with where it was."""
        match error:
            case Left() if error.exit_code == 0:
                return events.ScriptEnded(0)
            case Left() | Error():
                code, sentence = error.exit_code, str(error)
            case AssertionError():
                code, sentence = CHECK_FAILED, f"a check failed: {str(error) or _line(error)}"
            case _:
                self._tell(events.ScriptFailed(told(error), where(error, self._plan.script.resolve())))
                return events.ScriptEnded(1, f"the script raised {told(error)}")
        logger.debug("ended by an error", exc_info=error)
        return events.ScriptEnded(code, sentence)

    async def _stay(self) -> None:
        """Be in the room once, for as long as the script runs; raises what it raises."""
        async with joined(self._plan) as room:
            others = ", ".join(room.members) or "nobody yet"
            logger.info("in room %s as %s; others: %s", room.room, room.name, others)
            self._tell(events.ScriptStarted(room.room, room.name, tuple(room.members)))
            room.spawn(self._watch(room.events(aside=True)), "watch the room")
            await self._work(room)
            if room.refusal is not None:  # the signaling server lets us in no more, and that was the end of it
                raise room.refusal

    async def _work(self, room: Room) -> None:
        """Run what the script says, and of an edited one what that says."""
        self._left = asyncio.get_running_loop().create_future()
        running = self._begin(room)
        edited: asyncio.Task[Script] | None = None
        try:
            while not running.done():
                if self._plan.reload and edited is None:
                    edited = asyncio.create_task(self._file.edited(self._unreadable))
                waited: list[asyncio.Future[Any]] = [running, self._left, *([edited] if edited else [])]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if self._left.done():
                    await self._left
                if edited is not None and edited.done():
                    before, self._script, edited = self._script, edited.result(), None
                    logger.info("%s was edited and is read anew", self._plan.script)
                    self._tell(events.ScriptReloaded())
                    if not (before.on_call and self._script.on_call):
                        await _ended(running)
                        running = self._begin(room)
            await running
        finally:
            await _ended(running, edited)

    def _begin(self, room: Room) -> asyncio.Task[None]:
        main = self._script.main if self._script.on_call is None else answering(lambda: self._over_call)
        if self._plan.reload and self._plan.restart == "never":
            return asyncio.create_task(self._until_edited(main, room))
        return asyncio.create_task(_contained(main, room))

    async def _until_edited(self, main: Main, room: Room) -> None:
        """Run it; what it raises is told, and that it is over is no end: somebody is about to change it."""
        try:
            await _contained(main, room)
            logger.info("the script is over; it begins again when it is edited")
        except Left:
            raise
        except Exception as error:
            logger.warning("the script raised %s; it begins again when it is edited", told(error))
            self._tell(events.ScriptFailed(told(error), where(error, self._script.path)))
        await asyncio.Event().wait()

    async def _over_call(self, call: Call) -> None:
        """The newest script over a call; what it raises ends that call only."""
        assert self._script.on_call is not None
        try:
            await self._script.on_call(call)
        except (CallEnded, StopAsyncIteration):
            raise  # the room's to tell
        except SystemExit as left:
            if not self._left.done():
                self._left.set_exception(Left(left.code))
                self._left.exception()  # seen, should it be over for another reason too
        except Exception as error:
            self._tell(events.ScriptFailed(told(error), where(error, self._script.path), call.name))
            await call.hang_up(reason="error", text=told(error))

    # What happens

    def _unreadable(self, error: Exception) -> None:
        sentence = "%s was edited and cannot be run: %s; what there was goes on"
        logger.warning(sentence, self._plan.script, told(error))
        self._tell(events.ScriptFailed(told(error), where(error, self._script.path)))

    async def _watch(self, happened: Taker[events.Event]) -> None:
        async for event in happened:
            narrate(event)
            self._tell(event)


def narrate(event: events.Event) -> None:
    """What happens in the room, in words."""
    match event:
        case events.MemberJoined():
            logger.info("%s came", event.name)
        case events.MemberLeft() if event.reason != "replaced":
            lost = event.reason in ("lost", "silent")
            logger.info("%s %s", event.name, "is gone from the signaling server" if lost else "left the room")
        case events.CallStarted():
            logger.info("called %s" if event.outgoing else "%s calls", event.name)
        case events.CallFinished():
            logger.info("%s", ended_words(CallReport(event.name, outgoing=False, ended=event.ended)))
        case events.SignalingRestored():
            logger.info("the signaling server is back after %.0f s", event.seconds)


def _line(error: AssertionError) -> str:
    """Where a check is that says nothing itself."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"line {last.lineno}: {last.line}"


async def _contained(main: Main, room: Room) -> None:
    """An exit would end the event loop on the spot, with calls that nobody hung up."""
    try:
        await main(room)
    except SystemExit as left:
        raise Left(left.code) from None


async def _ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel them and wait until they have ended."""
    some = [task for task in tasks if task is not None]
    for task in some:
        task.cancel()
    if some:
        await asyncio.wait(some)
    for task in some:
        if not task.cancelled():
            task.exception()  # it has been seen to
