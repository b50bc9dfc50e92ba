"""Swarms of real processes against a real server: they end in time, survive crashes, and leave nobody behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import peer
from peer.swarm import process as process_module
from peer.swarm.plan import Plan
from peer.swarm.process import CannotStart, Process
from peer.swarm.report import decode, encode
from peer.swarm.swarm import Swarm
from signaling.app import Server
from signaling.settings import Settings
from tests.rooms import SMALL, soon
from tests.swarm.test_wire import WORK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from peer.swarm.wire import Report

pytestmark = pytest.mark.may_block("starting a process takes the kernel a while")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0)) as served:
        yield served


def plan(server: Server, **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "url": server.url,
        "bots": 4,
        "video": SMALL,
        "audio": "none",
        "ramp": 100.0,
        "seconds": 60.0,
    }
    return Plan(**fields | changes)


async def when(swarm: Swarm, running: asyncio.Task[Any], true: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not true():
            await asyncio.wait([running], timeout=0.05)
            assert not running.done(), running.exception()


def all_in_call(swarm: Swarm) -> bool:
    return all(bot.state == "in call" and bot.frames for bot in swarm.collected.bots)


@pytest.mark.slow
async def test_it_runs_for_its_time_and_reports(server: Server) -> None:
    found = await asyncio.wait_for(Swarm(plan(server, seconds=4.0, processes=2, rooms=2, decode="4")).run(), 40)
    assert decode(encode(found)) == found, "as the schema has it"
    assert (found.totals.begun, found.totals.connected, found.totals.failed, found.totals.crashes) == (4, 4, 0, 0)
    assert [bot.process for bot in found.bots] == [0, 0, 1, 1]
    assert {bot.room for bot in found.bots} == {"lab-01", "lab-02"}
    for name in ("join", "connect", "first_frame", "rtt", "fps", "bitrate_in", "bitrate_out"):
        assert found.metrics[name].count == 4 and (found.metrics[name].p50 or 0) > 0, name
    assert found.metrics["latency"].count > 4 and found.course and not found.interrupted
    assert all(one.cpu and one.memory and one.encoded for one in found.processes)


@pytest.mark.slow
async def test_a_cancelled_one_reports_what_there_is_and_leaves_no_process(server: Server) -> None:
    swarm = Swarm(plan(server, processes=2))
    running = asyncio.create_task(swarm.run())
    await when(swarm, running, lambda: all_in_call(swarm))
    pids = list(swarm.pids.values())
    running.cancel()
    found = await asyncio.wait_for(running, 10)
    assert found.interrupted and found.totals.connected == 4 and found.totals.failed == 0
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
async def test_one_that_is_stuck_is_killed(server: Server) -> None:
    swarm = Swarm(plan(server, bots=2))
    running = asyncio.create_task(swarm.run())
    await when(swarm, running, lambda: all_in_call(swarm))
    os.kill(swarm.pids[0], signal.SIGSTOP)
    running.cancel()
    found = await asyncio.wait_for(running, 10)
    assert found.interrupted and found.totals.connected == 2, "what it told before counts"


@pytest.mark.slow
async def test_another_takes_the_place_of_a_process_that_ends(server: Server) -> None:
    swarm = Swarm(plan(server, processes=2))
    running = asyncio.create_task(swarm.run())
    await when(swarm, running, lambda: all_in_call(swarm))
    os.kill(swarm.pids[1], signal.SIGKILL)
    await when(swarm, running, lambda: swarm.collected.crashes == 1)
    await when(swarm, running, lambda: all_in_call(swarm))
    running.cancel()
    found = await asyncio.wait_for(running, 10)
    (crash,) = found.processes[1].crashes
    assert crash.again and "SIGKILL" in crash.text
    assert (found.totals.crashes, found.totals.failed) == (1, 0)


@pytest.mark.slow
async def test_when_nobody_takes_its_place_its_bots_failed_and_it_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.swarm.swarm.RESTARTS", 0)
    swarm = Swarm(plan(server, bots=2))
    running = asyncio.create_task(swarm.run())
    await when(swarm, running, lambda: all_in_call(swarm))
    os.kill(swarm.pids[0], signal.SIGTERM)
    found = await asyncio.wait_for(running, 40)
    assert found.totals.failed == 2 and not found.interrupted
    assert found.troubles[0].text.startswith("ended ") and found.bots[0].state == "crashed"


@pytest.mark.slow
async def test_everybody_calls_one_and_only_receives(server: Server) -> None:
    async with peer.join(server.url, room="lab", name="alice", video=SMALL) as alice:
        swarm = Swarm(plan(server, to="alice", receive_only=True, bots=3))
        running = asyncio.create_task(swarm.run())
        rings = alice.rings()
        calls = [await (await soon(anext(rings))).accept() for _ in range(3)]
        await when(swarm, running, lambda: all_in_call(swarm))
        for call in calls:
            assert not any(entry.packets_received for entry in (await call.stats()).inbound)
        running.cancel()
        found = await asyncio.wait_for(running, 10)
        assert found.metrics["bitrate_out"].max == 0 and (found.metrics["bitrate_in"].p50 or 0) > 0
        assert {(await soon(call.ended())).reason for call in calls} <= {"hung up", "left"}


@pytest.mark.slow
async def test_each_runs_a_script(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "async def main(room):\n print('this is', room.name)\n if room.name == 'bot-002': raise ValueError('no')\n"
    )
    found = await asyncio.wait_for(Swarm(plan(server, bots=3, script=str(script), video="none", seconds=1.0)).run(), 40)
    assert [bot.state for bot in found.bots] == ["done", "failed", "done"]
    assert found.troubles[0].text == "ValueError: no"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"video": "file:/no/such.webm", "processes": 2}, 7, "such.webm"),
        ({"script": "/no/script.py", "video": "none"}, 2, "script.py cannot be read"),
    ],
)
async def test_what_cannot_begin(server: Server, changes: dict[str, Any], code: int, words: str) -> None:
    with pytest.raises(CannotStart, match=words) as raised:
        await asyncio.wait_for(Swarm(plan(server, **changes)).run(), 40)
    assert raised.value.exit_code == code


@pytest.mark.slow
async def test_a_process_without_its_swarm_ends() -> None:
    reports: list[Report] = []
    one = await Process.started(0, WORK, reports.append)
    try:
        await one.ready()
        assert one._process.stdin is not None
        one._process.stdin.close()
        assert (await asyncio.wait_for(one.ended(), 10)).startswith("ended with exit code 0")
        assert [report.last for report in reports] == [True]
    finally:
        await one.close()


async def test_a_process_that_does_not_even_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "COMMAND", ("-c", "import sys; sys.exit('no such module')"))
    one = await Process.started(4, WORK, lambda report: None)
    try:
        with pytest.raises(CannotStart, match="process 5 ended before it began: no such module"):
            await one.ready()
    finally:
        await one.close()


async def test_a_process_that_says_what_makes_no_sense_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "COMMAND", ("-c", "print('hello', flush=True); input(); input()"))
    one = await Process.started(0, WORK, lambda report: None)
    try:
        with pytest.raises(CannotStart):
            await one.ready()
        assert "SIGKILL" in await asyncio.wait_for(one.ended(), 10)
    finally:
        await one.close()
