"""A manifest on the disk is the old one or the new one, whole; digests are those of the files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from peer.recording import manifestfile
from peer.recording.manifest import BadManifest, LeftOut, Manifest

if TYPE_CHECKING:
    from pathlib import Path

ONE = Manifest(
    version=1,
    room="lab",
    participant="alice",
    started="2026-11-24T15:00:00.000000Z",
    ended=None,
    state="recording",
    error=None,
    tracks=(),
    segments=(),
    gaps=(),
)


def test_a_manifest_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    manifestfile.write(path, ONE)
    manifestfile.temporary(path).write_text("what a killed process left")
    manifestfile.write(path, structs.replace(ONE, left_out=LeftOut(gaps=3)))
    assert manifestfile.read(path).left_out.gaps == 3
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_the_old_one_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    path = tmp_path / "a.json"
    manifestfile.write(path, ONE)

    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr("peer.recording.manifestfile.open_exclusive", lambda path: Full())
    else:
        monkeypatch.setattr("peer.recording.manifestfile.os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        manifestfile.write(path, ONE)
    assert manifestfile.read(path) == ONE
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"], "nothing is left behind"


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifestfile.write(tmp_path / "a.json", ONE)
    monkeypatch.setattr(manifestfile, "MAX_BYTES", 100)
    with pytest.raises(BadManifest, match="larger"):
        manifestfile.read(tmp_path / "a.json")


def test_digests(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    path = tmp_path / "file"
    path.write_bytes(data)
    assert manifestfile.sha256(path) == hashlib.sha256(data).hexdigest()


def test_a_digest_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5 << 20))
    hashing = manifestfile.Hashing(path)
    slices = 0
    while (digest := hashing.work(0)) is None:
        slices += 1
    assert slices == 5 and digest == hashlib.sha256(bytes(5 << 20)).hexdigest()
    hashing.close()
    given_up = manifestfile.Hashing(path)
    assert given_up.work(0) is None
    given_up.close()
