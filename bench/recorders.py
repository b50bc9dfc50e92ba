"""The recorders that bench/record.py compares: each a process of its own, which answers offers and writes files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder
from harness import NotHere, percentile

from peer import recording
from peer.link import Link, Observer, Options
from peer.mainloop import run as run_to_end
from peer.recordall import MAX_PAUSE
from peer.recording.group import Recorder
from peer.rtc.ice.servers import IceSettings
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LAG_EVERY = 0.05
START_TIMEOUT = 10.0
CLOSE_TIMEOUT = 10.0


class Recording(Protocol):
    """One recorder at work."""

    pid: int

    async def answer(self, number: int, offer: str) -> str:
        """Take call `number`."""

    async def lag(self, seconds: float) -> list[float]:
        """Seconds by which the event loop is late, measured for so long; empty where there is none.

        Looking costs something, so it is not done while the CPU is measured.
        """

    async def close(self) -> list[Path]:
        """End the calls; the files that were written, with pictures."""


# In Python: a child process that carries out what comes through a pipe


class Ours:
    """Our connection and recorder, as `peer record` has them."""

    options = recording.Options()

    def __init__(self, folder: Path, suffix: str) -> None:
        self._recorder = Recorder(folder, options=self.options)
        self._calls: list[tuple[Link, Any]] = []

    async def answer(self, number: int, offer: str) -> str:
        participant = self._recorder.participant(f"call{number}", expect=("audio", "video"))
        link = Link(Options(IceSettings(max_pause=MAX_PAUSE)), _Adds(participant))
        link.silent = True
        self._calls.append((link, participant))
        await link.take(SessionDescription("offer", offer))
        return (await link.gathered()).sdp

    async def close(self) -> list[Path]:
        await asyncio.gather(*(link.close() for link, _ in self._calls))
        await self._recorder.close()
        return [file.path for file in self._recorder.files if file.video_frames]


class _Adds:
    """Records the tracks of a call; whatever else a connection tells is no matter here."""

    def __init__(self, participant: Any) -> None:
        self._participant = participant

    def track_added(self, track: Any) -> None:
        self._participant.add(track)

    def __getattr__(self, name: str) -> Any:
        if name in dir(Observer):
            return lambda *_: None
        raise AttributeError(name)


class Stock:
    """aiortc's connection and MediaRecorder."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder, self._suffix = folder, suffix
        self._calls: list[tuple[RTCPeerConnection, MediaRecorder, Path]] = []

    async def answer(self, number: int, offer: str) -> str:
        path = self._folder / f"call{number}{self._suffix}"
        pc, recorder = RTCPeerConnection(RTCConfiguration(iceServers=[])), MediaRecorder(str(path))
        self._calls.append((pc, recorder, path))
        pc.on("track", recorder.addTrack)
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        await recorder.start()
        return str(pc.localDescription.sdp)

    async def close(self) -> list[Path]:
        for pc, recorder, _ in self._calls:
            with contextlib.suppress(OSError, ValueError):  # it may have nothing that it could write
                await recorder.stop()
            await pc.close()
        return [path for _, _, path in self._calls]


def _run(pipe: Connection, kind: type[Ours | Stock], folder: Path, suffix: str) -> None:
    run_to_end(_serve(pipe, kind, folder, suffix))


async def _serve(pipe: Connection, kind: type[Ours | Stock], folder: Path, suffix: str) -> None:
    recorder = kind(folder, suffix)
    while True:
        name, *values = await asyncio.to_thread(pipe.recv)
        if name == "lag":
            pipe.send(await lags(*values))
            continue
        pipe.send(await getattr(recorder, name)(*values))
        if name == "close":
            break


async def lags(seconds: float) -> list[float]:
    """Seconds by which this event loop is late, looked at for so long."""
    found, end = [], time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        await asyncio.sleep(LAG_EVERY)
        found.append(max(0.0, time.perf_counter() - now - LAG_EVERY))
    return found


class PythonRecording:
    """Runs one of the above."""

    def __init__(self, kind: type[Ours | Stock], folder: Path, suffix: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, kind, folder, suffix))
        self._process.start()
        self.pid = self._process.pid or 0

    async def answer(self, number: int, offer: str) -> str:
        return str(await self._ask("answer", number, offer))

    async def lag(self, seconds: float) -> list[float]:
        return list(await self._ask("lag", seconds))

    async def close(self) -> list[Path]:
        files: list[Path] = await self._ask("close")
        await asyncio.to_thread(self._process.join, 30)
        return files

    async def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return await asyncio.to_thread(self._pipe.recv)


# Janus


