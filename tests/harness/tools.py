"""Programs of the system that some tests need: a browser, ffmpeg, a virtual screen.

A user without them gets a skipped test and the line that installs them; in continuous integration (`CI` is set) a
missing program fails, so that nothing is silently left untested.
"""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "firefox-esr": "firefox-esr",
    "Xvfb": "xvfb",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "ip": "iproute2",
    "systemd-analyze": "systemd",
    "nft": "nftables",
    "turnserver": "coturn",
    "redis-server": "redis-server",
    "caddy": "caddy",
    "janus": "janus",
    "npm": "npm",
}
"""Program -> Debian package."""


def require(*programs: str) -> tuple[str, ...]:
    """The paths of the programs; skips the test (fails it in CI) when one is missing."""
    paths = {program: shutil.which(program) for program in programs}
    missing = sorted({PACKAGES.get(program, program) for program, path in paths.items() if path is None})
    if missing:
        unavailable(f"not installed; run: apt-get install {' '.join(missing)}")
    return tuple(path for path in paths.values() if path is not None)


def unavailable(reason: str) -> None:
    """Skips the test for this reason, or fails it where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"needed in continuous integration: {reason}")
    pytest.skip(reason)
