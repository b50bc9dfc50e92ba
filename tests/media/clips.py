"""Small clips for the tests: numbered pictures and a tone, encoded with PyAV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import av.bitstream
import numpy as np

from peer.media.marks import stamp
from tests.harness.encoders import one_thread

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT, FPS = 320, 240, 25


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An RGB picture that carries `number`."""
    array = np.full((height, width, 3), 96, np.uint8)
    array[: height // 2, :, 0] = np.linspace(0, 255, width, dtype=np.uint8)
    stamp(array, number)
    return array


def webm(path: Path, pictures: int = 25, *, sound: bool = True, video: bool = True) -> Path:
    """VP8 and Opus."""
    return _clip(path, pictures, "libvpx", "libopus" if sound else None, {"deadline": "realtime"}, video=video)


def mp4(path: Path, pictures: int = 25) -> Path:
    """H.264 with B-frames, so that pictures are stored out of order, and AAC."""
    return _clip(path, pictures, "libx264", "aac", {"preset": "ultrafast", "bf": "2", "b-pyramid": "none"}, video=True)


def turned(path: Path, original: Path) -> Path:
    """`original` (H.264) with the note that it is to be turned by a quarter, as telephones write it."""
    with av.open(str(original)) as source, av.open(str(path), "w") as container:
        given = source.streams.video[0]
        stream = container.add_stream_from_template(given)
        note = av.bitstream.BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=90", given)
        for packet in source.demux(given):
            for noted in note.filter(packet if packet.size else None):
                noted.stream = stream
                container.mux(noted)
    return path


def _clip(
    path: Path, pictures: int, codec: str, sound_codec: str | None, options: dict[str, str], *, video: bool
) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = None
        if video:
            stream = container.add_stream(codec, rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 1_000_000
            one_thread(stream.codec_context)
        sound: Any = container.add_stream(sound_codec, rate=48_000, layout="mono") if sound_codec else None
        if stream is not None:
            for number in range(pictures):
                frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if sound is not None:
            samples = 48_000 * pictures // FPS
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(samples) / 48_000)).astype(np.int16)
            for start in range(0, samples, 960):
                piece = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
                piece.sample_rate, piece.pts = 48_000, start
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return path
