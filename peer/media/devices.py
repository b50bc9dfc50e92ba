"""Which cameras, microphones and displays can be opened here, and what to type for each."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DeviceKind = Literal["camera", "microphone", "display"]

_CARD = re.compile(r"^ *(\d+) \[(\S+) *\]: (.*)$", re.MULTILINE)
_CAPTURE = re.compile(r"^(\d+)-(\d+): ([^:]*):.*\bcapture\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Device:
    """A device: `argument` is what `--video` or `--audio` takes, `label` what its maker calls it."""

    kind: DeviceKind
    argument: str
    label: str


def list_devices(
    root: Path = Path("/"), environ: Mapping[str, str] | None = None, platform: str = sys.platform
) -> list[Device]:
    """The devices here, cameras first. Looks at files only and opens none of them; may block for a moment."""
    environ = os.environ if environ is None else environ
    if not platform.startswith("linux"):
        return _elsewhere(platform)
    return [*_cameras(root), *_microphones(root), *_displays(root, environ)]


def _cameras(root: Path) -> Iterator[Device]:
    folder = root / "sys/class/video4linux"
    nodes = [node for node in _entries(folder) if re.fullmatch(r"video\d+", node.name)]
    for node in sorted(nodes, key=lambda one: int(one.name[5:])):
        # A camera has several nodes; those after the first carry metadata, not pictures.
        if _text(node / "index") in ("", "0") and (root / "dev" / node.name).exists():
            yield Device("camera", f"camera:/dev/{node.name}", _text(node / "name") or node.name)


def _microphones(root: Path) -> Iterator[Device]:
    cards = {int(number): (short, label) for number, short, label in _CARD.findall(_text(root / "proc/asound/cards"))}
    for card, device, name in _CAPTURE.findall(_text(root / "proc/asound/pcm")):
        short, label = cards.get(int(card), (card, "sound card"))
        # plughw converts rate and channels where the card itself cannot.
        argument = f"microphone:plughw:CARD={short},DEV={int(device)}"
        yield Device("microphone", argument, f"{label.partition(' - ')[2] or label}: {name.strip()}")


def _displays(root: Path, environ: Mapping[str, str]) -> Iterator[Device]:
    current = environ.get("DISPLAY", "")
    sockets = (found[1] for node in _entries(root / "tmp/.X11-unix") if (found := re.fullmatch(r"X(\d+)", node.name)))
    names = [f":{number}" for number in sorted(sockets, key=int)]
    known = re.sub(r"\.\d+$", "", current)
    if current and known not in names:
        names.insert(0, current)
    for name in names:
        label = "X display (DISPLAY)" if name in (current, known) else "X display"
        yield Device("display", f"display:{name}", label)


def _elsewhere(platform: str) -> list[Device]:
    """macOS and Windows: FFmpeg itself is asked."""
    import av.device

    driver = {"darwin": "avfoundation", "win32": "dshow"}.get(platform)
    if driver is None:
        return []
    devices: list[Device] = []
    counts = {"camera": 0, "microphone": 0}
    for found in av.device.enumerate_input_devices(driver):
        name = found.description or found.name
        for media, kind in (("video", "camera"), ("audio", "microphone")):
            if media not in found.media_types:
                continue
            argument = str(counts[kind]) if platform == "darwin" else name
            counts[kind] += 1
            devices.append(Device("camera" if kind == "camera" else "microphone", f"{kind}:{argument}", name))
    return sorted(devices, key=lambda one: one.kind)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace") if file.name in ("cards", "pcm") else file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
