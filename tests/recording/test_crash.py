"""A process that is killed leaves files that play, and a recording that can be put in order."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peer.recording.check import check
from peer.recording.formats import FORMATS, Format
from peer.recording.found import find
from peer.recording.repair import repair
from peer.recording.verify import verify
from tests.recording.synthetic import H264, VP8, audio, merged, video

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


@pytest.mark.parametrize("form", ["mkv", *(pytest.param(form, marks=pytest.mark.slow) for form in FORMATS[1:])])
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


STEPS = """
import asyncio, pickle, sys
from pathlib import Path
from peer.recording.recorder import ParticipantRecorder
from peer.recording.writer import Options
from tests.recording.synthetic import FakeTrack, feed

async def record():
    directory, form, frames = sys.argv[1:]
    steps = pickle.loads(Path(frames).read_bytes())
    recorder = ParticipantRecorder(directory, "victim", options=Options(format=form, segment=1))
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    for number, step in enumerate(steps):
        feed(step, audio=sound, video=picture)
        while sum(file.audio_frames for file in recorder.files) < 5 * number:  # it keeps up, however slow it is
            await asyncio.sleep(0.001)
        print(number, flush=True)
    await asyncio.sleep(60)

asyncio.run(record())
"""
"""Records media step by step, a tenth of a second each, in files of a second."""
KILLED, OPEN = "its process was killed while it recorded; run peer repair", "was not closed; run peer repair"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("form", FORMATS)
def test_what_killed_processes_leave_is_put_in_order(tmp_path: Path, form: Format) -> None:
    frames = merged(audio(3), video(3, H264 if form == "mp4" else VP8))
    steps = [[frame for frame in frames if step <= 10 * frame.time + 1e-6 < step + 1] for step in range(30)]
    (tmp_path / "frames").write_bytes(pickle.dumps(steps))
    chance = random.Random(form)
    for number in range(4):
        directory = tmp_path / f"{number}"
        last = chance.randrange(1, 30)
        with subprocess.Popen(
            [sys.executable, "-c", STEPS, str(directory), form, str(tmp_path / "frames")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                while (line := process.stdout.readline()) and int(line) < last:
                    pass
            finally:
                process.send_signal(signal.SIGKILL)
        wrong = {problem for found in find([directory]) for row in check(found) for problem in row.problems}
        assert KILLED in wrong and wrong <= {KILLED, OPEN}, "whatever is there plays"
        assert [problem for found in find([directory]) for problem in repair(found).problems] == []
        after = [row for found in find([directory]) for row in check(found)]
        assert [problem for row in after for problem in row.problems] == []
        (found,) = find([directory])
        assert found.manifest is not None
        seconds = found.manifest.segments[-1].end - found.manifest.segments[0].start
        assert seconds >= last / 10 - 0.1 - 0.6, "a flush and what was being handed over"
        assert all(not path.name.startswith(".") for path in directory.iterdir())
