"""The command in a process of its own: what it prints is waited for, never slept for."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from pathlib import Path
    from types import TracebackType

COMMAND = (sys.executable, "-c", "from peer.cli import main; main()")
PATIENCE = 30.0
"""Seconds that a line or an end may take on a machine that is busy."""
VARIABLES = (
    *("PEER_URL", "PEER_ROOM", "PEER_NAME", "PEER_TOKEN", "PEER_ICE_SERVERS", "PEER_LOG"),
    *("PEER_HOST", "PEER_PORT", "PEER_CONFIG", "PEER_LIMIT", "PEER_STATIC", "PEER_TLS_CERT"),
    *("HOST", "PORT", "NO_COLOR"),
)


class Command:
    """`peer ARGUMENTS`, running, on a terminal of its own or with pipes. Leaving the `with` ends it."""

    def __init__(
        self, *arguments: str, cwd: Path, environment: dict[str, str] | None = None, terminal: bool = False
    ) -> None:
        surroundings = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        start: Any = {"args": [*COMMAND, *arguments], "cwd": cwd, "env": surroundings | (environment or {})}
        self._text = {"out": "", "err": ""}
        self._selector = selectors.DefaultSelector()
        self._terminal: int | None = None
        if terminal:
            self._terminal, inside = os.openpty()
            self._process = subprocess.Popen(stdin=inside, stdout=inside, stderr=inside, **start)
            os.close(inside)
            self._selector.register(self._terminal, selectors.EVENT_READ, "out")
            return
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(**pipes, **start)
        for name, pipe in (("out", self._process.stdout), ("err", self._process.stderr)):
            assert pipe is not None
            self._selector.register(pipe.fileno(), selectors.EVENT_READ, name)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def out(self) -> str:
        return self._text["out"]

    @property
    def err(self) -> str:
        return self._text["err"]

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on until either stream holds `pattern`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for text in self._text.values():
                if found := re.search(pattern, text, re.MULTILINE):
                    return found
            if not self._selector.get_map() or time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} did not come.\nout:\n{self.out}\nerr:\n{self.err}")
            self._read(deadline)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Read all there is to come; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._selector.get_map():
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end.\nout:\n{self.out}\nerr:\n{self.err}")
            self._read(deadline)
        return self._process.wait(PATIENCE)

    def _read(self, deadline: float) -> None:
        for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
            try:
                data = os.read(key.fd, 65536)
            except OSError:  # a terminal that nobody has open any more
                data = b""
            if data:
                self._text[key.data] += data.decode()
            else:
                self._selector.unregister(key.fd)

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        with self._process as process:
            process.kill()
        if self._terminal is not None:
            os.close(self._terminal)
