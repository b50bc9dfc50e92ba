"""Of a simulcast the largest layer that flows is shown; changes come at keyframes only."""

from __future__ import annotations

from peer.rtc.layers import ASK_AGAIN, SILENT, LayerChoice

SMALL, MIDDLE, LARGE = (320, 180), (640, 360), (1280, 720)


def test_the_first_keyframe_is_shown_whatever_its_layer() -> None:
    choice = LayerChoice()
    assert not choice.take("q", None, 0.0), "nobody can begin with a frame that is no keyframe"
    assert choice.take("q", SMALL, 0.1) and choice.shown == "q"
    assert choice.take("q", None, 0.2)


def test_a_larger_layer_takes_over_with_its_keyframe() -> None:
    choice = LayerChoice()
    choice.take("q", SMALL, 0.0)
    assert not choice.take("h", None, 0.1)
    assert choice.take("h", MIDDLE, 0.2) and choice.shown == "h"
    assert not choice.take("q", None, 0.2) and not choice.take("q", SMALL, 0.3)
    assert choice.take("f", LARGE, 0.4) and choice.shown == "f"


def test_a_layer_of_the_same_size_changes_nothing() -> None:
    choice = LayerChoice()
    choice.take("a", MIDDLE, 0.0)
    assert not choice.take("b", MIDDLE, 0.1)


def test_when_the_shown_layer_falls_silent_a_smaller_one_takes_over() -> None:
    choice = LayerChoice()
    choice.take("f", LARGE, 0.0)
    assert not choice.take("q", SMALL, SILENT)
    assert choice.take("q", SMALL, SILENT + 0.1) and choice.shown == "q"
    assert choice.take("f", LARGE, SILENT + 0.2) and choice.shown == "f"


def test_a_keyframe_is_asked_of_a_layer_that_would_be_shown() -> None:
    choice = LayerChoice()
    choice.take("q", SMALL, 0.0)
    choice.take("h", None, 0.1)
    assert choice.wants_keyframe("h", 0.1), "how large it is nobody knows yet"
    assert not choice.wants_keyframe("h", 0.2)
    assert choice.wants_keyframe("h", 0.1 + ASK_AGAIN)
    assert not choice.wants_keyframe("q", 5.0), "it is the one that is shown"


def test_no_keyframe_is_asked_of_a_smaller_layer_while_the_larger_flows() -> None:
    choice = LayerChoice()
    choice.take("q", SMALL, 0.0)
    choice.take("h", MIDDLE, 0.1)
    choice.take("q", None, 0.5)
    assert not choice.wants_keyframe("q", 0.5)
    choice.take("q", None, 0.1 + SILENT + 0.1)
    assert choice.wants_keyframe("q", 0.1 + SILENT + 0.1)


def test_a_layer_may_change_its_size() -> None:
    choice = LayerChoice()
    choice.take("q", MIDDLE, 0.0)
    choice.take("h", SMALL, 0.1)
    choice.take("q", (160, 90), 0.2)
    assert choice.take("h", SMALL, 0.3) and choice.shown == "h"


def test_what_is_known_of_the_layers() -> None:
    choice = LayerChoice()
    choice.take("q", SMALL, 0.0)
    choice.take("q", (0, 0), 0.5)
    layer = choice.layers["q"]
    assert (layer.rid, layer.width, layer.height, layer.area, layer.frames, layer.last_frame) == (
        *("q", 320, 180, 57600, 2, 0.5),
    )
