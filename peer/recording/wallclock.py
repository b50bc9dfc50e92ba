"""One moment on two clocks: where in wall-clock time a recording's frames lie. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple


class WallClock(NamedTuple):
    """The same moment on the monotonic clock and in Unix time, in seconds.

    Taken once for all participants of a `Recorder`: their files can be laid side by side, and a system clock that is
    set back or forward while it records changes nothing.
    """

    monotonic: float
    unix: float

    def at(self, monotonic: float) -> float:
        """Unix time of a moment on the monotonic clock."""
        return self.unix + (monotonic - self.monotonic)


def utc(unix: float) -> datetime:
    """The date of a Unix time, in UTC."""
    return datetime.fromtimestamp(unix, UTC)


def unix(date: str) -> float:
    """Unix time of a date in ISO 8601."""
    return datetime.fromisoformat(date).timestamp()


def iso(unix: float) -> str:
    """Unix time as ISO 8601 in UTC, with microseconds: `2026-11-24T15:04:05.123456Z`."""
    return utc(unix).isoformat(timespec="microseconds").replace("+00:00", "Z")
