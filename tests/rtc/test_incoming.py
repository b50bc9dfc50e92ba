"""A remote track for programs written for aiortc: decoded when it is read, on one timeline, mute and ended in time."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest
from aiortc import MediaStreamError, MediaStreamTrack

from peer.rtc.clock import ParticipantClock
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.incoming import IncomingTrack
from peer.rtc.receiver import RemoteTrack
from peer.rtc.takers import BEGINNING_FRAMES
from tests.rtc.packets import opus, pictures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from peer.rtc.frames import Kind

OPUS, PCMU, VP8 = Codec("opus", 48000, 2, 111), Codec("PCMU", 8000, 1, 0), Codec("VP8", 90000, 1, 96)
PICTURES = [each[1:] for each in pictures(3)]  # without the payload descriptor
(SILENCE,) = opus()
Make = Any


class Out:
    """Feedback that goes nowhere."""

    def nack(self, media_ssrc: int, lost: list[int]) -> None: ...
    def pli(self, media_ssrc: int) -> None: ...
    def round_trip_time(self) -> None: ...


@pytest.fixture
async def make() -> AsyncIterator[Callable[[Kind], IncomingTrack]]:
    made: list[IncomingTrack] = []

    def one(kind: Kind) -> IncomingTrack:
        remote = RemoteTrack(kind, Out(), ParticipantClock(), lambda now: None)  # type: ignore[arg-type]
        made.append(IncomingTrack(remote))
        return made[-1]

    yield one
    for each in made:
        each.remote.end()
        await each.remote.finish()


def sound(track: IncomingTrack, timestamp: int, at: float, codec: Codec = OPUS) -> None:
    data = SILENCE if codec is OPUS else b"\xff" * 160
    track.remote.emit(EncodedFrame(codec, data, timestamp, at))


async def received(track: IncomingTrack) -> Any:
    return await asyncio.wait_for(track.recv(), 10)


async def begun(track: IncomingTrack) -> asyncio.Task[Any]:
    """A reader that waits already."""
    reading = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    return reading


async def test_it_is_a_track_of_aiortc(make: Make) -> None:
    track = make("audio")
    assert isinstance(track, MediaStreamTrack) and (track.kind, track.readyState) == ("audio", "live")
    before = track.id
    assert track.named("").id == before
    assert track.named("theirs").id == "theirs"


async def test_nothing_is_decoded_before_it_is_read(make: Make) -> None:
    track = make("video")
    for number, data in enumerate(PICTURES):
        track.remote.emit(EncodedFrame(VP8, data, number * 3000, number / 30, number == 0))
    assert track.remote.stats().frames_decoded == 0 and len(asyncio.all_tasks()) == 1
    frame = await received(track)
    assert isinstance(frame, av.VideoFrame) and (frame.width, frame.height) == (64, 48)


async def test_who_reads_soon_gets_it_from_its_beginning_on(make: Make) -> None:
    """A sender that has sent its keyframe may not send another."""
    track = make("video")
    for number, data in enumerate(PICTURES):
        track.remote.emit(EncodedFrame(VP8, data, number * 3000, number / 30, number == 0))
    assert [(await received(track)).pts for _ in PICTURES] == [0, 3000, 6000]


async def test_who_reads_late_gets_what_comes_then(make: Make) -> None:
    track = make("audio")
    for number in range(BEGINNING_FRAMES + 1):
        sound(track, number * 960, number / 50)
    assert vars(track.remote)["_beginning"] is None
    reading = await begun(track)
    sound(track, 960_000, 20.0)
    await asyncio.wait_for(reading, 10)
    assert track.remote.stats().frames_decoded == 1


async def test_sound_is_interleaved_16_bit(make: Make) -> None:
    track = make("audio")
    sound(track, 0, 0.0)
    frame = await received(track)
    assert (frame.format.name, frame.layout.name, frame.sample_rate, frame.samples) == ("s16", "stereo", 48000, 960)
    assert frame.time_base == Fraction(1, 48000)


async def test_times_never_run_backwards_over_switches(make: Make) -> None:
    """The SSRC, its random RTP timestamps, the codec and with it the clock change; a second of 48 kHz stays one."""
    track = make("audio")
    read = []
    switches = [
        (OPUS, 10_000, 0.0),
        (OPUS, 10_960, 0.02),
        (OPUS, 4_000_000_000, 0.04),  # another stream
        (OPUS, 4_000_000_960, 0.06),
        (OPUS, 5, 0.08),  # and another, whose clock is far behind
        (PCMU, 77, 0.10),
        (PCMU, 237, 0.12),
        (OPUS, 1_000_000, 0.14),
        (OPUS, 1_000_000, 0.14),
        (OPUS, 900_000, 0.10),  # and a timeline that ran back
        (OPUS, 900_960, 0.12),
    ]
    for codec, timestamp, at in switches:
        sound(track, timestamp, at, codec)
        read.append((await received(track)).pts)
    assert read == [0, 960, 1920, 2880, 3840, 4800, 5760, 6720, 6720, 6720, 7680]


async def test_a_pause_is_a_gap_in_the_times(make: Make) -> None:
    track = make("audio")
    for timestamp, at in ((0, 0.0), (48_000 * 3, 3.0), (48_000 * 60, 60.0)):
        sound(track, timestamp, at)
        frame = await received(track)
        assert frame.pts * frame.time_base == at


async def test_mute_and_unmute_are_told_once_each(make: Make) -> None:
    track = make("audio")
    told: list[str] = []
    for event in ("mute", "unmute", "ended"):
        track.on(event, lambda event=event: told.append(event))
    assert track.muted
    for muted in (True, False, False, True, True, False):
        track.set_muted(muted=muted)
    track.stop()
    track.set_muted(muted=True)
    track.stop()
    assert told == ["unmute", "mute", "unmute", "ended"] and track.readyState == "ended"


async def test_a_handler_that_raises_breaks_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    track = make("audio")

    def broken() -> None:
        raise RuntimeError("handler")

    for event in ("unmute", "ended"):
        track.on(event, broken)
    track.set_muted(muted=False)
    track.stop()
    assert caplog.text.count("RuntimeError: handler") == 2 and track.readyState == "ended"


async def test_the_end_of_the_stream_ends_who_reads(make: Make) -> None:
    track = make("audio")
    reading = await begun(track)
    ended: Awaitable[Any] = asyncio.get_running_loop().create_future()
    track.on("ended", lambda: ended.set_result(None))  # type: ignore[attr-defined]
    track.remote.end()
    with pytest.raises(MediaStreamError):
        await reading
    await asyncio.wait_for(ended, 10)  # type: ignore[arg-type]
    with pytest.raises(MediaStreamError):
        await received(track)


async def test_a_reader_that_stops_the_track_gets_no_more(make: Make) -> None:
    track = make("audio")
    reading = await begun(track)
    track.stop()
    with pytest.raises(MediaStreamError):
        await reading
    sound(track, 0, 0.0)
    assert track.remote.stats().frames_decoded == 0
