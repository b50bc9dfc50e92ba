"""A process that is killed leaves files that play."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from peer.recording.verify import verify

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, sys
from peer.recording.recorder import ParticipantRecorder
from tests.recording.synthetic import FakeTrack, audio, feed, merged, video

async def record():
    recorder = ParticipantRecorder(sys.argv[1], "victim")
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    feed(merged(audio(3), video(3)), audio=sound, video=picture)
    while not recorder.files or recorder.files[0].seconds < 2.9:
        await asyncio.sleep(0.01)
    print("written", flush=True)
    await asyncio.sleep(60)

asyncio.run(record())
"""


def test_a_killed_process_leaves_all_but_the_last_half_second(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "written\n"
        finally:
            process.send_signal(signal.SIGKILL)
    (path,) = tmp_path.iterdir()
    found = verify(path)
    assert found.problems == []
    assert found.seconds > 2.4 and found.numbers == 1.0