class JanusRecording:
    """Janus with its recordplay plugin, spoken to through its HTTP interface; it writes .mjr files."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("janus") is None:
            raise NotHere("Janus is not installed: apt-get install janus")
        self._folder, self._port = folder, _free_port()
        for name, text in _janus_settings(folder, self._port).items():
            (folder / name).write_text(text)
        self._output = (folder / "janus.log").open("wb")
        self._process = subprocess.Popen(
            ["janus", "-F", str(folder), "--disable-colors"], stdout=self._output, stderr=subprocess.STDOUT
        )
        self.pid = self._process.pid
        self._http: aiohttp.ClientSession | None = None
        self._handles: list[str] = []
        self._polls: list[asyncio.Task[None]] = []

    async def answer(self, number: int, offer: str) -> str:
        session = await self._session()
        handle = f"{session}/{(await self._post(session, janus='attach', plugin='janus.plugin.recordplay'))['id']}"
        self._handles.append(handle)
        await self._http_post(
            handle,
            janus="message",
            body={"request": "record", "name": f"call{number}", "filename": f"call{number}"},
            jsep={"type": "offer", "sdp": offer},
        )
        while True:
            event = await self._event(session)
            if "jsep" in event:
                self._polls.append(asyncio.create_task(self._keep_alive(session)))
                return str(event["jsep"]["sdp"])
            if "error" in event.get("plugindata", {}).get("data", {}):
                raise RuntimeError(str(event))

    async def lag(self, seconds: float) -> list[float]:
        return []

    async def close(self) -> list[Path]:
        for poll in self._polls:
            poll.cancel()
        for handle in self._handles:
            await self._http_post(handle, janus="message", body={"request": "stop"})
        await asyncio.sleep(1)
        if self._http is not None:
            await self._http.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 10)
        self._output.close()
        return sorted(self._folder.glob("*-video.mjr"))

    async def _session(self) -> str:
        if self._http is None:
            self._http = aiohttp.ClientSession(f"http://127.0.0.1:{self._port}")
            async with asyncio.timeout(START_TIMEOUT):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        await self._http.get("/janus/info")
                        break
                    await asyncio.sleep(0.1)
        return f"/janus/{(await self._post('/janus', janus='create'))['id']}"

    async def _post(self, path: str, **body: Any) -> Any:
        return (await self._http_post(path, **body))["data"]

    async def _http_post(self, path: str, **body: Any) -> Any:
        assert self._http is not None
        async with self._http.post(path, json={"transaction": "bench", **body}) as answer:
            return await answer.json()

    async def _event(self, session: str) -> Any:
        assert self._http is not None
        async with self._http.get(session) as answer:
            return await answer.json()

    async def _keep_alive(self, session: str) -> None:
        while True:
            await self._event(session)


def _janus_settings(folder: Path, port: int) -> dict[str, str]:
    quoted = json.dumps(str(folder))
    return {
        "janus.jcfg": "general: { debug_level = 3 }\n"
        f"plugins: {{ disable = {json.dumps(_all_but('recordplay', 'plugins'))} }}\n"
        f"transports: {{ disable = {json.dumps(_all_but('http', 'transports'))} }}\n",
        "janus.transport.http.jcfg": 'general: { json = "compact", base_path = "/janus", http = true, '
        f'port = {port}, ip = "127.0.0.1", https = false }}\nadmin: {{ admin_http = false }}\n',
        "janus.plugin.recordplay.jcfg": f"general: {{ path = {quoted} }}\n",
    }


def _all_but(name: str, kind: str) -> str:
    found = Path("/usr/lib").glob(f"*/janus/{kind}/libjanus_*.so")
    return ",".join(sorted(path.name for path in found if name not in path.name))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# GStreamer


class GstRecording:
    """GStreamer's webrtcbin and matroskamux, put together by bench/gst_recorder.py under the system's Python."""

    def __init__(self, folder: Path) -> None:
        command = ["/usr/bin/python3", str(Path(__file__).with_name("gst_recorder.py")), str(folder)]
        if subprocess.run([*command, "--check"], capture_output=True, check=False).returncode:
            packages = "python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-good"
            raise NotHere(f"GStreamer's webrtcbin is not installed: apt-get install {packages}")
        self._folder = folder
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    async def answer(self, number: int, offer: str) -> str:
        return str(await asyncio.to_thread(self._ask, {"number": number, "offer": offer}))

    async def lag(self, seconds: float) -> list[float]:
        return []

    async def close(self) -> list[Path]:
        closing = asyncio.ensure_future(asyncio.to_thread(self._ask, {"close": True}))
        if not (await asyncio.wait([closing], timeout=CLOSE_TIMEOUT))[0]:
            self._process.kill()  # it hangs now and then; its files lack what its muxers hold
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.to_thread(self._process.wait, 10)
        return sorted(self._folder.glob("*.mkv"))

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


RECORDERS: dict[str, Any] = {
    "ours, MKV": lambda folder: PythonRecording(Ours, folder, ".mkv"),
    "Janus, .mjr": JanusRecording,
    "GStreamer, MKV": GstRecording,
    "MediaRecorder, MP4": lambda folder: PythonRecording(Stock, folder, ".mp4"),
    "MediaRecorder, WebM": lambda folder: PythonRecording(Stock, folder, ".webm"),
}


# What a process costs


def cpu_seconds(pid: int) -> float:
    """Of all its threads, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def p99(lags: list[float]) -> float | None:
    return percentile(lags, 0.99) if lags else None


if sys.platform != "linux":
    raise SystemExit("bench/record.py reads /proc: it runs on Linux")
