"""What `peer demo` does: a server, a peer that answers and one that calls; both record, the files are verified."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peer.calling import Calling, Plan
from peer.errors import CallEnded, CallError, Error
from peer.hosting import PortInUse, serve
from peer.joining import ice_server, join
from peer.media import open_media, parse_source
from peer.observing import Observed
from peer.recording.verify import Verification, verify
from peer.report import CallReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from peer.call import Call
    from peer.hosting import Hosted
    from peer.recording.group import Recorder
    from peer.room import Room
    from peer.rtc.frames import Kind

logger = logging.getLogger(__name__)

DEFAULT_PORT: Final = 8080
START_TIMEOUT: Final = 15.0
"""Seconds that the recordings may take beyond their own length: to begin, and on a machine that is busy."""
SETTLE_TIMEOUT: Final = 3.0
"""Seconds that the media may take to flow steadily before recording begins anyway: encoders start slowly."""
POLL: Final = 0.05
LENGTH_TOLERANCE: Final = 1.0
"""Seconds by which a file may be longer or shorter than asked for."""
MIN_CONSECUTIVE: Final = 0.99
"""Part of the pictures in a file that have to follow their predecessor directly ..."""
FORGIVEN: Final = 3
"""... but so many may always fail to: what 99 % forgive in ten seconds, a shorter recording may have too."""


class CheckFailed(Error):
    """The demonstration ran and did not show what it should."""

    exit_code = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to demonstrate; every field is a flag of `peer demo`."""

    room: str = "demo"
    host: str = "127.0.0.1"
    open: bool = False
    """Whether everybody may come in who reaches `host`."""
    port: int | None = None
    """None: 8080, or any free one where that is taken."""
    seconds: float = 10.0
    output: Path = field(default_factory=lambda: Path("recordings"))
    video: str = "test"
    audio: str = "test"
    timeout: float = 20.0
    ice_servers: Sequence[str] = ()

    @property
    def kinds(self) -> set[Kind]:
        """What both sides send."""
        kinds: set[Kind] = set()
        if parse_source(self.video, "video").kind != "none":
            kinds.add("video")
        if parse_source(self.audio, "audio").kind != "none":
            kinds.add("audio")
        return kinds

    @property
    def numbered(self) -> bool:
        """Whether the pictures carry numbers that can be checked."""
        return parse_source(self.video, "video").kind == "test"


@dataclass(slots=True)
class DemoResult:
    """What came of it."""

    url: str = ""
    page: str = ""
    reports: list[CallReport] = field(default_factory=list)
    checks: dict[Path, Verification] = field(default_factory=dict)
    error: Error | None = None

    def to_json(self) -> dict[str, Any]:
        """As the `--json` of the command has it, see docs/cli.md."""
        calls = [report.to_json() for report in self.reports]
        for one in calls:
            for file in one["files"]:
                found = self.checks.get(Path(file["path"]))
                file["verified"] = found.ok if found else None
                file["problems"] = found.problems if found else []
                file["consecutive"] = found.numbers if found else None
        return {
            "exitCode": self.error.exit_code if self.error else 0,
            "error": str(self.error) if self.error else None,
            "url": self.url,
            "calls": calls,
        }


