"""What every container is written with: a file that ends in something whole, and an index that stays small."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from io import RawIOBase

    from peer.rtc.frames import EncodedFrame, Kind

_MAX_POINTS = 4096


class Container(Protocol):
    """Writes one file: at most one video and one audio stream, on one timeline that starts at its layout's origin.

    Every method may raise OSError; what was flushed before stays playable. Not thread-safe.
    """

    @property
    def length(self) -> int:
        """Bytes in the file so far, without what waits for the next flush."""

    @property
    def seconds(self) -> float:
        """Time of the latest frame that was flushed, from the start of the file."""

    def write(self, kind: Kind, frame: EncodedFrame) -> float:
        """Append one frame and return its time in the file, in seconds.

        Times within a stream always grow: a frame that is not later than the one before it is put one tick after that.
        """

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""

    def close(self) -> None:
        """Write what is left and the index, and close the file; also after an error, then as far as it goes."""


class Output:
    """An unbuffered, seekable file to which whole pieces are appended: of one that fails half-way nothing stays."""

    def __init__(self, file: RawIOBase) -> None:
        self._file: Final = file
        self.length = 0
        """Bytes of the pieces so far."""

    def append(self, data: bytes, guise: bytes = b"") -> None:
        """Append one piece. Raises OSError; the file is then as it was before.

        `guise` is what its first bytes are until all of it is there: should the process be killed half-way, readers
        find that instead.
        """
        try:
            self._write_all(guise + data[len(guise) :] if guise else data)
            if guise:
                self.patch(self.length, data[: len(guise)])
                self._file.seek(self.length + len(data))
        except OSError:
            # Half a piece would make the file invalid; what lies before is whole.
            with contextlib.suppress(OSError):
                self._file.seek(self.length)
                self._file.truncate(self.length)
            raise
        self.length += len(data)

    def patch(self, position: int, data: bytes) -> None:
        """Write over what is at `position`; the next piece would come right behind it."""
        self._file.seek(position)
        self._write_all(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]


class SeekPoints:
    """The places of a file to seek to, thinned out so that a long recording has as many as a short one."""

    def __init__(self, spacing: int) -> None:
        """`spacing`: how many ticks lie between two places at least once they have to be thinned out."""
        self.entries: list[tuple[int, int]] = []
        """Time in ticks, and position in the file."""
        self._least: Final = spacing
        self._spacing = 0

    def add(self, ticks: int, position: int) -> None:
        """One more place; left out where the one before is near."""
        if self.entries and ticks - self.entries[-1][0] < self._spacing:
            return
        self.entries.append((ticks, position))
        if len(self.entries) > _MAX_POINTS:
            self.entries = self.entries[::2]
            self._spacing = max(self._least, 2 * self._spacing)
