"""No name that a remote can choose leads out of the directory, hides a file or is one that some system refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.names import MAX_NAME_BYTES, file_name, safe_name

STARTED = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
HOSTILE = st.text(st.one_of(st.characters(), st.sampled_from("./\\\0:-~$ \n\u202e\ud800")))


@given(HOSTILE)
def test_a_name_is_one_plain_component(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode("utf-8")) <= MAX_NAME_BYTES
    assert not set(safe) & set('/\\\0:*?"<>| \t\n\u202e')
    assert not safe.startswith((".", "-")) and not safe.endswith(".")
    assert PurePosixPath("dir", safe).parent == PurePosixPath("dir")
    assert safe_name(safe) == safe


@given(HOSTILE, st.integers(1, 999))
def test_a_file_name_stays_in_its_directory_on_every_system(name: str, number: int) -> None:
    made = file_name(name, STARTED, number)
    assert len(made.encode("utf-8")) < 160
    for flavour in (PurePosixPath, PureWindowsPath):
        path = flavour("dir") / made
        assert path.parent == flavour("dir") and path.name == made
    assert made.partition(".")[0].upper() not in ("CON", "NUL", "COM1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alice", "alice"),
        ("Zoë Müller", "Zoë_Müller"),
        ("小明", "小明"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("", "participant"),
        ("...", "participant"),
        ("///", "participant"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("a\0b\nc", "a_b_c"),
        ("x" * 500, "x" * MAX_NAME_BYTES),
        ("ü" * 500, "ü" * (MAX_NAME_BYTES // 2)),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_the_first_file_has_no_number() -> None:
    assert file_name("alice", STARTED) == "alice-20260301T123005.mkv"
    assert file_name("alice", STARTED, 2) == "alice-20260301T123005-2.mkv"


def test_the_ending_names_the_container() -> None:
    assert file_name("alice", STARTED, 3, "mp4") == "alice-20260301T123005-3.mp4"