class Demo:
    """One demonstration: `prepared()` has the server and the bot running, `show()` does it once."""

    def __init__(self, plan: DemoPlan) -> None:
        self.plan = plan
        self.result = DemoResult()
        self._stage = "starting"
        self._observed: list[Observed] = []
        self._recorders: list[Recorder] = []

    def status(self) -> str:
        """Everything at a glance, in one line."""
        if not self._observed:
            return self._stage
        calls = "; ".join(one.status() for one in self._observed)
        return f"{self._stage} {self._recorded():.1f} of {self.plan.seconds:g} s; {calls}"

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[Room]:
        """The server runs and the bot is in its room, until the block is left.

        Raises:
            UsageError, DeviceError: a source, the port or the output cannot be used.
        """
        plan = self.plan
        plan.kinds  # noqa: B018 - a source that cannot be is told before anything starts
        async with AsyncExitStack() as stack:
            hosted = await stack.enter_async_context(_serve(plan))
            self.result.url, self.result.page = hosted.url, hosted.page(plan.room)
            logger.info("signaling server and page: %s", self.result.page)
            yield await stack.enter_async_context(self._member("bot"))

    async def show(self, bot: Room) -> DemoResult:
        """Call, record for `seconds`, hang up, verify. What goes wrong is in the result."""
        try:
            async with self._member("caller") as caller:
                await self._talk(bot, caller)
            await self._check()
        except (CallError, CallEnded) as error:
            self.result.error = CheckFailed(f"no media flowed: {error}")
        except Error as error:
            self.result.error = error
        return self.result

    async def stay(self, bot: Room, watch: Callable[[Calling], None]) -> None:
        """Keep the bot in its room: it answers, calls whoever joins, replies to text messages. Until cancelled."""
        bot.events().close()  # what was there before is over, and must not be taken for news
        plan = Plan(url=self.result.url, room=self.plan.room, name=bot.name, timeout=self.plan.timeout)
        calling = Calling(bot, plan, reply=replied)
        watch(calling)
        await calling.run()

    @asynccontextmanager
    async def _member(self, name: str) -> AsyncIterator[Room]:
        plan = self.plan
        media = await open_media(plan.video, plan.audio)
        try:
            async with join(
                self.result.url, room=plan.room, name=name, video=media.pictures, audio=media.sound
            ) as room:
                yield room
        finally:
            await media.close()

    async def _talk(self, bot: Room, caller: Room) -> None:
        self._stage = "calling"
        answering = asyncio.create_task(_answered(bot))
        try:
            outgoing = await caller.call(bot.name, timeout=self.plan.timeout)
            incoming = await asyncio.wait_for(answering, START_TIMEOUT)
        finally:
            answering.cancel()
        self._observed = [
            Observed(outgoing, CallReport(bot.name, outgoing=True, own=caller.name)),
            Observed(incoming, CallReport(caller.name, outgoing=False, own=bot.name)),
        ]
        self.result.reports = [one.report for one in self._observed]
        watching = [asyncio.create_task(one.run()) for one in self._observed]
        try:
            await self._until(lambda: all(one.steady for one in self._observed), watching, SETTLE_TIMEOUT)
            await self._record(bot, caller, watching)
            await outgoing.hang_up()
            await asyncio.gather(*watching)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
            self._stage = "verifying"

    async def _record(self, bot: Room, caller: Room, watching: Sequence[asyncio.Task[None]]) -> None:
        wanted = self.plan.seconds
        output = self.plan.output
        async with caller.record(output, everyone=False) as callers, bot.record(output, everyone=False) as bots:
            self._stage = "recording"
            self._recorders = [callers, bots]
            deadline = asyncio.get_running_loop().time() + wanted + START_TIMEOUT
            while running := [one for one in self._recorders if not one.closed]:
                left = deadline - asyncio.get_running_loop().time()
                if not await self._until(lambda: any(_length(one) >= wanted for one in running), watching, left):
                    break
                for recorder in running:
                    if _length(recorder) >= wanted:
                        await recorder.close()
            for one in self._observed:
                await one.look()
        for report, recorder in zip(self.result.reports, self._recorders, strict=True):
            report.files = recorder.files
        if self._recorded() < wanted:
            text = f"only {self._recorded():.1f} of {wanted:g} s were recorded"
            raise CheckFailed(f"{text}; end what keeps this machine busy, and try again")

    def _recorded(self) -> float:
        """Seconds in the shortest recording."""
        return min(map(_length, self._recorders), default=0.0)

    async def _until(self, true: Callable[[], bool], watching: Sequence[asyncio.Task[None]], timeout: float) -> bool:
        """Wait, while the calls go on; whether it came `true` within `timeout` seconds. Raises CallEnded."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not true():
            if loop.time() > deadline:
                return False
            done, _ = await asyncio.wait(watching, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                raise CallEnded("the call ended early; look at the log with -v")
        return True

    async def _check(self) -> None:
        for report in self.result.reports:
            if not report.stats or not all(min(report.frames(kind)[:2]) for kind in self.plan.kinds):
                raise CheckFailed(f"media did not flow both ways between {report.who}; look at the log with -v")
            if len(report.files) != 1:
                raise CheckFailed(f"{report.own} recorded {len(report.files)} files instead of 1; see -v")
        files = [file.path for report in self.result.reports for file in report.files]
        found = await asyncio.gather(*(asyncio.to_thread(verify, path, expect=self.plan.kinds) for path in files))
        self.result.checks = {
            path: judged(one, self.plan.seconds, numbered=self.plan.numbered)
            for path, one in zip(files, found, strict=True)
        }
        for path, one in self.result.checks.items():
            if one.problems:
                raise CheckFailed(f"{path} is not as it should be: {'; '.join(one.problems)}; run it again with -v")


def judged(found: Verification, seconds: float, *, numbered: bool) -> Verification:
    """`found` with the problems added that make it no recording of `seconds`, with every picture where `numbered`."""
    problems = list(found.problems)
    if abs(found.seconds - seconds) > LENGTH_TOLERANCE:
        problems.append(f"it lasts {found.seconds:.1f} s instead of {seconds:g} s")
    if numbered and found.numbers is None:
        problems.append("its pictures carry no numbers")
    elif numbered and found.numbers is not None:
        gaps = round((1 - found.numbers) * (found.video_frames - 1))
        if gaps > max(FORGIVEN, (1 - MIN_CONSECUTIVE) * found.video_frames):
            problems.append(f"{gaps} of its {found.video_frames} pictures do not follow their predecessor directly")
    return replace(found, ok=not problems, problems=problems)


def replied(words: str) -> str:
    """What the bot answers to a text message of which `words` are shown."""
    return f"You said: {words}" if words else "You said nothing that I can read."


async def _answered(room: Room) -> Call:
    async for ring in room.rings():
        return await ring.accept()
    raise CallEnded("the room was left before anybody called; try again")


def _length(recorder: Recorder) -> float:
    return max((file.seconds for file in recorder.files), default=0.0)


@asynccontextmanager
async def _serve(plan: DemoPlan) -> AsyncIterator[Hosted]:
    """The server, on another port where nobody asked for this one."""
    servers = [server for text in plan.ice_servers for server in ice_server(text)]
    async with AsyncExitStack() as stack:
        try:
            port = DEFAULT_PORT if plan.port is None else plan.port
            hosting = serve(host=plan.host, port=port, ice_servers=servers, open=plan.open)
            hosted = await stack.enter_async_context(hosting)
        except PortInUse as error:
            if plan.port is not None:
                raise
            logger.info("%s", str(error).partition(";")[0] + ", so any free one is used")
            hosting = serve(host=plan.host, port=0, ice_servers=servers, open=plan.open)
            hosted = await stack.enter_async_context(hosting)
        yield hosted
