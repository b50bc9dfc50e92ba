"""What it costs to record one call: ours, which remuxes, beside aiortc's MediaRecorder, which encodes again.

A sender process sends the same pre-encoded 720p30 VP8 and Opus to each recorder in turn, each in a fresh process. CPU
is that of the recorder process per second of call, once the call is up; pictures are those in its file of those sent.

    python bench/record.py [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder
from rich.console import Console
from rich.table import Table

from peer.link import Link, Observer, Options
from peer.recording.group import Recorder
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WIDTH, HEIGHT, FPS, CLIP_SECONDS = 1280, 720, 30, 4


def video_clip() -> list[bytes]:
    """Four seconds of VP8 with noise in it, a keyframe each second."""
    encoder: Any = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.bit_rate = WIDTH, HEIGHT, "yuv420p", 3_000_000
    encoder.framerate, encoder.time_base, encoder.gop_size = FPS, Fraction(1, FPS), FPS
    encoder.options = {"deadline": "realtime", "cpu-used": "-8"}
    noise = np.random.default_rng(1).integers(40, 200, (HEIGHT // 2, WIDTH, 3), np.uint8)
    packets = []
    for number in range(FPS * CLIP_SECONDS):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        picture[HEIGHT // 2 :] = np.roll(noise, 4 * number, axis=1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def audio_clip() -> list[bytes]:
    """Four seconds of a tone in Opus."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48000, "mono", "s16", 32000
    tone = (np.sin(np.arange(48000 * CLIP_SECONDS) * 440 * 2 * np.pi / 48000) * 3000).astype(np.int16)
    packets = []
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, start
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets]


class Encoded(MediaStreamTrack):
    """Sends a clip over and over, in real time, without encoding it."""

    def __init__(self, kind: str, frames: list[bytes], interval: float, clock: int) -> None:
        super().__init__()
        self.kind = kind
        self._frames, self._interval, self._clock = frames, interval, clock
        self._start: float | None = None
        self.sent = 0

    async def recv(self) -> Any:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self.sent * self._interval - time.monotonic()))
        packet = av.Packet(self._frames[self.sent % len(self._frames)])
        packet.pts, packet.time_base = round(self.sent * self._interval * self._clock), Fraction(1, self._clock)
        self.sent += 1
        return packet


async def send(pipe: Connection, video: list[bytes], audio: list[bytes]) -> None:
    """Offer, take the answer, send until told to stop; answers each "count" with the pictures sent so far."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pictures = Encoded("video", video, 1 / FPS, 90000)
    pc.addTrack(Encoded("audio", audio, 0.02, 48000))
    pc.addTrack(pictures)
    await pc.setLocalDescription(await pc.createOffer())
    pipe.send(pc.localDescription.sdp)
    answer = await asyncio.to_thread(pipe.recv)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    while await asyncio.to_thread(pipe.recv) == "count":
        pipe.send(pictures.sent)
    await pc.close()


class Ours:
    """Our connection and recorder."""

    def __init__(self, path: Path) -> None:
        self._recorder = Recorder(path.parent)
        self._participant = self._recorder.participant(path.stem, expect=("audio", "video"))
        self._connection = Link(Options(), self)
        self._up = asyncio.Event()

    async def answer(self, offer: str) -> str:
        await self._connection.take(SessionDescription("offer", offer))
        return (await self._connection.gathered()).sdp

    async def ready(self) -> None:
        await self._up.wait()

    async def close(self) -> Path:
        await self._connection.close()
        (file,) = await self._recorder.finish(self._participant)
        await self._recorder.close()
        return file.path

    def connected(self) -> None:
        self._up.set()

    def track_added(self, track: Any) -> None:
        self._participant.add(track)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a connection tells is no matter here."""
        if name in dir(Observer):
            return lambda *_: None
        raise AttributeError(name)


class Stock:
    """aiortc's connection and MediaRecorder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._recorder = MediaRecorder(str(path))
        self._pc.on("track", self._recorder.addTrack)
        self._up = asyncio.Event()
        self._pc.on("connectionstatechange", lambda: self._pc.connectionState == "connected" and self._up.set())

    async def answer(self, offer: str) -> str:
        await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    async def ready(self) -> None:
        await self._up.wait()
        await self._recorder.start()

    async def close(self) -> Path:
        try:
            await self._recorder.stop()
        finally:
            await self._pc.close()
        return self._path


RECORDERS: dict[str, tuple[Any, str]] = {
    "ours, MKV": (Ours, "ours.mkv"),
    "MediaRecorder, MP4": (Stock, "stock.mp4"),
    "MediaRecorder, WebM": (Stock, "stock.webm"),
}


async def record(pipe: Connection, name: str, folder: Path, seconds: float) -> None:
    """Answer the offer in the pipe, record, and send back (CPU per second, pictures in the file or an error)."""
    kind, file = RECORDERS[name]
    recorder = kind(folder / file)
    pipe.send(await recorder.answer(await asyncio.to_thread(pipe.recv)))
    await recorder.ready()
    await asyncio.sleep(1)
    pipe.send("up")
    cpu, start = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    share = (time.process_time() - cpu) / (time.monotonic() - start)
    try:
        path = await recorder.close()
        with av.open(str(path)) as container:
            found: object = sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, ValueError, IndexError) as error:
        found = f"no file ({error})"
    pipe.send((share, found))


def run_sender(pipe: Connection, video: list[bytes], audio: list[bytes]) -> None:
    asyncio.run(send(pipe, video, audio))


def run_recorder(pipe: Connection, name: str, folder: str, seconds: float) -> None:
    asyncio.run(record(pipe, name, Path(folder), seconds))


def measure(
    name: str, clips: tuple[list[bytes], list[bytes]], folder: str, seconds: float
) -> tuple[float, object, int]:
    """CPU per second, pictures in the file (or an error), pictures sent."""
    context = multiprocessing.get_context("spawn")
    (sender, sender_end), (recorder, recorder_end) = context.Pipe(), context.Pipe()
    processes = [
        context.Process(target=run_sender, args=(sender_end, *clips)),
        context.Process(target=run_recorder, args=(recorder_end, name, folder, seconds)),
    ]
    for process in processes:
        process.start()
    recorder.send(sender.recv())
    sender.send(recorder.recv())
    assert recorder.recv() == "up"
    share, found = recorder.recv()
    sender.send("count")
    sent: int = sender.recv()
    sender.send("stop")
    for process in processes:
        process.join(timeout=30)
    return share, found, sent


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of recording one call, ours beside aiortc's MediaRecorder")
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    clips = video_clip(), audio_clip()
    table = Table("recorder", "CPU, share of a core", "x ours", "pictures in the file / sent")
    ours = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name in RECORDERS:
            share, found, sent = measure(name, clips, folder, seconds)
            ours = ours or share
            table.add_row(name, f"{share:.1%}", f"{share / ours:.1f}", f"{found} / {sent}")
    bits = sum(map(len, clips[0])) * 8 / CLIP_SECONDS
    Console().print(f"One call, {WIDTH}x{HEIGHT} at {FPS}, VP8 {bits / 1e6:.1f} Mbit/s and Opus, {seconds:g} s each")
    Console().print(table)


if __name__ == "__main__":
    main()
