"""The file system's side of a recording: a directory that can be written to, files that are never overwritten."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from peer.errors import DeviceError

try:
    import fcntl
except ImportError:  # Windows, which lets nobody replace a file that is open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from io import RawIOBase
    from os import PathLike


def open_exclusive(path: Path) -> RawIOBase:
    """Create `path` for writing, unbuffered; FileExistsError when there is one, even a dangling link.

    Until it is closed, or its process is gone, `is_being_written` says so.
    """
    file = cast("RawIOBase", path.open("xb", buffering=0))
    if fcntl is not None:
        with contextlib.suppress(OSError):  # not every file system knows locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def is_being_written(path: Path) -> bool:
    """Whether a process has the file open that `open_exclusive` made. Raises OSError."""
    if fcntl is None:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


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
