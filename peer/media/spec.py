"""The text that names a source: `test`, `camera:/dev/video2`, `file:clip.webm,loop`, ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from peer.errors import UsageError

SourceKind = Literal["test", "camera", "microphone", "display", "file", "lavfi", "none"]
Medium = Literal["video", "audio"]

GRAMMAR: dict[Medium, str] = {
    "video": "test[:WIDTHxHEIGHT@FPS], camera[:DEVICE], display[:NAME], file:PATH[,loop] or none",
    "audio": "test, microphone[:DEVICE], file:PATH[,loop] or none",
}
_FOREIGN = {
    ("audio", "camera"): "a camera has no sound of its own; use --audio microphone",
    ("audio", "display"): "a display has no sound; use --audio microphone",
    ("video", "microphone"): "a microphone has no picture; use --video camera",
}
_SIZE = re.compile(r"(?:(\d{1,5})x(\d{1,5}))?(?:@(\d{1,3}(?:\.\d{1,3})?))?", re.ASCII)
# Below the smallest size the bars of the test picture cannot be told apart.
_SMALLEST, _LARGEST, _FASTEST = (80, 48), (4096, 4096), 120


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source by name. `argument` is the device, display, path or graph; sizes in pixels, `fps` per second."""

    kind: SourceKind
    argument: str = ""
    width: int = 640
    height: int = 480
    fps: float = 30.0
    loop: bool = False

    def __str__(self) -> str:
        if self.kind == "test" and (self.width, self.height, self.fps) != (640, 480, 30.0):
            return f"test:{self.width}x{self.height}@{self.fps:g}"
        return self.kind + (f":{self.argument}" if self.argument else "") + (",loop" if self.loop else "")


def parse_source(text: str, medium: Medium) -> SourceSpec:
    """What `text` names, as pictures (`medium` "video") or sound ("audio"). Raises `UsageError`."""
    kind, colon, argument = text.strip().partition(":")
    if (medium, kind) in _FOREIGN:
        raise UsageError(_FOREIGN[medium, kind])
    match kind:
        case "none":
            return _bare("none", argument)
        case "test":
            return _test(argument, medium) if colon else SourceSpec("test")
        case "camera" | "microphone" | "display":
            return SourceSpec(kind, argument)
        case "file":
            return _file(argument)
        case "lavfi" if argument:
            return SourceSpec("lavfi", argument)
    advice = f"; for a file write file:{text}" if re.search(r"\.\w{2,4}(,loop)?$", text) else ""
    raise UsageError(f"{text!r} names no source of {medium}{advice}; use {GRAMMAR[medium]}")


def _bare(kind: SourceKind, argument: str) -> SourceSpec:
    if argument:
        raise UsageError(f"{kind!r} takes no argument; leave {':' + argument!r} away")
    return SourceSpec(kind)


def _test(argument: str, medium: Medium) -> SourceSpec:
    if medium == "audio":
        raise UsageError("the test tone has no size; use --audio test")
    found = _SIZE.fullmatch(argument)
    if not argument or not found:
        raise UsageError(f"{argument!r} is no picture size and rate; write it like test:1280x720@30")
    width, height = int(found[1] or 640), int(found[2] or 480)
    fps = float(found[3] or 30)
    fits = _SMALLEST[0] <= width <= _LARGEST[0] and _SMALLEST[1] <= height <= _LARGEST[1]
    if not fits or width % 2 or height % 2:
        raise UsageError(f"{width}x{height} is no size for a test picture; use even numbers from 80x48 to 4096x4096")
    if not 1 <= fps <= _FASTEST:
        raise UsageError(f"{fps:g} pictures per second are too many or too few; use 1 to {_FASTEST}")
    return SourceSpec("test", width=width, height=height, fps=fps)


def _file(argument: str) -> SourceSpec:
    path = argument.removesuffix(",loop")
    if not path:
        raise UsageError("'file:' needs a path; write it like file:clip.webm or file:clip.webm,loop")
    return SourceSpec("file", path, loop=path != argument)
