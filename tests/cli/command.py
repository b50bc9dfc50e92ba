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
VARIABLES = ("PEER_URL", "PEER_ROOM", "PEER_NAME", "PEER_ICE_SERVERS", "PEER_LOG", "HOST", "PORT", "NO_COLOR")


class Command:
    """`peer ARGUMENTS`, running. Leaving the `with` ends it."""

    def __init__(self, *arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> None:
        surroundings = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=surroundings | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._text = {"out": "", "err": ""}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ, "out")  # type: ignore[arg-type]
        self._selector.register(self._process.stderr, selectors.EVENT_READ, "err")  # type: ignore[arg-type]

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
            file: Any = key.fileobj
            data = os.read(file.fileno(), 65536)
            if data:
                self._text[key.data] += data.decode()
            else:
                self._selector.unregister(file)

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        with self._process as process:
            process.kill()
