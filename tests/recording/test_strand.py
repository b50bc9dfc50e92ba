"""Which file a frame goes to, and when a file begins: nothing here touches a disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.strand import Strand
from peer.rtc.frames import Codec, EncodedFrame
from tests.recording.synthetic import H264, OPUS, PCMU, VP8, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peer.recording.formats import Format, Layout
    from peer.rtc.frames import Kind

PARAMETER_SETS = b"\0\0\1\x67\x42\xc0\x1f\xaa\0\0\1\x68\xce\0\0\1"


@dataclass
class Kept:
    """A sink that keeps what it is given, and insists on the rules of a file."""

    layout: Layout
    frames: list[tuple[Kind, EncodedFrame]] = field(default_factory=list)
    closed: bool = False
    dropped: int = 0

    def write(self, kind: Kind, frame: EncodedFrame) -> None:
        assert not self.closed
        if kind == "video":
            assert self.layout.video is not None and self.layout.video.codec.name == frame.codec.name
            assert frame.keyframe or self.times("video"), "video begins with a keyframe"
        else:
            assert self.layout.audio == frame.codec
        assert frame.time >= self.layout.origin
        self.frames.append((kind, frame))

    def drop(self) -> None:
        self.dropped += 1

    def close(self) -> None:
        assert not self.closed
        self.closed = True

    def times(self, kind: Kind) -> list[float]:
        return [frame.time for of, frame in self.frames if of == kind]


def sound(time: float, codec: Codec = OPUS) -> EncodedFrame:
    return EncodedFrame(codec, b"sound", 0, time)


def picture(time: float, codec: Codec = VP8, *, key: bool = False, size: tuple[int, int] = (640, 480)) -> EncodedFrame:
    data = (PARAMETER_SETS if key else b"\0\0\1") + b"\x65\x88" if codec is H264 else b"picture"
    return EncodedFrame(codec, data, 0, time, key, *(size if key else (0, 0)))


def strand(*expected: Kind, wanted: Format = "mkv", segment: float | None = None) -> tuple[Strand, list[Kept]]:
    files: list[Kept] = []

    def open_file(layout: Layout) -> Kept:
        assert all(file.closed for file in files)
        files.append(Kept(layout))
        return files[-1]

    made = Strand(open_file, wanted=wanted, segment=segment)
    for kind in expected:
        made.add(kind)
    return made, files


def take(made: Strand, frames: Iterable[EncodedFrame]) -> None:
    for frame in frames:
        made.take(kind_of(frame), frame)


def times(start: float, end: float, step: float) -> list[float]:
    return [start + index * step for index in range(round((end - start) / step))]


def test_both_streams_start_together_in_one_file() -> None:
    made, files = strand("audio", "video")
    take(made, [sound(1.0), picture(1.01), sound(1.02)])
    assert files == [] and made.wants_keyframe
    take(made, [picture(1.53, key=True), sound(1.54), picture(1.56)])
    assert not made.wants_keyframe
    made.end()
    (file,) = files
    assert file.layout.origin == 1.0 and file.closed
    assert file.times("audio") == [1.0, 1.02, 1.54] and file.times("video") == [1.53, 1.56]


def test_a_moment_of_sound_before_the_first_picture_is_left_out() -> None:
    made, files = strand("audio", "video")
    take(made, [sound(1.0), sound(1.02), picture(1.03, key=True), sound(1.04), picture(1.06)])
    made.end()
    (file,) = files
    assert file.layout.origin == 1.03
    assert file.times("audio") == [1.04] and file.times("video") == [1.03, 1.06]


def test_a_keyframe_waits_for_sound() -> None:
    made, files = strand("audio", "video")
    take(made, [picture(1.0, key=True), picture(1.03)])
    assert files == []
    take(made, [sound(1.05)])
    assert files[0].times("video") == [1.0, 1.03] and files[0].layout.audio == OPUS


def test_nobody_waits_for_what_is_not_there() -> None:
    made, files = strand("video")
    take(made, [picture(1.0), picture(1.03, key=True)])
    assert files[0].layout.audio is None and files[0].times("video") == [1.03]
    made, files = strand("audio")
    take(made, [sound(1.0)])
    assert files[0].layout.video is None


def test_a_track_that_is_known_to_come_is_waited_for() -> None:
    files: list[Kept] = []

    def open_file(layout: Layout) -> Kept:
        files.append(Kept(layout))
        return files[-1]

    made = Strand(open_file, expect=("audio", "video"))
    made.add("audio")
    take(made, [sound(1.0)])
    assert files == []
    made.add("video")
    take(made, [picture(1.5, key=True)])
    assert files[0].layout.video is not None and files[0].layout.origin == 1.0


def test_video_after_two_seconds_begins_a_second_file_with_both() -> None:
    made, files = strand("audio", "video")
    take(made, [sound(time) for time in times(0, 5, 0.02)])
    assert len(files) == 1 and files[0].layout.video is None
    assert made.wants_keyframe
    take(made, [picture(5.0, key=True), sound(4.99), sound(5.01), picture(5.03)])
    made.end()
    first, second = files
    assert len(first.times("audio")) == 251 and first.closed, "sound that is older than the keyframe, though it is late"
    assert second.layout.video is not None and second.layout.audio == OPUS
    assert second.times("audio") == [5.01] and second.times("video") == [5.0, 5.03]
    assert second.layout.origin == 5.0


def test_sound_later_than_video_begins_a_file_at_the_next_keyframe() -> None:
    made, files = strand("video")
    take(made, [picture(0, key=True), picture(0.03)])
    made.add("audio")
    take(made, [sound(0.05), picture(0.06), sound(0.07)])
    assert len(files) == 1 and made.wants_keyframe
    assert files[0].times("video") == [0, 0.03, 0.06], "video goes on meanwhile"
    take(made, [picture(0.1, key=True), sound(0.11)])
    assert not made.wants_keyframe
    assert files[1].times("audio") == [0.05, 0.07, 0.11] and files[1].times("video") == [0.1]
    assert files[1].layout.origin == 0.05


def test_no_keyframe_for_new_sound_is_waited_for_two_seconds() -> None:
    made, files = strand("video")
    take(made, [picture(0, key=True)])
    made.add("audio")
    take(made, [frame for time in times(0.1, 2.3, 0.1) for frame in (sound(time), picture(time + 0.01))])
    assert [file.layout.video is not None for file in files] == [True, False]
    assert made.wants_keyframe
    take(made, [picture(2.4, key=True), sound(2.4)])
    assert files[2].layout.video is not None and files[2].layout.audio == OPUS


def test_vp8_changes_its_size_within_a_file_and_h264_does_not() -> None:
    made, files = strand("video")
    take(made, [picture(0, key=True), picture(1, key=True, size=(320, 240)), picture(2)])
    assert len(files) == 1
    made, files = strand("video", "audio")
    take(made, [sound(0), picture(0, H264, key=True), picture(0.5, H264), picture(1, H264, key=True), sound(1)])
    assert len(files) == 1
    take(made, [picture(2, H264, key=True, size=(320, 240)), sound(2.01), picture(2.03, H264)])
    assert len(files) == 2
    assert files[1].layout.video is not None and files[1].layout.video.width == 320
    assert files[1].layout.audio == OPUS and files[1].times("audio") == [2.01]


def test_another_codec_begins_another_file() -> None:
    made, files = strand("video", "audio")
    take(made, [sound(0), picture(0, key=True), picture(0.03, H264), picture(0.06, H264, key=True), sound(0.08)])
    assert [file.layout.video.codec.name for file in files if file.layout.video] == ["VP8", "H264"]
    assert files[0].dropped == 1
    made, files = strand("audio")
    take(made, [sound(0), sound(0.02, PCMU), sound(0.04, PCMU)])
    assert [len(file.times("audio")) for file in files] == [1, 2]


def test_a_replaced_track_goes_on_in_the_same_file_from_its_keyframe() -> None:
    made, files = strand("video", "audio")
    take(made, [sound(0), picture(0, key=True), picture(0.03)])
    made.remove("video")
    take(made, [sound(0.5)])
    made.add("video")
    assert made.wants_keyframe
    take(made, [picture(1.0), picture(1.03, key=True), picture(1.06), sound(1.1)])
    assert len(files) == 1 and files[0].times("video") == [0, 0.03, 1.03, 1.06]


def test_a_pause_stays_in_the_file() -> None:
    made, files = strand("video", "audio")
    take(made, [sound(0), picture(0, key=True), picture(0.03), picture(60), sound(60), sound(60.02)])
    assert len(files) == 1 and files[0].times("video") == [0, 0.03, 60]


def test_sound_that_fell_silent_long_ago_gets_no_stream() -> None:
    made, files = strand("video", "audio")
    take(made, [sound(0), picture(0, H264, key=True), picture(60, H264, key=True, size=(320, 240))])
    assert [file.layout.audio for file in files] == [OPUS, None]


def test_what_was_held_back_is_written_at_the_end() -> None:
    made, files = strand("audio", "video")
    take(made, [sound(0), sound(0.02)])
    made.end()
    made.end()
    assert files[0].times("audio") == [0, 0.02] and files[0].closed


def test_a_track_that_leaves_is_not_waited_for() -> None:
    made, files = strand("audio", "video")
    take(made, [sound(0)])
    made.remove("video")
    assert len(files) == 1 and not made.wants_keyframe


def test_no_media_no_file() -> None:
    made, files = strand("audio", "video")
    take(made, [picture(0), picture(1), replace(sound(1), data=b""), sound(1, Codec("telephone-event", 8000))])
    made.end()
    assert files == []


def test_an_idr_without_parameter_sets_is_no_start() -> None:
    made, files = strand("video")
    take(made, [replace(picture(0, H264, key=True), data=b"\0\0\1\x65\x88")])
    assert files == [] and made.wants_keyframe


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("add", "remove", "frame", "frame", "frame", "frame")),
        st.sampled_from((VP8, H264, OPUS, OPUS, PCMU)),
        st.booleans(),
        st.sampled_from(((640, 480), (320, 240))),
        st.sampled_from((0.0, 0.02, 0.02, 0.02, 0.5, 3.0)),
    ),
    max_size=60,
)


@given(EVENTS, st.sampled_from((None, 1.0)))
def test_whatever_happens_files_keep_the_rules_and_the_sound(
    events: list[tuple[str, Codec, bool, tuple[int, int], float]], segment: float | None
) -> None:
    made, files = strand(segment=segment)
    now, heard = 0.0, []
    for what, codec, key, size, step in events:
        now += step
        frame = picture(now, codec, key=key, size=size) if codec in (VP8, H264) else sound(now, codec)
        if what == "add":
            made.add(kind_of(frame))
        elif what == "remove":
            made.remove(kind_of(frame))
        else:
            take(made, [frame])
            heard += [frame] if kind_of(frame) == "audio" else []
    made.end()
    assert all(file.closed for file in files)
    written = [frame for file in files for kind, frame in file.frames if kind == "audio"]
    assert len(set(map(id, written))) == len(written)
    missing = [frame for frame in heard if id(frame) not in set(map(id, written))]
    for frame in missing:  # only a moment before the first picture of the first file
        assert 0 < files[0].layout.origin - frame.time <= 0.25 and files[0].times("video")[0] == files[0].layout.origin


def test_sound_that_was_held_back_long_is_still_written() -> None:
    made, files = strand("video")
    take(made, [sound(0), picture(6)])
    assert [file.times("audio") for file in files] == [[0]]


def test_in_mp4_another_size_is_another_file() -> None:
    for codec, expected in ((VP8, 1), (H264, 2)):  # VP8 goes to Matroska, whatever was asked for
        made, files = strand("video", wanted="mp4")
        take(made, [picture(0, codec, key=True), picture(1, codec, key=True, size=(320, 240)), picture(2, codec)])
        assert len(files) == expected


def test_a_segment_ends_at_the_first_keyframe_after_its_length() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, [picture(0, key=True), sound(0)])
    take(made, merge([sound(time) for time in times(0.1, 10, 0.1)], [picture(time) for time in times(0.05, 9.9, 0.1)]))
    take(made, [picture(9.95, key=True)])
    assert not made.wants_keyframe and len(files) == 1
    take(made, [picture(10.05)])
    assert made.wants_keyframe, "the boundary is past"
    take(made, [sound(10.1), sound(10.2), picture(10.15), sound(10.3)])
    assert files[0].times("audio")[-1] == 10.1, "sound is held back that the keyframe may turn out to be older than"
    take(made, [picture(10.25, key=True), picture(10.35), sound(10.4), picture(10.45)])
    assert not made.wants_keyframe
    made.end()
    first, second = files
    assert first.times("audio")[-1] == 10.2 and first.times("video")[-1] == 10.15
    assert second.layout.origin == 10.25 and second.times("video") == [10.25, 10.35, 10.45]
    assert second.times("audio") == [10.3, 10.4]


def test_sound_that_is_behind_the_keyframe_belongs_to_the_old_segment() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, [picture(0, key=True), sound(0), sound(10.0), picture(10.2, key=True), picture(10.3), sound(10.1)])
    assert len(files) == 1, "sound is still behind"
    take(made, [sound(10.2)])
    assert len(files) == 2
    made.end()
    assert [file.times("audio") for file in files] == [[0, 10.0, 10.1], [10.2]]
    assert [file.times("video") for file in files] == [[0], [10.2, 10.3]]


def test_sound_is_waited_for_half_a_second_at_a_cut() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, [picture(0, key=True), sound(0), sound(9.9), picture(10, key=True), picture(10.4)])
    assert len(files) == 1
    take(made, [picture(10.5)])
    assert len(files) == 2 and files[1].layout.audio == OPUS and files[1].times("video") == [10, 10.4, 10.5]
    take(made, [sound(9.92)])
    assert files[1].times("audio") == [9.92], "it keeps its place"


def test_sound_alone_is_cut_anywhere() -> None:
    for expected in (("audio",), ("audio", "video")):  # a camera that was never switched on changes nothing
        made, files = strand(*expected, segment=2.5)
        take(made, [sound(index / 50) for index in range(400)])
        made.end()
        assert [len(file.times("audio")) for file in files] == [125, 125, 125, 25]
        assert [file.layout.origin for file in files] == [0, 2.5, 5.0, 7.5]


def test_pictures_alone_are_cut_at_keyframes() -> None:
    made, files = strand("video", segment=2.0)
    take(made, [picture(index / 10, key=index % 15 == 0) for index in range(100)])
    made.end()
    assert [file.layout.origin for file in files] == [0, 3.0, 6.0, 9.0]
    assert sum(len(file.times("video")) for file in files) == 100


def test_a_camera_that_was_switched_off_does_not_hold_up_the_cut() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, merge([picture(0, key=True), picture(5)], [sound(time) for time in times(0, 13, 0.02)]))
    made.end()
    assert [file.layout.video is not None for file in files] == [True, False]
    assert len(files[0].times("audio")) + len(files[1].times("audio")) == 650
    assert 11.4 <= files[1].layout.origin <= 12.1, "a keyframe was waited for"


@pytest.mark.parametrize("behind", [-2.5, 0.6, 3.0, 8.0])
def test_clocks_that_come_apart_do_not_make_a_file_of_every_second(behind: float) -> None:
    """One stream seems to be gone, as the other is seconds ahead, and is there."""
    files: list[Kept] = []

    def open_file(layout: Layout) -> Kept:
        files.append(Kept(layout))
        return files[-1]

    strand = Strand(open_file, expect=("audio", "video"), segment=10.0)
    for number in range(60 * 30):
        strand.take("video", picture(20 + number / 30, key=number % 30 == 0))
        if number % 3 != 2:
            strand.take("audio", sound(20 + number / 30 - behind))
    strand.end()
    assert len(files) <= 9
    assert sum(len(file.times("video")) for file in files) == 60 * 30
    assert sum(len(file.times("audio")) for file in files) >= 60 * 20 - 20


def test_a_sender_that_gives_no_keyframe_keeps_its_file() -> None:
    made, files = strand("audio", "video", segment=1.0)
    take(made, [picture(0, key=True), sound(0)])
    take(made, [frame for time in times(0.1, 20, 0.1) for frame in (sound(time), picture(time + 0.01))])
    assert len(files) == 1 and made.wants_keyframe
    made.end()
    assert len(files) == 1 and len(files[0].times("audio")) == 200 == len(files[0].times("video"))


def test_after_a_long_pause_the_keyframe_is_waited_for() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, [picture(0, key=True), sound(0), sound(40), picture(40.01), sound(40.02), picture(40.5, key=True)])
    take(made, [sound(40.5)])
    made.end()
    assert [file.times("video") for file in files] == [[0, 40.01], [40.5]]
    assert [file.times("audio") for file in files] == [[0, 40, 40.02], [40.5]]


def test_one_mad_time_costs_no_picture() -> None:
    made, files = strand("audio", "video", segment=10.0)
    take(made, [picture(0, key=True), sound(0), sound(1e9), picture(0.1), sound(0.1), picture(0.2), sound(0.2)])
    made.end()
    assert len(files) == 1 and files[0].times("video") == [0, 0.1, 0.2], "video goes on where it is"


def merge(*streams: list[EncodedFrame]) -> list[EncodedFrame]:
    return sorted((frame for stream in streams for frame in stream), key=lambda frame: frame.time)


@given(
    st.floats(-0.4, 0.4),
    st.sets(st.integers(1, 149), max_size=12),
    st.floats(1.0, 4.0),
    st.sampled_from((VP8, H264)),
    st.sets(st.integers(1, 149), max_size=2),
)
def test_no_frame_is_lost_or_doubled_at_a_cut(
    skew: float, keyframes: set[int], segment: float, codec: Codec, resized: set[int]
) -> None:
    """Sound arrives up to 0.4 s before or after the picture of the same moment; keyframes come when asked for, too."""
    small = False
    pictures = []
    for index in range(150):
        small ^= index in resized
        key = index == 0 or index in keyframes | resized
        pictures.append(picture(index / 15, codec, key=key, size=(320, 240) if small else (640, 480)))
    arrivals = [(frame.time, frame) for frame in pictures]
    arrivals += [(index / 50 + skew, sound(index / 50)) for index in range(500)]
    made, files = strand("audio", "video", segment=segment)
    for _, frame in sorted(arrivals, key=lambda arrival: arrival[0]):
        if kind_of(frame) == "video" and made.wants_keyframe:
            size = next((one.width, one.height) for one in reversed(pictures) if one.time <= frame.time and one.width)
            take(made, [picture(frame.time, codec, key=True, size=size)])
        else:
            take(made, [frame])
    made.end()
    written = [time for file in files for time in file.times("video")]
    assert written == [frame.time for frame in pictures]
    heard = [time for file in files for time in file.times("audio")]
    all_sound = [index / 50 for index in range(500)]
    assert heard == all_sound[len(all_sound) - len(heard) :] and heard[0] <= 0.25, "a moment before the first picture"
    for file in files[1:]:
        # A file that has to begin before sound has caught up leaves it its place.
        lead = min(file.times("video") + file.times("audio")) - file.layout.origin
        assert 0 <= lead < 0.5 if resized else lead == 0
