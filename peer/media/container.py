"""Opening files and devices with PyAV; its errors become `DeviceError` sentences here and nowhere else."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from peer.errors import DeviceError

if TYPE_CHECKING:
    from av.container import InputContainer

# PyAV's wheels bring their own libasound, which looks for its configuration where the wheel was built.
_ALSA_CONFIG = "/usr/share/alsa/alsa.conf"
# What PyAV raises: its own errors, most of which are an OSError or a ValueError as well, but not all.
MEDIA_ERRORS = (av.error.FFmpegError, OSError, ValueError)
# Errors that other options would not change.
_FINAL = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ENODEV, errno.ENXIO)
# Seconds that FFmpeg may spend in opening and in one read, where the protocol can be interrupted at all.
_PATIENCE = (10.0, 5.0)


@dataclass(frozen=True, slots=True)
class Address:
    """What `av.open` needs, and what to call the thing in messages."""

    url: str
    what: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    advice: str = "check that the file is complete and plays elsewhere"
    alternatives: tuple[dict[str, str], ...] = ()
    """Other options to try, in this order, when the device refuses `options`."""


def open_container(address: Address) -> InputContainer:
    """Open `address`; blocks. Raises `DeviceError`."""
    if address.format is None and not Path(address.url).is_file():
        problem = "is not a file" if Path(address.url).exists() else "does not exist"
        raise DeviceError(f"{address.what} {problem}; check the path (relative to {Path.cwd()})")
    if address.format == "alsa" and Path(_ALSA_CONFIG).exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", _ALSA_CONFIG)
    choices = (address.options, *address.alternatives)
    for options in choices[:-1]:
        try:
            return _open(address, options)
        except MEDIA_ERRORS as error:
            # Only a refusal of the options is worth another try.
            if getattr(error, "errno", None) in _FINAL:
                raise _explained(address, error) from error
    try:
        return _open(address, choices[-1])
    except MEDIA_ERRORS as error:
        raise _explained(address, error) from error


def _open(address: Address, options: dict[str, str]) -> InputContainer:
    container: Any = av.open(address.url, format=address.format, options=options, timeout=_PATIENCE)
    opened: InputContainer = container
    return opened


def _explained(address: Address, error: Exception) -> DeviceError:
    if isinstance(error, PermissionError):
        advice = "ask for permission, e.g. by joining the group that owns the device or file"
        return DeviceError(f"{address.what} may not be opened by this user; {advice}")
    if isinstance(error, OSError) and error.errno == errno.EBUSY:
        return DeviceError(f"{address.what} is in use; close the program that holds it")
    if isinstance(error, av.error.InvalidDataError):
        return DeviceError(f"{address.what} holds no pictures or sound that FFmpeg knows; {address.advice}")
    reason = getattr(error, "strerror", None) or str(error)
    return DeviceError(f"{address.what} cannot be opened ({reason}); {address.advice}")
