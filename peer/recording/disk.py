"""The file system's side of a recording: a directory that can be written to, files that are never overwritten."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from peer.errors import DeviceError

if TYPE_CHECKING:
    from io import RawIOBase
    from os import PathLike


def open_exclusive(path: Path) -> RawIOBase:
    """Create `path` for writing, unbuffered; FileExistsError when there is one, even a dangling link."""
    return cast("RawIOBase", path.open("xb", buffering=0))


def prepare(directory: str | PathLike[str]) -> Path:
    """Make sure that recordings can be written to `directory`, which is created where missing. Blocks.

    Raises DeviceError with a sentence that says what is wrong.
    """
    path = Path(directory)
    probe = path / f".recording-{threading.get_ident()}-{time.monotonic_ns()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        open_exclusive(probe).close()
        probe.unlink()
    except OSError as error:
        raise DeviceError(disk_sentence("No recording can be made", path, error)) from error
    return path


def disk_sentence(what: str, directory: Path, error: OSError) -> str:
    """One sentence for an error of the file system: what came of it, why, and what to do."""
    why = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{what} because {directory} could not be written ({why}); free some space or choose another directory."
