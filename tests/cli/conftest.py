"""The command in the process of the test; what it changes there is taken back: logging, signals, the environment."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import signal
import threading
from typing import TYPE_CHECKING

import pytest
import typer.main

from peer import logs
from peer.cli import main
from signaling.app import Server
from signaling.settings import Settings
from tests.cli.command import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *logs.OURS, *logs.NARRATED)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for line_handler in [one for one in root.handlers if isinstance(one, logs.LineHandler)]:
        root.removeHandler(line_handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


_built = functools.cache(typer.main.get_command)
"""What typer makes of the verbs and their flags; it takes longer than most of the tests."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command; exit code, standard output, standard error."""
    monkeypatch.setattr(typer.main, "get_command", _built)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def url_elsewhere() -> Iterator[str]:
    """The address of a server in a thread of its own, where `run` has the main one: only that may handle signals."""
    address: concurrent.futures.Future[tuple[str, Callable[[], object]]] = concurrent.futures.Future()

    async def serve() -> None:
        enough = asyncio.Event()
        async with Server(Settings(port=0)) as server:
            loop = asyncio.get_running_loop()
            address.set_result((server.url, lambda: loop.call_soon_threadsafe(enough.set)))
            await enough.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="server")
    thread.start()
    url, stop = address.result(timeout=20)
    yield url
    stop()
    thread.join()
