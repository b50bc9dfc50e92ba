"""Programs that use aiortc's players, recorders, relays and blackholes."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from aiortc.contrib.media import MediaBlackhole, MediaPlayer, MediaRecorder, MediaRelay

from tests.dropin.kit import (
    GREEN,
    RED,
    Colour,
    Tone,
    collected,
    colour_of,
    coming,
    connect,
    ended,
    flows,
    in_state,
    picture,
    sound,
    source,
    within,
)
from tests.harness.encoders import REALTIME, one_thread

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dropin.kit import Make


async def some(tracks: list[Any]) -> None:
    await asyncio.gather(*(flows(track) for track in tracks))


async def test_what_comes_goes_into_a_blackhole(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for kind in ("audio", "video"):
        caller.addTrack(source(kind))
    hole = MediaBlackhole()
    callee.on("track", hole.addTrack)
    over = [coming(callee, "track")]
    await connect(caller, callee)
    await hole.start()
    ends = coming(await within(over[0]), "ended")
    await caller.close()
    await within(ends)
    await hole.stop()


async def test_a_call_is_recorded(make_caller: Make, make_callee: Make, tmp_path: Path) -> None:
    """One file for each kind: aiortc's recorder loses pictures that begin well after the sound of the same file."""
    caller, callee = make_caller(), make_callee()
    relay, watched = MediaRelay(), list[Any]()
    files = {"audio": tmp_path / "sound.wav", "video": tmp_path / "pictures.mp4"}
    recorders = {kind: MediaRecorder(str(path)) for kind, path in files.items()}
    for kind in files:
        caller.addTrack(source(kind))

    @callee.on("track")
    def on_track(track: Any) -> None:
        recorders[track.kind].addTrack(relay.subscribe(track))
        watched.append(relay.subscribe(track))

    await connect(caller, callee)
    for recorder in recorders.values():
        await recorder.start()
    for _ in range(4):
        await some(watched)
    for recorder in recorders.values():
        await recorder.stop()
    await caller.close()
    await in_state("closed", callee)
    for track in watched:
        await ended(track)
    with av.open(str(files["audio"])) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 3 * Tone.SAMPLES
    with av.open(str(files["video"])) as container:
        assert {colour_of(frame) for frame in container.decode(video=0)} == {RED}


async def test_one_track_goes_to_several_consumers(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    told = coming(callee, "track")
    await connect(caller, callee)
    track, relay = await within(told), MediaRelay()
    consumers = [relay.subscribe(track), relay.subscribe(track), relay.subscribe(track, buffered=False)]
    await some(consumers)
    consumers.pop().stop()
    await some(consumers)
    await caller.close()
    await asyncio.gather(*(ended(each) for each in consumers))


async def test_one_source_goes_into_two_calls(make_caller: Make, make_callee: Make) -> None:
    relay, colour = MediaRelay(), Colour(GREEN)
    seen = []
    for _ in range(2):
        caller, callee = make_caller(), make_callee()
        caller.addTrack(relay.subscribe(colour))
        told = coming(callee, "track")
        await connect(caller, callee)
        seen.append(await within(told))
    await asyncio.gather(*(picture(track, GREEN) for track in seen))
    colour.stop()


def write_clip(path: Path) -> None:
    """Half a second of a tone and of red, then the file ends."""
    with av.open(str(path), "w") as container:
        pictures: Any = container.add_stream("libx264", rate=30)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        pictures.options = {"preset": "ultrafast", "tune": "zerolatency"}
        sounds: Any = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), RED, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        tone = (np.sin(np.arange(24576) * 440 * 2 * np.pi / 48000) * 0.3).astype(np.float32)
        for start in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sounds.encode(piece))
        container.mux(sounds.encode(None))


async def test_a_file_is_played_into_a_call(make_caller: Make, make_callee: Make, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    await asyncio.to_thread(write_clip, path)
    player = MediaPlayer(str(path))
    caller, callee = make_caller(), make_callee()
    caller.addTrack(player.audio)
    caller.addTrack(player.video)
    arriving = collected(callee, "track")
    await connect(caller, callee)
    tracks = {track.kind: track for track in (arriving.get_nowait(), arriving.get_nowait())}
    await asyncio.gather(sound(tracks["audio"]), picture(tracks["video"], RED))
    await caller.close()
    assert (player.audio.readyState, player.video.readyState) == ("ended", "ended")


async def test_a_recorded_packet_is_played_undecoded(make_caller: Make, make_callee: Make, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"

    def write() -> None:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("libvpx", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.options = REALTIME
            one_thread(stream.codec_context)
            for number in range(15):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), RED, np.uint8))
                frame.pts, frame.time_base = number, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    await asyncio.to_thread(write)
    player = MediaPlayer(str(path), decode=False)
    caller, callee = make_caller(), make_callee()
    caller.addTrack(player.video)
    told = coming(callee, "track")
    await connect(caller, callee)
    await picture(await within(told), RED)


async def test_the_other_side_is_recorded_and_played_to(make_caller: Make, make_callee: Make, tmp_path: Path) -> None:
    """A player at one end, a recorder at the other, and what was recorded played into a second call."""
    path = tmp_path / "first.wav"
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone(880))
    recorder, relay = MediaRecorder(str(path)), MediaRelay()
    told = coming(callee, "track")
    await connect(caller, callee)
    track = await within(told)
    recorder.addTrack(relay.subscribe(track))
    watched = relay.subscribe(track)
    await recorder.start()
    for _ in range(8):
        await sound(watched, 880)
    await recorder.stop()
    await caller.close()
    await ended(watched)
    player = MediaPlayer(str(path))
    again, other = make_callee(), make_caller()
    again.addTrack(player.audio)
    second = coming(other, "track")
    await connect(again, other)
    await sound(await within(second), 880)
