"""Each guard catches the leak it is for, and lets a tidy test pass."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness.guards import Resources, end_children, leaks, no_blocking_calls, settle, settle_without_loop

ROOT = Path(__file__).parents[2]


async def test_a_task_is_found() -> None:
    before = Resources.now()
    task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
    (line,) = await settle(before, seconds=0)
    assert "task still running" in line
    assert "forgotten" in line
    task.cancel()
    assert await settle(before) == []


@pytest.mark.parametrize("daemon", [True, False])
def test_a_thread_is_found(daemon: bool) -> None:
    before, release = Resources.now(), threading.Event()
    thread = threading.Thread(target=release.wait, name="forgotten", daemon=daemon)
    thread.start()
    assert leaks(before, Resources.now()) == [f"thread still running: 'forgotten' (daemon: {daemon})"]
    release.set()
    thread.join()
    assert settle_without_loop(before) == []


def test_a_socket_is_found() -> None:
    before = Resources.now()
    with socket.socket():
        (line,) = leaks(before, Resources.now())
        assert "socket:[" in line
    assert leaks(before, Resources.now()) == []


def test_a_file_is_found_even_when_its_number_was_used_before(tmp_path: Path) -> None:
    number = os.open(tmp_path / "old", os.O_CREAT)
    before = Resources.now()
    os.close(number)
    again = os.open(tmp_path / "new", os.O_CREAT)
    try:
        assert leaks(before, Resources.now()) == [f"descriptor still open: {again} -> {tmp_path / 'new'}"]
    finally:
        os.close(again)


def test_a_child_process_is_found_and_ended() -> None:
    before = Resources.now()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (line,) = leaks(before, Resources.now())
    assert str(child.pid) in line
    end_children(before)
    assert leaks(before, Resources.now()) == []
    child.wait()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has this policy")
def test_a_changed_priority_is_found() -> None:
    before = Resources.now()
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    assert leaks(before, Resources.now()) == ["scheduling policy changed from 0 to 3"]
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert leaks(before, Resources.now()) == []


async def test_a_transport_that_is_closing_is_no_leak() -> None:
    before = Resources.now()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.close()
    server.close()
    assert await settle(before) == []


async def test_a_blocking_call_of_the_guarded_package_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guarded_by_test.py").write_text("import time\ndef nap(): time.sleep(0.001)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    guarded_by_test = importlib.import_module("guarded_by_test")

    with no_blocking_calls("guarded_by_test"):
        with pytest.raises(Exception, match=r"Blocking call to time\.sleep"):
            guarded_by_test.nap()
        await asyncio.to_thread(guarded_by_test.nap)
    guarded_by_test.nap()


CARELESS = """
import asyncio, socket, subprocess, sys, threading, time
import pytest

kept = []

async def test_task():
    kept.append(asyncio.create_task(asyncio.Event().wait()))

async def test_unseen_failure():
    async def fail():
        raise ValueError("unseen")
    asyncio.create_task(fail())
    await asyncio.sleep(0.01)

async def test_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)

def compute():
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass

async def test_blocked():
    compute()
    await asyncio.sleep(0)

@pytest.mark.may_block("on purpose")
async def test_blocked_on_purpose():
    compute()
    await asyncio.sleep(0)

def test_thread():
    threading.Thread(target=time.sleep, args=(1,), daemon=True).start()

def test_descriptor():
    kept.append(socket.socket())

async def test_descriptor_on_loop():
    kept.append(socket.socket())

def test_child():
    kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))

def test_failed_before_it_leaked():
    kept.append(socket.socket())
    assert False, "the cause"

async def test_tidy():
    await asyncio.sleep(0.01)

@pytest.mark.virtual_time
async def test_tidy_in_virtual_time():
    await asyncio.sleep(100)

def test_close_what_was_kept():
    for thing in kept:
        if isinstance(thing, socket.socket):
            thing.close()
        if isinstance(thing, subprocess.Popen):
            thing.wait()
"""


@pytest.mark.slow
def test_the_fixtures_fail_careless_tests_and_pass_tidy_ones(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_careless=CARELESS)
    conftest = (ROOT / "tests/conftest.py").read_text()
    quicker = "from tests.harness import clock\nclock.BLOCKED_LIMIT = 0.1\nguards.SETTLE_SECONDS = 0.05\n"
    pytester.makeconftest(conftest + quicker)
    settings = (ROOT / "pyproject.toml").read_text()
    settings = settings.replace('testpaths = ["tests"]', "").replace('["."]', f'["{ROOT}"]')
    (pytester.path / "pyproject.toml").write_text(settings)
    result = pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    verdicts = result.parseoutcomes()
    assert verdicts == {"passed": 12, "failed": 1, "errors": 8}, result.stdout.str()
    result.stdout.fnmatch_lines_random(
        [
            "*task still running: <Task pending*",
            "*asyncio reported: *ValueError*unseen*",
            "*asyncio reported: *ZeroDivisionError*",
            "*the event loop was blocked for 0.*",
            "*thread still running: * (daemon: True)*",
            "*descriptor still open: * -> socket:*",
            "*child process still running: *time.sleep(60)*",
            "*the cause*",
        ]
    )
