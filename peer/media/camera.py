"""Cameras, microphones and displays: live devices that FFmpeg opens, read on threads of their own.

What no laboratory has is not tried by the tests: cameras and sound cards run the same code as the displays and the
synthetic devices that are, but for the words that FFmpeg is given.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from peer.errors import DeviceError
from peer.media.base import PictureReader, PictureSourceBase, Reader, SoundSourceBase
from peer.media.container import MEDIA_ERRORS, Address, open_container
from peer.media.picture import Picture
from peer.media.playing import open_for_play
from peer.media.resample import Resampler
from peer.media.sound import SoundReader
from peer.media.work import CLOCK, Clock, Readers, Worker, close_off_loop, off_loop

if TYPE_CHECKING:
    from av.container import InputContainer

R = TypeVar("R", bound=Reader)

# Live sound may wait this long; then what is older than _LIVE_KEEP goes, so that delay never builds up.
_LIVE_SECONDS = 0.25
_LIVE_KEEP = 0.06


class Device(Generic[R]):
    """A device shared by readers: opened by the first, read until the last has left."""

    medium = ""

    def __init__(self, address: Address, *, clock: Clock = CLOCK) -> None:
        self.address = address
        self.label = address.what
        self._clock = clock
        self._lock = threading.RLock()
        self._readers: Readers[R] = Readers()
        self._ready: InputContainer | None = None
        self._worker = Worker(address.what, self._work, self._over, self._lock)

    async def prepare(self) -> None:
        """Open the device now, off the event loop; the first reader finds it open. Raises `DeviceError`."""
        address, medium = self.address, self.medium
        container = await off_loop(
            lambda: open_for_play(address, medium), name=f"opening {address.what}", undo=lambda late: late.close()
        )
        self._learn(container)
        with self._lock:
            unused, self._ready = self._ready, container
        if unused is not None:
            await close_off_loop(unused, address)

    async def close(self) -> None:
        """End every reader and the thread, and give the device back."""
        with self._lock:
            readers = self._readers.take()
            ready, self._ready = self._ready, None
        for reader in readers:
            reader.end()
        if ready is not None:
            await close_off_loop(ready, self.address)
        await self._worker.join()

    def _join(self, reader: R) -> R:
        with self._lock:
            self._readers.add(reader)
            self._worker.start()
        return reader

    def _left(self, reader: Reader) -> None:
        with self._lock:
            self._readers.remove(reader)
            if not self._readers.all:
                self._worker.stop()

    def _over(self, failure: Exception | None) -> None:
        for reader in self._readers.take():
            reader.end(failure)

    def _work(self, stop: threading.Event) -> None:
        with self._lock:
            container, self._ready = self._ready, None
        if container is None:
            container = open_container(self.address)
        try:
            for frame in self._frames(container):
                if stop.is_set():
                    return
                self._give(frame)
        finally:
            container.close()
        raise DeviceError(f"{self.address.what} stopped giving anything; check that it is still plugged in")

    def _frames(self, container: InputContainer) -> Any:
        streams = container.streams.video if self.medium == "video" else container.streams.audio
        try:
            for packet in container.demux(*streams[:1]):
                yield from packet.decode()
        except MEDIA_ERRORS as error:
            advice = "check that it is still plugged in"
            raise DeviceError(f"{self.address.what} cannot be read any more ({error}); {advice}") from error

    def _learn(self, container: InputContainer) -> None:
        """Take what is worth knowing from the opened device."""

    @abstractmethod
    def _give(self, frame: Any) -> None:
        """Hand a decoded frame to the readers."""


class PictureDevice(Device[PictureReader], PictureSourceBase):
    """A camera or a display."""

    medium = "video"

    def open(self) -> PictureReader:
        return self._join(PictureReader(self._left))

    def _learn(self, container: InputContainer) -> None:
        stream = container.streams.video[0]
        self.width, self.height = stream.width & ~1, stream.height & ~1
        self.fps = float(stream.average_rate) if stream.average_rate else None

    def _give(self, frame: Any) -> None:
        # Devices count time in clocks of their own; when the picture arrived is what sound can be compared with.
        picture = Picture(frame, self._clock.now())
        for reader in self._readers.all:
            reader.offer(picture)


class SoundDevice(Device[SoundReader], SoundSourceBase):
    """A microphone."""

    medium = "audio"

    def __init__(self, address: Address, *, channels: int = 1, clock: Clock = CLOCK) -> None:
        super().__init__(address, clock=clock)
        self.channels = channels
        self._resampler = Resampler(channels)

    def open(self) -> SoundReader:
        return self._join(SoundReader(self._left, channels=self.channels, seconds=_LIVE_SECONDS, keep=_LIVE_KEEP))

    def _give(self, frame: Any) -> None:
        pcm = self._resampler.frame(frame)
        for reader in self._readers.all:
            reader.write(pcm)


def camera_address(device: str = "", platform: str = sys.platform) -> Address:
    """What to open for `camera[:DEVICE]`; a bare number is the camera of that number."""
    advice = "see `peer devices` for what is here, or use --video test"
    small = {"video_size": "640x480", "framerate": "30"}
    if platform == "darwin":
        name = device or "0"
        return Address(f"{name}:none", f"camera {name}", "avfoundation", small, advice, ({"framerate": "30"}, {}))
    if platform == "win32":
        name = device or "0"
        return Address(f"video={name}", f"camera {name}", "dshow", small, advice, ({},))
    name = f"/dev/video{device or '0'}" if not device or device.isdigit() else device
    # Motion JPEG is what most cameras need for 30 pictures a second over USB 2; others refuse the word.
    compressed = {**small, "input_format": "mjpeg"}
    return Address(name, f"camera {name}", "v4l2", compressed, advice, (small, {}))


def microphone_address(device: str = "", platform: str = sys.platform) -> Address:
    """What to open for `microphone[:DEVICE]`."""
    advice = "see `peer devices` for what is here, or use --audio test"
    if platform == "darwin":
        name = device or "0"
        return Address(f"none:{name}", f"microphone {name}", "avfoundation", {}, advice)
    if platform == "win32":
        name = device or "0"
        return Address(f"audio={name}", f"microphone {name}", "dshow", {"audio_buffer_size": "20"}, advice)
    name = device or "default"
    mono = {"sample_rate": "48000", "channels": "1"}
    return Address(name, f"microphone {name}", "alsa", mono, advice, ({"sample_rate": "48000"}, {}))


def display_address(name: str = "", platform: str = sys.platform) -> Address:
    """What to open for `display[:NAME]`. Raises `DeviceError` when no display is known."""
    smooth = {"framerate": "30"}
    if platform == "darwin":
        screen = name or "Capture screen 0"
        return Address(f"{screen}:none", f"display {screen}", "avfoundation", smooth, "allow screen recording")
    if platform == "win32":
        return Address(name or "desktop", f"display {name or 'desktop'}", "gdigrab", smooth, "use --video test")
    name = name or os.environ.get("DISPLAY", "")
    if not name:
        raise DeviceError(
            "no display: DISPLAY is not set; name one (display::0, see `peer devices`) or use --video test"
        )
    if name.isdigit():
        name = f":{name}"
    advice = "see `peer devices` for the X displays here, or use --video test"
    return Address(name, f"display {name}", "x11grab", smooth, advice)


def lavfi_address(graph: str) -> Address:
    """What to open for `lavfi:GRAPH`, pictures and sound made by FFmpeg's filters."""
    return Address(graph, f"filter graph {graph!r}", "lavfi", {}, "check the graph with ffplay -f lavfi")
