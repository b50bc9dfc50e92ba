"""Device code, run on the devices a laboratory has: a display without a screen, and FFmpeg's synthetic ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from peer.errors import DeviceError
from peer.media.camera import (
    PictureDevice,
    SoundDevice,
    camera_address,
    display_address,
    lavfi_address,
    microphone_address,
)
from peer.media.container import Address
from tests.media.contract import DEADLINE, check_picture_source, check_sound_source, eventually, take, threads

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERA = Address("testsrc=size=160x120:rate=60,realtime", "camera fake", "lavfi", {}, "use --video test")
MICROPHONE = Address(
    "sine=frequency=440:sample_rate=44100,arealtime", "microphone fake", "lavfi", {}, "use --audio test"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of an X display of 320x240 that belongs to this test."""
    program = shutil.which("Xvfb")
    if program is None:
        message = "Xvfb is not installed: the display source is not tested"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    readable, writable = os.pipe()
    command = [program, "-displayfd", str(writable), "-screen", "0", "320x240x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[writable], stderr=subprocess.DEVNULL)
    os.close(writable)
    try:
        with os.fdopen(readable) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(DEADLINE)


async def test_camera_keeps_the_contract() -> None:
    await check_picture_source(PictureDevice(CAMERA))


async def test_microphone_keeps_the_contract() -> None:
    await check_sound_source(SoundDevice(MICROPHONE, channels=2))


async def test_display_keeps_the_contract(display: str) -> None:
    await check_picture_source(PictureDevice(display_address(display)))


async def test_display_shows_what_is_on_the_screen(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    device = PictureDevice(display_address())
    await device.prepare()
    assert (device.width, device.height, device.fps) == (320, 240, 30)
    picture = await device.open().next()
    assert picture.array.shape == (240, 320, 3)
    assert np.ptp(picture.array[:20, :20]) < 10, "an empty corner"
    await device.close()


async def test_a_prepared_device_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def counted(address: Address) -> Any:
        opened.append(address)
        return real(address)

    from peer.media import camera, playing

    real = playing.open_container
    monkeypatch.setattr(playing, "open_container", counted)
    monkeypatch.setattr(camera, "open_container", counted)
    device = PictureDevice(CAMERA)
    await device.prepare()
    assert (device.width, device.height, device.fps) == (160, 120, 60)
    await take(device.open(), 2)
    assert len(opened) == 1
    await device.close()


async def test_a_device_that_stops_ends_its_readers_with_an_error() -> None:
    short = Address("testsrc=size=64x64:rate=60:duration=0.05,realtime", "camera fake", "lavfi")
    device = PictureDevice(short)
    reader = device.open()
    with pytest.raises(DeviceError, match="camera fake stopped giving anything; check that it is still plugged in"):
        await take(reader, 100)
    await device.close()


async def test_a_device_that_does_not_answer_is_given_up_and_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    from peer.media import camera
    from peer.media.work import off_loop

    answer, closed = threading.Event(), threading.Event()

    class Late:
        def close(self) -> None:
            closed.set()

    def stuck(*_: object) -> Any:
        answer.wait(DEADLINE)
        return Late()

    async def hasty(*args: Any, **options: Any) -> Any:
        return await off_loop(*args, **options, deadline=0.05)

    monkeypatch.setattr(camera, "open_for_play", stuck)
    monkeypatch.setattr(camera, "off_loop", hasty)
    with pytest.raises(DeviceError, match="check that no other program holds it"):
        await PictureDevice(CAMERA).prepare()
    answer.set()
    await eventually(closed.is_set)


async def test_a_thread_that_hangs_does_not_hang_the_close(caplog: pytest.LogCaptureFixture) -> None:
    from peer.media.work import Worker

    release = threading.Event()
    before = threads()
    worker = Worker(
        "camera stuck", lambda stop: release.wait(DEADLINE) and None, lambda failure: None, threading.RLock()
    )
    worker.start()
    assert not await worker.join(deadline=0.02)
    assert "does not let go of its device" in caplog.text
    release.set()
    assert await worker.join()
    assert threads() <= before


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (camera_address("/dev/video97", "linux"), "use --video test"),
        (microphone_address("hw:97", "linux"), "use --audio test"),
        (display_address(":97", "linux"), "`peer devices`"),
        (lavfi_address("nosuchfilter"), "check the graph"),
    ],
)
async def test_what_cannot_be_opened_says_what_to_do(address: Address, says: str) -> None:
    device = PictureDevice(address) if "microphone" not in address.what else SoundDevice(address)
    with pytest.raises(DeviceError) as caught:
        await device.prepare()
    assert address.what in str(caught.value) and says in str(caught.value)
    reader = device.open()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(DeviceError):
            await reader.finished()
    await device.close()


def test_without_any_display_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="DISPLAY is not set"):
        display_address("", "linux")


@pytest.mark.parametrize(
    ("address", "url", "format"),
    [
        (camera_address("", "linux"), "/dev/video0", "v4l2"),
        (camera_address("2", "linux"), "/dev/video2", "v4l2"),
        (camera_address("/dev/v4l/by-id/x", "linux"), "/dev/v4l/by-id/x", "v4l2"),
        (camera_address("", "darwin"), "0:none", "avfoundation"),
        (camera_address("HD Cam", "win32"), "video=HD Cam", "dshow"),
        (microphone_address("", "linux"), "default", "alsa"),
        (microphone_address("1", "darwin"), "none:1", "avfoundation"),
        (microphone_address("Mic", "win32"), "audio=Mic", "dshow"),
        (display_address("3", "linux"), ":3", "x11grab"),
        (display_address("", "darwin"), "Capture screen 0:none", "avfoundation"),
        (display_address("", "win32"), "desktop", "gdigrab"),
    ],
)
def test_what_ffmpeg_is_asked_for(address: Address, url: str, format: str) -> None:
    assert (address.url, address.format) == (url, format)


async def test_a_camera_that_refuses_a_format_is_asked_for_less() -> None:
    # An option with a bad value is what a device without that format answers: "invalid argument".
    picky = Address(CAMERA.url, "camera fake", "lavfi", {"max_probe_packets": "-5"}, "", ({},))
    device = PictureDevice(picky)
    await device.prepare()
    await device.close()


def test_opencv_sees_the_same_colours() -> None:
    from peer.media.picture import Picture

    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 200
    assert cv2.cvtColor(Picture(red, 0.0).frame().to_ndarray(format="bgr24"), cv2.COLOR_BGR2RGB)[9, 9, 0] > 190
