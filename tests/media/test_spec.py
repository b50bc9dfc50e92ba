"""Every source has one spelling; whatever is wrong is said in a sentence that ends in what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.errors import UsageError
from peer.media.spec import SourceSpec, parse_source


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("none", SourceSpec("none")),
        ("test", SourceSpec("test")),
        (" test ", SourceSpec("test")),
        ("test:1280x720@25", SourceSpec("test", width=1280, height=720, fps=25.0)),
        ("test:320x240", SourceSpec("test", width=320, height=240)),
        ("test:@7.5", SourceSpec("test", fps=7.5)),
        ("camera", SourceSpec("camera")),
        ("camera:/dev/video2", SourceSpec("camera", "/dev/video2")),
        ("display", SourceSpec("display")),
        ("display::99.0", SourceSpec("display", ":99.0")),
        ("file:clip.webm", SourceSpec("file", "clip.webm")),
        ("file:C:\\a b,c.mp4,loop", SourceSpec("file", "C:\\a b,c.mp4", loop=True)),
        ("lavfi:testsrc=size=64x64", SourceSpec("lavfi", "testsrc=size=64x64")),
    ],
)
def test_pictures(text: str, spec: SourceSpec) -> None:
    assert parse_source(text, "video") == spec
    assert parse_source(str(spec), "video") == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("none", SourceSpec("none")),
        ("test", SourceSpec("test")),
        ("microphone", SourceSpec("microphone")),
        ("microphone:plughw:CARD=PCH,DEV=0", SourceSpec("microphone", "plughw:CARD=PCH,DEV=0")),
        ("file:a.opus,loop", SourceSpec("file", "a.opus", loop=True)),
    ],
)
def test_sound(text: str, spec: SourceSpec) -> None:
    assert parse_source(text, "audio") == spec
    assert parse_source(str(spec), "audio") == spec


@pytest.mark.parametrize(
    ("text", "medium", "says"),
    [
        ("camera", "audio", "use --audio microphone"),
        ("camera:0", "audio", "use --audio microphone"),
        ("display", "audio", "use --audio microphone"),
        ("microphone", "video", "use --video camera"),
        ("test:640x480", "audio", "use --audio test"),
        ("test:", "video", "write it like test:1280x720@30"),
        ("test:big", "video", "write it like test:1280x720@30"),
        ("test:641x480", "video", "use even numbers"),
        ("test:20x20", "video", "use even numbers"),
        ("test:99999x480", "video", "use even numbers"),
        ("test:640x480@0", "video", "use 1 to 120"),
        ("test:640x480@500", "video", "use 1 to 120"),
        ("none:x", "video", "leave ':x' away"),
        ("file:", "video", "write it like file:clip.webm"),
        ("file:,loop", "audio", "write it like file:clip.webm"),
        ("clip.webm", "video", "write file:clip.webm"),
        ("clip.webm,loop", "video", "write file:clip.webm,loop"),
        ("webcam", "video", "use test[:WIDTHxHEIGHT@FPS], camera"),
        ("", "audio", "use test, microphone"),
        ("lavfi:", "video", "use test[:WIDTHxHEIGHT@FPS]"),
    ],
)
def test_what_is_wrong_is_said(text: str, medium: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text, medium)  # type: ignore[arg-type]
    assert says in str(caught.value)


@given(text=st.text(max_size=40), medium=st.sampled_from(["video", "audio"]))
def test_any_text_is_a_source_or_a_usage_error(text: str, medium: str) -> None:
    try:
        spec = parse_source(text, medium)  # type: ignore[arg-type]
    except UsageError:
        return
    assert parse_source(str(spec), medium) == spec  # type: ignore[arg-type]
