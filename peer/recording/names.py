"""File names for recordings, from names that a remote participant chose.

Such a name is hostile until shown otherwise: nothing here lets one leave the directory, hide a file, look like a
command-line option, meet a device name of Windows, or overflow what a file system takes.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MAX_NAME_BYTES = 96
"""UTF-8 bytes of a participant's name that go into a file name; most file systems take 255 for the whole."""

_FORBIDDEN = frozenset('<>:"/\\|?*%$`;&')
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)


def safe_name(name: str) -> str:
    """`name` as a part of a file name: never empty, at most `MAX_NAME_BYTES` in UTF-8, no separators or controls.

    Letters and digits of any script stay; white space becomes `_`. Applying it twice changes nothing more.
    """
    text = unicodedata.normalize("NFC", name[: 4 * MAX_NAME_BYTES].encode("utf-8", "replace").decode("utf-8"))
    text = "".join(_safe_character(character) for character in text)
    text = text.encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    text = text.lstrip(".-").rstrip(".")
    if not text.strip("_"):
        return "participant"
    # Windows looks at the part before the first dot only: `nul.anything` is the null device.
    if text.partition(".")[0].upper() in _DEVICES:
        text = ("_" + text).encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore").rstrip(".")
    return text


def file_name(name: str, started: datetime, number: int = 1, ending: str = "mkv") -> str:
    """The file name for part `number` (1, 2, ...) of the recording of participant `name` begun at `started` (UTC)."""
    suffix = f"-{number}" if number > 1 else ""
    return f"{safe_name(name)}-{started:%Y%m%dT%H%M%S}{suffix}.{ending}"


def _safe_character(character: str) -> str:
    category = unicodedata.category(character)
    if character in _FORBIDDEN or category[0] in "CZ":  # controls, bidi overrides, surrogates, white space
        return "_"
    return character
