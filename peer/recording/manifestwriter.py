"""Keeps the manifest of a recording that is being made: belongs to the writer's thread, never to the event loop."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from peer.recording import manifestfile
from peer.recording.manifest import SUFFIX
from peer.recording.manifestfile import Hashing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from peer.recording.account import Account
    from peer.recording.manifest import State
    from peer.recording.part import Part

logger = logging.getLogger(__name__)

REWRITE: Final = 5.0
"""Seconds after which a manifest is written anew though nothing but time has passed."""
SOONEST: Final = 1.0
"""Seconds between two writings at least, however much happens ..."""
_SHARE: Final = 0.05
"""... and the part of the thread's time that a large one may take."""
HASH_SLICE: Final = 0.02
"""Seconds of each tenth that may go into digests of finished files while others are being written."""


class ManifestWriter:
    """Writes it when something happened, and now and then; what cannot be written ends no recording."""

    def __init__(self, account: Account) -> None:
        self.path: Path | None = None
        """None before the first file."""
        self._account: Final = account
        self._next = float("-inf")
        self._written = float("-inf")
        self._told = -1
        self._warned = False
        self._hashing: tuple[Part, Hashing] | None = None
        self._done = 0
        """So many files have their digest, all from the first on."""

    def is_free(self, path: Path) -> bool:
        """Whether the file at `path` may be the first: its name becomes that of the manifest, which overwrites none."""
        manifest = path.with_suffix(SUFFIX)
        return self.path is not None or not (manifest.exists() or manifest.is_symlink())

    def opened(self, now: float, parts: Sequence[Part]) -> None:
        """A file was begun, the last of `parts`; the manifest gets the name of the first, and its room on the disk."""
        self._account.changes += 1
        if self.path is None:
            self.path = parts[-1].path.with_suffix(SUFFIX)
            self._write("recording", now, parts, None)

    def tick(self, now: float, parts: Sequence[Part]) -> None:
        """Some time has passed."""
        self._hash(parts, HASH_SLICE)
        changed = self._told != self._account.changes
        if self.path is not None and now >= self._next and (changed or now - self._written >= REWRITE):
            self._write("recording", now, parts, None)

    def finish(self, now: float, parts: Sequence[Part], error: str | None, until: float) -> None:
        """The recording is over and its files are closed. Digests not ready at `until` are left to `peer repair`."""
        self._account.end(now, failed=error is not None)
        if self.path is None:
            return
        state: State = "failed" if error else "finished"
        self._write(state, now, parts, error)
        self._hash(parts, until - time.monotonic())
        if self._hashing is not None:
            self._hashing[1].close()
            self._hashing = None
        if any(part.sha256 for part in parts):
            self._write(state, now, parts, error)

    def _write(self, state: State, now: float, parts: Sequence[Part], error: str | None) -> None:
        assert self.path is not None
        self._written, self._told = now, self._account.changes
        begun = time.monotonic()
        try:
            segments = [part.segment() for part in parts]
            manifestfile.write(self.path, self._account.manifest(state, now, segments, error))
        except OSError as problem:
            if not self._warned:
                self._warned = True
                logger.warning("%s could not be written (%s); the recording goes on", self.path, problem.strerror)
        self._next = now + max(SOONEST, (time.monotonic() - begun) / _SHARE)

    def _hash(self, parts: Sequence[Part], seconds: float) -> None:
        """Work on the digests of files that are finished, one after the other, for about so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._hashing = self._hashing or self._unhashed(parts)
            if self._hashing is None:
                return
            part, hashing = self._hashing
            try:
                part.sha256 = hashing.work(left)
            except OSError as error:
                hashing.close()
                part.unreadable = True
                logger.warning("%s could not be read for its digest (%s)", part.path, error.strerror)
            if part.sha256 is not None or part.unreadable:
                self._hashing = None
                self._account.changes += 1

    def _unhashed(self, parts: Sequence[Part]) -> tuple[Part, Hashing] | None:
        while self._done < len(parts) and (parts[self._done].sha256 is not None or parts[self._done].unreadable):
            self._done += 1
        for part in parts[self._done :]:
            if not part.open and part.sha256 is None and not part.unreadable:
                try:
                    return part, Hashing(part.path)
                except OSError as error:
                    part.unreadable = True
                    logger.warning("%s could not be read for its digest (%s)", part.path, error.strerror)
        return None
