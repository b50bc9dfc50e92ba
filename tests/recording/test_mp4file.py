"""How far an MP4 file is whole: to the end of a box, and of a fragment with its media."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.fmp4 import box
from peer.recording.matroskafile import NotOurs
from peer.recording.mp4file import boxes
from tests.recording.test_matroskafile import STARTED, written

BEGINNING = box(b"ftyp", b"isom") + box(b"moov", bytes(50))
FRAGMENT = box(b"moof", bytes(30)) + box(b"mdat", bytes(70))


def test_whole_files_are_whole() -> None:
    for closed in (True, False):
        data = written("H264", form="mp4", closed=closed)
        assert boxes(data).end == len(data) and boxes(data).started == pytest.approx(STARTED, abs=1e-6)


def test_a_fragment_counts_with_its_media() -> None:
    data = BEGINNING + FRAGMENT + FRAGMENT
    for cut in range(len(BEGINNING), len(data) + 1):
        expected = max(end for end in (len(BEGINNING), len(BEGINNING + FRAGMENT), len(data)) if end <= cut)
        assert boxes(data[:cut]).end == expected


def test_what_a_power_cut_leaves_is_no_box() -> None:
    assert boxes(BEGINNING + FRAGMENT + bytes(4096)).end == len(BEGINNING + FRAGMENT)
    assert boxes(BEGINNING + b"\0\0\0\x10\0\0\0\0" + bytes(100)).end == len(BEGINNING)


@given(st.binary(max_size=100))
def test_arbitrary_bytes(data: bytes) -> None:
    with pytest.raises(NotOurs):
        boxes(data)
    assert len(BEGINNING) <= boxes(BEGINNING + data).end <= len(BEGINNING) + len(data)
