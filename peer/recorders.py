"""The recordings that go on in a room: which call goes into which."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from peer.call import Call
    from peer.recording.group import Recorder


class Recorders:
    """The recorders of a room, each with the names that it is for; None: everybody."""

    def __init__(self) -> None:
        self._all: list[tuple[Recorder, frozenset[str] | None]] = []

    def add(self, recorder: Recorder, only: Collection[str] | None, calls: Iterable[Call]) -> None:
        """One more, which records `calls` that are on, and those to come."""
        self._all.append((recorder, None if only is None else frozenset(only)))
        for call in calls:
            if call.open:
                self.begun(call)
            elif self._for(call.name):
                call.announce_recording()

    def made(self, call: Call) -> None:
        """There is a call to be: its first description says whether it will be recorded, and as what."""
        call.on_open = partial(self.begun, call)
        for recorder in self._for(call.name):
            call.announce_recording()
            call.prefer(recorder.video_codecs)

    def begun(self, call: Call) -> None:
        """Its media can flow. Twice is harmless."""
        for recorder in self._for(call.name):
            call.record(recorder)

    async def close(self) -> None:
        """Finish all files."""
        await asyncio.gather(*(recorder.close() for recorder, _ in self._all))

    def _for(self, name: str) -> list[Recorder]:
        return [r for r, only in self._all if not r.closed and (only is None or name in only)]
