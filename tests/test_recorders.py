"""Which call goes into which recording, and from when on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from peer.recorders import Recorders

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorder:
    closed = False
    video_codecs = ("VP8",)


class Call:
    open = False
    on_open: Callable[[], None]

    def __init__(self, name: str) -> None:
        self.name = name
        self.announced = 0
        self.preferred: tuple[str, ...] = ()
        self.recorded: list[Any] = []

    def announce_recording(self) -> None:
        self.announced += 1

    def prefer(self, codecs: tuple[str, ...]) -> None:
        self.preferred = codecs

    def record(self, recorder: Any) -> None:
        self.recorded.append(recorder)


@pytest.mark.parametrize(("only", "wanted"), [(None, True), (["alice"], True), (["bob"], False)])
def test_a_call_is_recorded_from_the_moment_at_which_media_can_flow(only: list[str] | None, *, wanted: bool) -> None:
    recorders, recorder, call = Recorders(), Recorder(), Call("alice")
    recorders.add(recorder, only, [])  # type: ignore[arg-type]
    recorders.made(call)  # type: ignore[arg-type]
    assert (call.announced, call.recorded) == (int(wanted), [])
    call.on_open()
    assert call.recorded == [recorder] * wanted


def test_a_recorder_that_comes_later_is_no_less_for_a_call_to_be() -> None:
    recorders, recorder, call = Recorders(), Recorder(), Call("alice")
    recorders.made(call)  # type: ignore[arg-type]
    recorders.add(recorder, None, [call])  # type: ignore[arg-type,list-item]
    assert call.announced == 1
    call.on_open()
    assert call.recorded == [recorder]
