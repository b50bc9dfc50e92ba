"""What `peer record` makes of a room: one report for each call, the error that decides on the exit code."""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from peer.channel import MemoryHub
from peer.errors import DeviceError, NotHere, Rejected
from peer.joining import join
from peer.recordall import Plan, RecordingAll
from peer.recording.disk import open_exclusive
from peer.recording.group import Recorder
from peer.recording.writer import Options
from tests.rooms import PATIENCE, SMALL, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from io import RawIOBase
    from pathlib import Path

    from peer.call import Call
    from peer.room import Room


@asynccontextmanager
async def member(hub: MemoryHub, name: str) -> AsyncIterator[Room]:
    async with join(hub.connect, room="lab", name=name, video=SMALL, audio="test") as room:
        yield room


@asynccontextmanager
async def recording(
    hub: MemoryHub, folder: Path, *, options: Options | None = None, **changes: Any
) -> AsyncIterator[tuple[RecordingAll, asyncio.Task[None]]]:
    plan = Plan(url="", room="lab", name="recorder", output=folder, **changes)
    async with Recorder(folder, options=options) as recorder, join(hub.connect, room="lab", name="recorder") as room:
        room.record(recorder, only=plan.only, everyone=False)
        one = RecordingAll(room, plan, recorder)
        running = asyncio.create_task(one.run())
        try:
            yield one, running
        finally:
            running.cancel()
            await asyncio.wait([running])


async def answered(room: Room) -> Call:
    ring = await soon(anext(room.rings()))
    call: Call = await soon(ring.accept())
    return call


async def when(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_everyone_has_a_report_with_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peer")
    hub = MemoryHub()
    async with member(hub, "alice") as alice, member(hub, "bob") as bob:
        async with recording(hub, tmp_path, seconds=60) as (one, running):
            calls = [await answered(room) for room in (alice, bob)]
            await when(lambda: len(one.reports) == 2 and all(report.size > 1000 for report in one.reports))
            assert {report.recorded for report in one.reports} == {"recording"}
            await calls[0].hang_up()
            await when(lambda: any(report.state == "ended" for report in one.reports))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(running)
            assert [report.recorded for report in one.reports] == ["alice hung up", "we hung up"]
            assert one.observed == {} and one.error is None
        for report in one.reports:
            (file,) = report.files
            assert file.whole and file.name == report.name and file.path.exists()
    assert "alice hung up after" in caplog.text and f"recorded {one.reports[0].files[0].path}" in caplog.text


async def test_a_disk_that_fails_one_fails_no_other_and_is_told_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        """A file on a disk that is full."""

        def __init__(self, file: RawIOBase) -> None:
            self._file = file

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def opener(path: Path) -> RawIOBase:
        file = open_exclusive(path)
        return Full(file) if path.name.startswith("bob") else file  # type: ignore[return-value]

    hub = MemoryHub()
    async with member(hub, "alice") as alice, member(hub, "bob") as bob:
        async with recording(hub, tmp_path, options=Options(opener=opener)) as (one, _):
            calls = [await answered(room) for room in (alice, bob)]
            await when(lambda: len(one.reports) == 2 and one.reports[0].size > 5000 and one.reports[1].trouble)
            assert [report.recorded for report in one.reports] == ["recording", "recording failed"]
            assert "no space left on device" in caplog.text, "it is told at once"
            assert all(call.open for call in calls)
        assert isinstance(one.error, DeviceError) and one.error.exit_code == 7
        assert "no space left on device" in str(one.error)
        assert one.reports[0].files[0].whole


async def test_nobody_comes(tmp_path: Path) -> None:
    async with recording(MemoryHub(), tmp_path, seconds=0.05) as (one, running):
        await soon(running)
    assert isinstance(one.error, NotHere) and one.error.exit_code == 5
    assert str(one.error) == "nothing was recorded within 0.05 s (nobody came); try again later"


async def test_who_declines_is_in_the_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.attendance.DELAYS", (0.0, 0.0))
    hub = MemoryHub()
    async with member(hub, "alice") as alice:
        async with recording(hub, tmp_path, only=["alice"], seconds=60) as (one, _):
            rings = alice.rings()
            for reason in ("busy", "declined"):
                await (await soon(anext(rings))).reject(reason, "not\x1b now")
            await when(lambda: one.reports and one.reports[0].error and one.reports[0].how.startswith("declined"))
            (report,) = one.reports
            assert isinstance(report.error, Rejected) and "\x1b" not in report.recorded
            assert "of alice" in str(one.error) and "declined" in str(one.error)
