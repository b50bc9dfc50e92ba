"""`peer swarm` in a process of its own: the table, the end, the files, the exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest

from peer.cli import main
from peer.cli.swarmtable import print_report
from peer.swarm.report import decode
from signaling.app import Server
from signaling.settings import Settings
from tests.cli.command import Command
from tests.swarm.samples import bot, report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FEW = ("--bots", "4", "--video", "test:160x120@15", "--audio", "none", "--ramp", "50/s", "--processes", "2")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0)) as served:
        yield served


@pytest.mark.slow
async def test_a_table_while_it_runs_and_a_report_at_ctrl_c(server: Server, tmp_path: Path) -> None:
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "160", "LINES": "30"}
    arguments = ("swarm", server.url, *FEW, "--report", "out.json", "--html", "out.html", "--fail-if", "join_p95>30s")
    with Command(*arguments, cwd=tmp_path, environment=environment, terminal=True) as command:
        await asyncio.to_thread(command.wait_for, r"4 of 4 bots, 4 in a room, 4 in a call, 0 failed")
        await asyncio.to_thread(command.wait_for, r"lag p99")
        await asyncio.to_thread(command.wait_for, r"[1-9]\d* frames/s")
        command.signal(signal.SIGINT)
        assert await asyncio.to_thread(command.end) == 0, "it took more than END_TIMEOUT"
    table = command.out[command.out.rindex("4 of 4 bots in 1 room") :]
    for words in ("4 joined, 4 connected, 0 failed", "first_frame", "freeze_ratio", "bot-004", "ok: join_p95>30s"):
        assert words in table, words
    found = await asyncio.to_thread(lambda: decode((tmp_path / "out.json").read_bytes()))
    assert found.interrupted and found.totals.connected == 4
    assert "bot-004" in await asyncio.to_thread((tmp_path / "out.html").read_text)


@pytest.mark.slow
async def test_a_condition_that_is_true_is_exit_code_8(server: Server, tmp_path: Path) -> None:
    conditions = ("--fail-if", "join>0s", "--fail-if", "latency_p95>1s", "--fail-if", "failed>0", "--decode", "0")
    with Command("swarm", server.url, *FEW, "--seconds", "1", *conditions, "--json", cwd=tmp_path) as command:
        assert await asyncio.to_thread(command.end) == 8
    told = json.loads(command.out)
    assert [condition["failed"] for condition in told["conditions"]] == [True, True, False]
    assert told["exitCode"] == 8 and "latency_p95>1s (not measured)" in told["error"]
    assert "the swarm failed: join>0s" in command.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--fail-if", "mood>1"), 2, "there are join, connect"),
        (("--bots", "0"), 2, "--bots 0"),
        (("--ramp", "fast"), 2, "--ramp fast"),
        (("--receive-only",), 2, "nobody would send"),
        (("--html", "no/such/out.html"), 7, "no directory no/such"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["swarm", "http://localhost:9", *arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == told["exitCode"] == code and words in told["error"]


@pytest.mark.slow
def test_where_there_is_no_server_all_bots_fail(tmp_path: Path) -> None:
    arguments = ("swarm", "http://localhost:9", *FEW, "--seconds", "0.5", "--fail-if", "failed>0", "--quiet")
    with Command(*arguments, cwd=tmp_path) as command:
        assert command.end() == 8
    assert "4 x http://localhost:9 cannot be reached" in command.out and "failed>0 (4)" in command.err


def test_of_many_bots_those_are_shown_that_fared_worst(capsys: pytest.CaptureFixture[str]) -> None:
    bots = [bot(number, lost=0) for number in range(30)]
    bots[7] = bot(7, frozen=5.0)
    bots[9] = bot(9, state="failed", error="[bold]room full")
    print_report(report(bots=bots, bots_in_all=30))
    out = capsys.readouterr().out
    assert "the 2 that fared worst" in out and out.index("bot-010") < out.index("bot-008") and "bot-001" not in out
    assert "1 x [bold]room full" in out and out.count("[bold]room full") == 2
