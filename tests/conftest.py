"""Guards around every test: nothing left behind, nothing swallowed by asyncio, the event loop never blocked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from tests.harness import guards
from tests.harness.clock import VirtualLoop, WatchfulLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from blockbuster import BlockBuster

_failed = pytest.StashKey[bool]()
_tests = itertools.count()


NEAR = 4
"""Frames of a stack that are kept.

In debug mode asyncio notes where each coroutine, future and callback came from, all of the way up through pytest; that
took a sixth of the whole run, and only the first steps of it tell anything.
"""


def _near_frames(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    frame = frame or sys._getframe(2)
    frames = []
    while frame is not None and len(frames) < NEAR:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames


def _summary(frames: Iterable[tuple[FrameType, int]], **_: object) -> traceback.StackSummary:
    """Where these frames are, each as the tuple that `traceback` has always taken for one.

    Asking for each whether its file has changed took another tenth of the run. The text of a line is read when shown.
    """
    summary = traceback.StackSummary()
    summary += [(frame.f_code.co_filename, line, frame.f_code.co_name, None) for frame, line in frames]
    return summary


COLLECT_EVERY = 25
"""Tests after which what is still there is not looked at again by the garbage collector, which runs after each."""

gc.disable()  # importing tests makes nothing but what stays: looking for garbage in between is a sixth of it

traceback.walk_stack = _near_frames  # type: ignore[assignment]
traceback.StackSummary.extract = _summary  # type: ignore[assignment]
asyncio.constants.DEBUG_STACK_DEPTH = NEAR

# How long an example takes says something about the machine, not about the code. CI takes the same examples each time.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("steady"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "steady")
settings.register_profile("quick", max_examples=10)  # `make test-fast`; the other examples are for `make test`


def pytest_configure(config: pytest.Config) -> None:
    """The quick suite notes no stacks: they help to understand a failure, and whoever has one runs that test again.

    `make test-fast` also leaves asyncio's debug mode to the other runs.
    """
    if config.getoption("hypothesis_profile", None) == "quick":
        traceback.walk_stack = lambda frame: []  # type: ignore[assignment,misc,return-value]
        asyncio.constants.DEBUG_STACK_DEPTH = 0


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half of the time a test waits: for a timer, a socket, a process."""
    return 2 * (os.cpu_count() or 1)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop a test runs on: the watchful one, or the one with the virtual clock."""
    return {"loop": VirtualLoop if item.get_closest_marker("virtual_time") else WatchfulLoop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Remembers which tests failed: what those leave behind is a consequence, and only hides the cause."""
    report = yield
    if report.when != "teardown" and report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[BlockBuster]:
    """Guards the whole session. What the imports made is kept from the garbage collector, which is run often."""
    gc.collect()
    gc.freeze()
    gc.enable()
    before = guards.Resources.now()
    with guards.no_blocking_calls("peer", "signaling") as blocking:
        yield blocking
    guards.end_children(before)


@pytest.fixture(scope="session", autouse=True)
def _libuv() -> None:
    """Programs run on uvloop, whose C library keeps a pipe for the life of the process: it has it from now on."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share: what takes long to make is made in one of them."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(autouse=True)
def _guard(request: pytest.FixtureRequest, _no_blocking_calls: BlockBuster) -> Iterator[None]:
    """Fails a test that leaves a task, thread, descriptor or process behind, or that blocks the event loop."""
    if next(_tests) % COLLECT_EVERY == 0:  # now, between two loops: one that is kept with its tasks is never freed
        gc.collect()
        gc.freeze()
    if "_function_scoped_runner" in request.fixturenames:
        request.getfixturevalue("_guard_on_loop")
        before = None  # the fixture on the loop looks, while the loop can still close things
    else:
        before = guards.Resources.now()
    if request.node.get_closest_marker("may_block"):
        _no_blocking_calls.deactivate()
        yield
        _no_blocking_calls.activate()
    else:
        yield
    if before is not None:
        found = guards.settle_without_loop(before)
        guards.end_children(before)
        _judge(request.node, found)


@pytest_asyncio.fixture(loop_scope="function")
async def _guard_on_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WatchfulLoop)
    before = guards.Resources.now()
    yield
    found = await guards.settle(before)
    guards.end_children(before)
    gc.collect()  # a task that failed unseen tells so when it is collected
    found += [f"asyncio reported: {trouble}" for trouble in loop.troubles]
    if not request.node.get_closest_marker("may_block"):
        found += [f"the event loop was blocked for {blocked}" for blocked in loop.watch.blocked]
    loop.troubles.clear()
    loop.watch.blocked.clear()
    _judge(request.node, found)


def _judge(item: pytest.Item, found: list[str]) -> None:
    if found and not item.stash.get(_failed, False):
        pytest.fail("the test left something behind:\n  " + "\n  ".join(found), pytrace=False)
