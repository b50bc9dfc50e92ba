"""Speech is cut where it begins, where it pauses, and where it goes on for too long; nothing of it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.segments import FRAME, RATE, SECONDS, Began, Segmentation, Segmenter, Utterance

HOW = Segmentation(pause=4 * SECONDS, minimum=2 * SECONDS, maximum=20 * SECONDS, padding=1 * SECONDS)


def run(pattern: str, how: Segmentation = HOW) -> list[tuple[int, Began | Utterance]]:
    """What comes about at which frame; `#` is speech, `.` silence, `-` may be either. Frame n holds the number n."""
    segmenter = Segmenter(how)
    out = []
    for number, sign in enumerate(pattern):
        frame = np.full(FRAME, number, np.int16)
        if (found := segmenter.feed(frame, {"#": 0.9, ".": 0.1, "-": 0.4}[sign], number * SECONDS)) is not None:
            out.append((number, found))
    return out


def numbers(utterance: Utterance) -> list[int]:
    """The frames that it is made of."""
    return [int(n) for n in utterance.pcm[::FRAME]]


def test_speech_begins_when_it_is_no_click_and_ends_after_a_pause() -> None:
    (at, began), (end, utterance) = run("....##########.....")
    assert isinstance(began, Began) and isinstance(utterance, Utterance)
    assert at == 5 and began.start == pytest.approx(3 * SECONDS)  # the frame before the first is kept
    assert end == 17 and numbers(utterance) == list(range(3, 15))
    assert (utterance.start, utterance.end) == pytest.approx((3 * SECONDS, 15 * SECONDS))
    assert utterance.pcm.dtype == np.int16 and len(utterance.pcm) == 12 * FRAME


def test_a_click_is_nothing() -> None:
    assert run("..#...#..#......") == []


def test_a_short_pause_is_part_of_it_and_a_soft_sound_too() -> None:
    found = run("..##...##----##....")
    assert [type(each).__name__ for _, each in found] == ["Began", "Utterance"]
    utterance = found[1][1]
    assert isinstance(utterance, Utterance) and numbers(utterance) == list(range(1, 16))


def test_a_soft_sound_alone_begins_nothing() -> None:
    assert run("------------") == []


def test_who_speaks_on_begins_another_one_at_once() -> None:
    found = run("#" * 30 + "....")
    assert [(at, type(each).__name__) for at, each in found] == [
        (1, "Began"),
        (19, "Utterance"),
        (20, "Began"),
        (33, "Utterance"),
    ]
    first, second = found[1][1], found[3][1]
    assert isinstance(first, Utterance) and isinstance(second, Utterance)
    assert numbers(first) + numbers(second) == list(range(31))


def test_the_silence_between_two_belongs_to_both_only_once() -> None:
    found = run("##....##....")
    first, second = (each for _, each in found if isinstance(each, Utterance))
    assert numbers(first) == [0, 1, 2] and numbers(second) == [5, 6, 7, 8]


def test_what_is_broken_off_is_given_as_it_is() -> None:
    segmenter = Segmenter(HOW)
    assert segmenter.break_off() is None
    for number in range(3):
        segmenter.feed(np.zeros(FRAME, np.int16), 1.0, float(number))
    utterance = segmenter.break_off()
    assert utterance is not None and len(utterance.pcm) == 3 * FRAME and not segmenter.speaking
    assert segmenter.break_off() is None


def test_no_padding_at_all() -> None:
    how = Segmentation(pause=2 * SECONDS, minimum=SECONDS, maximum=20 * SECONDS, padding=0)
    (_, _), (_, utterance) = run(".##..", how)
    assert isinstance(utterance, Utterance) and numbers(utterance) == [1, 2]


def test_the_defaults() -> None:
    (at, _), (_, utterance) = run("." * 50 + "#" * 50 + "." * 50, Segmentation())
    assert at == 52 and isinstance(utterance, Utterance)
    assert len(utterance.pcm) / RATE == pytest.approx(50 * SECONDS + 0.4, abs=2 * SECONDS)


@given(st.text("#.-", max_size=200), st.integers(0, 5), st.integers(1, 5), st.integers(1, 5), st.integers(6, 30))
def test_whatever_comes_beginnings_and_ends_alternate_and_no_frame_comes_twice(
    pattern: str, padding: int, minimum: int, pause: int, maximum: int
) -> None:
    how = Segmentation(
        padding=padding * SECONDS, minimum=minimum * SECONDS, pause=pause * SECONDS, maximum=maximum * SECONDS
    )
    found = [each for _, each in run(pattern, how)]
    assert all(isinstance(each, (Began, Utterance)[index % 2]) for index, each in enumerate(found))
    utterances = [each for each in found if isinstance(each, Utterance)]
    taken = [number for utterance in utterances for number in numbers(utterance)]
    assert taken == sorted(set(taken))
    assert all(len(each.pcm) <= (maximum + padding + minimum) * FRAME for each in utterances)
    begun = [each for each in found if isinstance(each, Began)]
    assert all(one.start == other.start for one, other in zip(begun, utterances, strict=False))
