"""The file of a script, read on a thread, and read anew when it, or what it imported from beside it, was edited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from peer.botscript import load
from peer.speaking import on_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from peer.botscript import Script

    Stamps = dict[Path, tuple[int, int]]

LOOK: Final = 0.5
"""Seconds from one look at the files to the next."""


class Left(Exception):
    """The script called `sys.exit`; as an exception that an event loop takes like any other."""

    def __init__(self, code: Any) -> None:
        self.sentence = code if isinstance(code, str) else None
        self.exit_code = code if isinstance(code, int) else 1 if code is not None else 0
        super().__init__(self.sentence or f"the script left with exit code {self.exit_code}")


class ScriptFile:
    """One script on the disk."""

    def __init__(self, path: Path, arguments: Sequence[str]) -> None:
        self._path = path
        self._arguments = arguments
        self._script: Script | None = None
        """As it was read last."""
        self._seen: Stamps = {}

    async def read(self) -> Script:
        """Load it, on a thread: what it imports may take seconds, in which calls go on.

        Raises:
            Left: it called `sys.exit`.
            Exception: as `peer.botscript.load`.
        """
        script, self._seen = await on_thread(self._load, "load script")
        self._script = script
        return script

    async def edited(self, unreadable: Callable[[Exception], None]) -> Script:
        """Wait until one of its files is another than it was, and the whole can be run.

        `unreadable` is called with what is wrong with one that cannot.
        """
        assert self._script is not None
        while True:
            await asyncio.sleep(LOOK)
            now = await asyncio.to_thread(_stamps, self._script)
            if now == self._seen or len(now) < len(self._seen):  # one that is away is just being replaced
                continue
            self._seen = now
            try:
                return await self.read()
            except Exception as error:
                unreadable(error)

    def _load(self) -> tuple[Script, Stamps]:
        file = _stamp(self._path)
        try:
            script = load(self._path, self._arguments, before=self._script)
        except SystemExit as left:  # argparse, for example
            raise Left(left.code) from None
        seen = _stamps(script)
        if file is not None:
            seen[script.path] = file  # as it was before the imports, which may have taken a while
        return script, seen


def _stamps(script: Script) -> Stamps:
    """When each of its files was written, and how long it is; those that are not there are left out."""
    return {path: stamp for path in script.modules.values() if (stamp := _stamp(path)) is not None}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
