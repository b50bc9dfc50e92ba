"""`peer verify` and `peer repair`: tables, JSON, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from peer.recording import manifestfile
from peer.recording.recorder import ParticipantRecorder
from tests.recording import synthetic
from tests.recording.synthetic import FakeTrack, audio, feed, merged, video

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(scope="session", autouse=True)
def _encoded(run_folder: Path) -> None:
    synthetic.encode_all(run_folder / "synthetic")


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    """The manifest of a recording in `tmp_path`."""
    recorder = ParticipantRecorder(tmp_path, "alice [bold]", room="lab")
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    feed(merged(audio(2), video(2)), audio=sound, video=picture)
    await recorder.close()
    assert recorder.manifest is not None
    return recorder.manifest


def torn(recording: Path) -> Path:
    """As a killed process leaves it; gives the media file."""
    manifest = manifestfile.read(recording)
    manifestfile.write(recording, structs.replace(manifest, state="recording"))
    media = recording.with_name(manifest.segments[0].file)
    media.write_bytes(media.read_bytes()[:20_000])
    return media


def test_what_is_in_order(run: Run, recording: Path) -> None:
    code, out, err = run("verify", recording.parent)
    assert (code, err) == (0, "")
    heading, line = out.splitlines()
    assert heading.split() == ["file", "participant", "seconds", "pictures/sounds", "skew", "missing", "result"]
    assert "alice [bold]" in line and "60/100" in line and line.rstrip().endswith("ok")
    assert run("repair", recording.parent) == (0, "nothing had to be repaired\n", "")


def test_what_is_not_and_what_becomes_of_it(run: Run, recording: Path) -> None:
    media = torn(recording)
    code, out, _ = run("verify", media)
    assert code == 8 and "killed" in out and "was not closed; run peer repair" in out
    code, out, _ = run("repair", recording)
    assert code == 0 and [line.partition(" ")[0].rstrip(":") for line in out.splitlines()] == [
        media.name,
        media.name,
        recording.name,
    ]
    code, out, _ = run("verify", recording)
    assert code == 0 and "was repaired" in out and "  disk 3.0 s  " in out


def test_as_json(run: Run, recording: Path) -> None:
    media = torn(recording)
    code, out, _ = run("verify", recording, "--json")
    told = json.loads(out)
    assert code == told["exitCode"] == 8
    (row,) = told["recordings"]
    assert (row["path"], row["participant"], row["ok"]) == (str(media), "alice [bold]", False) and row["problems"]
    code, out, _ = run("repair", recording, "--json")
    told = json.loads(out)
    assert code == told["exitCode"] == 0
    assert told["recordings"][0]["manifest"] == str(recording) and len(told["recordings"][0]["done"]) == 3


def test_what_cannot_be_repaired(run: Run, recording: Path) -> None:
    torn(recording).write_bytes(b"nothing")
    code, out, _ = run("repair", recording, "--quiet")
    assert code == 8 and out.startswith("error: ") and "cannot be repaired" in out


@pytest.mark.parametrize("verb", ["verify", "repair"])
def test_nothing_is_there(run: Run, tmp_path: Path, verb: str) -> None:
    code, out, err = run(verb, tmp_path)
    assert (code, out) == (2, "") and err.startswith("there is no recording in ")
    code, _, err = run(verb, tmp_path / "nothing")
    assert code == 2 and "is not there" in err
    assert run(verb)[0] == 2
