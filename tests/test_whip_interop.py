"""WHIP with implementations that are not ours: FFmpeg publishes to us, we publish to Janus."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import peer
from peer.recording.verify import verify
from signaling.app import Server, Settings
from tests.harness.certificates import make_certificate
from tests.harness.janus import janus, recorded_packets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

WAIT = 30.0
PICTURES = 75
SMALL = "test:160x120@15"


async def test_ffmpeg_publishes_into_a_recording_participant(tmp_path: Path) -> None:
    made = await asyncio.to_thread(make_certificate, tmp_path, "ffmpeg")
    program = Path(__file__).with_name("ffmpeg_publisher.py")
    async with (
        Server(Settings(port=0)) as server,
        peer.join(server.url, room="lab", name="desk") as room,
        room.record(tmp_path / "out") as recorder,
    ):
        publishing = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            f"{server.url}/whip/lab/desk",
            *(str(made.certificate), str(made.key), str(PICTURES)),
            stderr=asyncio.subprocess.PIPE,
        )
        said = await _said(publishing)
        assert publishing.returncode == 0, said
        async with asyncio.timeout(WAIT):
            await room.empty()  # its DELETE ended the call
    (file,) = recorder.files
    assert file.whole and file.gaps == ()
    found = await asyncio.to_thread(verify, file.path)
    assert (found.decode_errors, found.problems) == (0, [])
    assert found.video_frames == PICTURES
    assert found.audio_frames >= PICTURES * 2 - 5  # 20 ms each, less what the encoder held back
    assert found.seconds == pytest.approx(PICTURES / 25, abs=0.5)


async def _said(process: asyncio.subprocess.Process) -> str:
    """Wait until it ends; what it wrote on standard error."""
    assert process.stderr is not None
    lines = []
    try:
        async with asyncio.timeout(WAIT):
            lines.extend([line.decode() async for line in process.stderr])
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        process._transport.close()  # type: ignore[attr-defined]
    return "".join(lines)


async def test_we_publish_to_janus(tmp_path: Path) -> None:
    async with janus(tmp_path) as url, asyncio.timeout(WAIT):
        async with peer.publish(f"{url}/whip", video=SMALL, audio="test", token="secret") as call:
            await _sent(call, 15)
            call._connection.restart()
            while not call._connection.restarts:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await _sent(call, 15)
            assert call.open
        assert (await call.ended()).reason == "hung up"
    assert await asyncio.to_thread(recorded_packets, tmp_path, "video") >= 30
    assert await asyncio.to_thread(recorded_packets, tmp_path, "audio") >= 50


async def _sent(call: peer.Call, pictures: int) -> None:
    """Wait until so many more were sent."""
    so_far = (await call.stats()).outbound[1].frames_sent
    while (await call.stats()).outbound[1].frames_sent < so_far + pictures:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
