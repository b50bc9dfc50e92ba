"""The account of a recording: what its manifest says of tracks, codecs, sizes and gaps, as events come in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from peer.recording.account import MAX_CHANGES, MAX_GAPS, MAX_TRACKS, Account
from peer.recording.manifest import decode, encode
from peer.rtc.frames import Codec, EncodedFrame, Kind

if TYPE_CHECKING:
    from peer.recording.manifest import Manifest

VP8, H264, OPUS = Codec("VP8", 90000, 1, 96), Codec("H264", 90000, 1, 102), Codec("opus", 48000, 2, 111)
ZERO = 1000.0


class Book:
    """An account with times from zero, and one track of each kind on the main strand."""

    def __init__(self, *kinds: Kind) -> None:
        self.account = Account("lab", "alice", "2026-11-24T15:00:00.000000Z", ZERO)
        for kind in kinds:
            self.account.added(0, kind, kind, ZERO)

    def frame(self, at: float, codec: Codec = OPUS, size: tuple[int, int] = (0, 0), *, complete: bool = True) -> None:
        kind: Kind = "audio" if codec is OPUS else "video"
        self.account.first(ZERO + at, ZERO + at)
        frame = EncodedFrame(codec, b"x", 0, ZERO + at, bool(size[0]), *size, complete_before=complete)
        self.account.wrote(0, kind, frame)

    def closed(self, at: float, *, failed: bool = False) -> Manifest:
        self.account.end(ZERO + at, failed=failed)
        found = self.account.manifest("failed" if failed else "finished", ZERO + at, (), "full" if failed else None)
        assert decode(encode(found)) == found
        return found

    def gaps(self, at: float, *, failed: bool = False) -> list[tuple[str, float, float, str]]:
        return [(gap.track, gap.start, gap.end, gap.cause) for gap in self.closed(at, failed=failed).gaps]


def test_tracks_with_their_codecs_and_sizes() -> None:
    book = Book("audio", "video")
    book.frame(0.1)
    book.frame(0.5, VP8, (640, 480))
    book.frame(0.6, VP8)
    book.frame(1.0, replace(VP8, payload_type=100), (640, 480))
    book.frame(1.5, VP8, (320, 240))
    book.frame(2.0, H264, (320, 240))
    sound, picture = book.closed(2.1).tracks
    assert (sound.id, sound.kind, sound.added, sound.begins, sound.removed) == ("audio", "audio", 0, 0.1, None)
    assert [(each.start, each.name, each.clock_rate, each.channels) for each in sound.codecs] == [
        (0.1, "opus", 48000, 2)
    ]
    assert sound.sizes == ()
    assert [(each.start, each.name) for each in picture.codecs] == [(0.5, "VP8"), (2.0, "H264")]
    assert [(each.start, each.width, each.height) for each in picture.sizes] == [(0.5, 640, 480), (1.5, 320, 240)]


def test_a_hold_is_a_pause_and_a_removal_is_none() -> None:
    book = Book("audio")
    book.frame(1)
    book.account.removed(0, "audio", ZERO + 1.1)
    book.account.added(0, "audio", "audio", ZERO + 5)
    book.frame(5.2)
    book.account.removed(0, "audio", ZERO + 6)
    found = book.closed(60)
    assert [(gap.start, gap.end, gap.cause) for gap in found.gaps] == [(1, 5.2, "paused")]
    assert found.tracks[0].removed == 6 and found.tracks[0].added == 0


def test_another_connection_in_the_place_of_a_broken_one() -> None:
    book = Book("audio")
    book.frame(1)
    book.account.disconnected(ZERO + 1.1)
    book.account.removed(0, "audio", ZERO + 12)
    book.account.added(0, "audio", "audio", ZERO + 13)
    book.account.connected(ZERO + 14)
    book.frame(14.1)
    assert book.gaps(15) == [("audio", 1, 14.1, "disconnected")]


def test_another_connection_with_other_tracks() -> None:
    book = Book("audio")
    book.frame(1)
    book.account.disconnected(ZERO + 1.1)
    book.account.removed(0, "audio", ZERO + 12)
    book.account.added(0, "audio", "audio-7", ZERO + 13)
    book.account.connected(ZERO + 14)
    book.frame(14.1)
    found = book.closed(15)
    assert [(gap.track, gap.start, gap.end, gap.cause) for gap in found.gaps] == [("audio", 1, 12, "disconnected")]
    assert [(each.id, each.removed, each.begins) for each in found.tracks] == [
        ("audio", 12, 1),
        ("audio-7", None, 14.1),
    ]


def test_one_who_vanished() -> None:
    book = Book("audio", "video")
    book.frame(1)
    book.account.disconnected(ZERO + 1.1)
    assert book.gaps(31) == [("audio", 1, 31, "disconnected")], "the video never began"


def test_what_the_disk_did_not_take() -> None:
    book = Book("audio", "video")
    book.frame(1)
    book.frame(1, VP8, (640, 480))
    book.account.dropped(0, "video")
    book.frame(2, VP8, (640, 480))
    book.account.cut(0, 1.5)
    assert book.gaps(2.5, failed=True) == [
        ("video", 1, 2, "disk"),
        ("audio", 1, 2.5, "disk"),
        ("video", 1.5, 2.5, "disk"),
    ]


def test_while_it_is_recorded_the_present_silence_is_told_and_taken_back() -> None:
    book = Book("audio")
    book.frame(1)
    (gap,) = book.account.manifest("recording", ZERO + 9, (), None).gaps
    assert (gap.start, gap.end, gap.cause) == (1, 9, "muted")
    assert book.account.gaps == []
    book.frame(10)
    assert book.gaps(10.1) == [("audio", 1, 10, "muted")]


def test_frames_on_another_clock_are_taken_to_be_of_now() -> None:
    account = Account("lab", "alice", "2026-11-24T15:00:00.000000Z", ZERO)
    account.first(7.0, ZERO + 2)
    account.first(7.5, ZERO + 9)
    assert account.time(7.5) == pytest.approx(2.5)


def test_everything_is_bounded_and_what_is_left_out_is_counted() -> None:
    book = Book("audio", "video")
    for index in range(MAX_GAPS + 5):
        book.frame(index, complete=False)
    for index in range(MAX_CHANGES + 3):
        book.frame(index * 0.01, VP8, (16 + index % 2, 16))
    for index in range(MAX_TRACKS):
        book.account.added(1 + index, "audio", f"more {index}", ZERO)
    found = book.closed(MAX_GAPS + 5)
    assert (len(found.gaps), len(found.tracks), len(found.tracks[1].sizes)) == (MAX_GAPS, MAX_TRACKS, MAX_CHANGES)
    left = found.left_out
    assert (left.changes, left.tracks) == (3, 2)
    assert left.gaps == 4 + 1, "and the pictures that ceased"
    book.account.removed(MAX_TRACKS, "audio", ZERO)
    book.account.wrote(MAX_TRACKS, "audio", EncodedFrame(OPUS, b"", 0, ZERO))
    assert len(encode(found)) < 2 << 20
