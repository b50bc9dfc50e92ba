"""The manifest on the disk: written whole or not at all, read with bounds; digests of files, a slice at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

from peer.recording.disk import open_exclusive
from peer.recording.manifest import BadManifest, Manifest, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 << 20
"""Of a manifest; those of two days in segments of a second are not larger."""
_SLICE: Final = 1 << 20


def temporary(path: Path) -> Path:
    """Where the next content of `path` is put together: beside it, hidden."""
    return path.with_name(f".{path.name}.part")


def write(path: Path, manifest: Manifest) -> None:
    """Put the manifest at `path`, in the place of the one before. Raises OSError; that one is whole then."""
    part = temporary(path)
    part.unlink(missing_ok=True)
    try:
        with open_exclusive(part) as file:
            view = memoryview(encode(manifest))
            while view:
                view = view[file.write(view) or 0 :]
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read(path: Path) -> Manifest:
    """The manifest at `path`. Raises OSError, or BadManifest."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadManifest(f"it is larger than {MAX_BYTES >> 20} MiB")
    return decode(data)


class Hashing:
    """The SHA-256 of a finished file, worked out for as long as there is time."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb", buffering=0)
        self._sha = hashlib.sha256()
        self._buffer = bytearray(_SLICE)

    def work(self, seconds: float) -> str | None:
        """Go on for about that long; the digest once it is there. Raises OSError."""
        until = time.monotonic() + seconds
        view = memoryview(self._buffer)
        while True:
            size = self._file.readinto(view)
            if not size:
                self.close()
                return self._sha.hexdigest()
            self._sha.update(view[:size])
            if time.monotonic() >= until:
                return None

    def close(self) -> None:
        """Give it up. Idempotent."""
        self._file.close()


def sha256(path: Path) -> str:
    """The SHA-256 of the whole file. Raises OSError."""
    hashing = Hashing(path)
    try:
        while (digest := hashing.work(3600)) is None:
            pass
        return digest
    finally:
        hashing.close()
