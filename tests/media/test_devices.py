"""The list names what can be typed, and nothing that would not open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peer.media.devices import Device, list_devices
from peer.media.spec import parse_source

if TYPE_CHECKING:
    from pathlib import Path

CARDS = """\
 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7f10000 irq 32
 2 [C920           ]: USB-Audio - HD Pro Webcam C920
                      HD Pro Webcam C920 at usb-0000:00:14.0-3, high speed
"""
PCM = """\
00-00: ALC3232 Analog : ALC3232 Analog : playback 1 : capture 1
00-03: HDMI 0 : HDMI 0 : playback 1
02-00: USB Audio : USB Audio : capture 1
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with two cameras, two sound cards and two displays, as Linux shows them in files."""

    def write(path: str, text: str = "") -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    for number, index, name in (
        (0, 0, "Integrated Camera\n"),
        (1, 1, "Integrated Camera\n"),
        (10, 0, "HD Pro Webcam\n"),
    ):
        write(f"dev/video{number}")
        write(f"sys/class/video4linux/video{number}/name", name)
        write(f"sys/class/video4linux/video{number}/index", f"{index}\n")
    write("sys/class/video4linux/video3/name", "unplugged meanwhile")
    write("sys/class/video4linux/v4l-subdev0/name", "no camera")
    write("proc/asound/cards", CARDS)
    write("proc/asound/pcm", PCM)
    for name in ("X10", "X0", "lock"):
        write(f"tmp/.X11-unix/{name}")
    return tmp_path


def test_everything_on_a_machine(machine: Path) -> None:
    assert list_devices(machine, {"DISPLAY": ":0.0"}, "linux") == [
        Device("camera", "camera:/dev/video0", "Integrated Camera"),
        Device("camera", "camera:/dev/video10", "HD Pro Webcam"),
        Device("microphone", "microphone:plughw:CARD=PCH,DEV=0", "HDA Intel PCH: ALC3232 Analog"),
        Device("microphone", "microphone:plughw:CARD=C920,DEV=0", "HD Pro Webcam C920: USB Audio"),
        Device("display", "display::0", "X display (DISPLAY)"),
        Device("display", "display::10", "X display"),
    ]


def test_each_argument_can_be_typed(machine: Path) -> None:
    for device in list_devices(machine, {}, "linux"):
        assert parse_source(device.argument, "audio" if device.kind == "microphone" else "video").kind == device.kind


def test_a_remote_display_is_listed_first(machine: Path) -> None:
    displays = [one for one in list_devices(machine, {"DISPLAY": "far:10.0"}, "linux") if one.kind == "display"]
    assert displays[0] == Device("display", "display:far:10.0", "X display (DISPLAY)")


def test_an_empty_machine(tmp_path: Path) -> None:
    assert list_devices(tmp_path, {}, "linux") == []
    assert list_devices(tmp_path, {}, "plan9") == []


def test_this_machine_does_not_break_it() -> None:
    list_devices()


def test_other_systems_ask_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    import av.device

    class Found:
        def __init__(self, name: str, description: str, *media_types: str) -> None:
            self.name, self.description, self.media_types = name, description, media_types

    found = [Found("0", "FaceTime HD", "video"), Found("0", "Built-in", "audio"), Found("1", "USB", "audio")]
    monkeypatch.setattr(av.device, "enumerate_input_devices", lambda driver: found)
    assert [one.argument for one in list_devices(platform="darwin")] == ["camera:0", "microphone:0", "microphone:1"]
    assert [one.argument for one in list_devices(platform="win32")][0] == "camera:FaceTime HD"
