"""A process that is killed leaves files that play."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peer.recording.formats import FORMATS, Format
from peer.recording.verify import verify

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, sys
from peer.recording.recorder import ParticipantRecorder
from peer.recording.writer import Options
from tests.recording.synthetic import H264, VP8, FakeTrack, audio, feed, merged, video

async def record():
    recorder = ParticipantRecorder(sys.argv[1], "victim", options=Options(format=sys.argv[2]))
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    feed(merged(audio(3), video(3, H264 if sys.argv[2] == "mp4" else VP8)), audio=sound, video=picture)
    while not recorder.files or recorder.files[0].seconds < 2.9:
        await asyncio.sleep(0.01)
    print("written", flush=True)
    await asyncio.sleep(60)

asyncio.run(record())
"""


@pytest.mark.parametrize("form", FORMATS)
def test_a_killed_process_leaves_all_but_the_last_half_second(tmp_path: Path, form: Format) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), form]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "written\n"
        finally:
            process.send_signal(signal.SIGKILL)
    (path,) = tmp_path.glob(f"*.{form}")
    found = verify(path)
    assert found.problems == []
    assert found.seconds > 2.4 and found.numbers == 1.0
