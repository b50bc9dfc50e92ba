"""Sound comes out without holes, by libopus' own concealment or a fade; what was made here is counted as such."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.concealment import SoundCounts
from peer.rtc.decoders import DecodedFrame, SoundDecoder, open_decoder
from peer.rtc.frames import Codec, EncodedFrame
from tests.harness.examples import examples
from tests.rtc.packets import pictures

OPUS, PCMU, G722 = Codec("opus", 48000, 2, 111), Codec("PCMU", 8000, 1, 0), Codec("G722", 8000, 1, 9)
FFMPEG = {"opus": ("libopus", 48000, "stereo"), "PCMU": ("pcm_mulaw", 8000, "mono"), "G722": ("g722", 16000, "mono")}


def tone(codec: Codec, count: int) -> list[EncodedFrame]:
    """A tone of 440 Hz, 20 ms in each frame."""
    name, rate, layout = FFMPEG[codec.name]
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "s16"
    size, channels = rate // 50, 2 if layout == "stereo" else 1
    found: list[bytes] = []
    for number in range(count):
        at = np.arange(number * size, (number + 1) * size) / rate
        pcm = np.repeat((8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16), channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, number * size
        found += [bytes(each) for each in encoder.encode(frame)]
    step = codec.clock_rate // 50
    return [EncodedFrame(codec, data, number * step, number / 50) for number, data in enumerate(found)]


def without(frames: list[EncodedFrame], first: int, count: int, *, lost: bool = True) -> list[EncodedFrame]:
    after = frames[first + count]
    broken = EncodedFrame(after.codec, after.data, after.timestamp, after.time, complete_before=not lost)
    return [*frames[:first], broken, *frames[first + count + 1 :]]


class Heard:
    """What a decoder made of frames."""

    def __init__(self, frames: list[EncodedFrame]) -> None:
        self.counts = SoundCounts()
        decoder = open_decoder(frames[0].codec, self.counts)
        self.frames: list[DecodedFrame] = []
        for frame in frames:
            self.frames += decoder.decode(frame)
        self.rate = self.frames[0].frame.sample_rate  # type: ignore[union-attr]
        parts = [each.frame.to_ndarray() for each in self.frames]
        channels = len(self.frames[0].frame.layout.channels)  # type: ignore[union-attr]
        self.pcm = np.concatenate([part.reshape(-1, channels) for part in parts])[:, 0].astype(int)

    def power(self, start: float, end: float) -> float:
        part = self.pcm[round(start * self.rate) : round(end * self.rate)]
        return float(np.sqrt((part.astype(float) ** 2).mean()))


@pytest.mark.parametrize("codec", [OPUS, PCMU, G722], ids=lambda codec: codec.name)
@pytest.mark.parametrize("missing", [1, 3, 10])
def test_the_timeline_has_no_hole(codec: Codec, missing: int) -> None:
    frames = tone(codec, 40)
    heard = Heard(without(frames, 20, missing))
    size = heard.rate // 50
    assert len(heard.pcm) == 40 * size
    step = codec.clock_rate // 50
    assert [each.encoded.timestamp for each in heard.frames] == [number * step for number in range(40)]
    assert [each.time for each in heard.frames] == pytest.approx([number / 50 for number in range(40)])
    made = [number for number, each in enumerate(heard.frames) if not each.encoded.data]
    assert made == list(range(20, 20 + missing))
    counts = heard.counts
    assert (counts.total, counts.concealed, counts.events) == (40 * size, missing * size, 1)
    assert counts.silent == max(0, missing - 6) * size


@pytest.mark.parametrize("codec", [OPUS, PCMU, G722], ids=lambda codec: codec.name)
def test_a_hole_sounds_like_what_was_before_and_fades(codec: Codec) -> None:
    heard = Heard(without(tone(codec, 40), 20, 10))
    loud = heard.power(0.3, 0.4)
    assert loud > 5000
    assert heard.power(0.4, 0.42) > 0.7 * loud
    assert heard.power(0.5, 0.52) < 0.35 * loud
    assert heard.power(0.52, 0.6) == 0
    assert heard.power(0.7, 0.8) > 0.7 * loud


def test_the_fade_makes_no_click() -> None:
    frames = tone(PCMU, 40)
    whole, heard = Heard(frames), Heard(without(frames, 20, 10))
    assert np.abs(np.diff(heard.pcm)).max() <= 1.2 * np.abs(np.diff(whole.pcm[whole.rate // 10 :])).max()


@pytest.mark.parametrize("codec", [OPUS, PCMU], ids=lambda codec: codec.name)
def test_what_was_never_sent_is_filled_and_counts_as_no_loss(codec: Codec) -> None:
    heard = Heard(without(tone(codec, 40), 20, 10, lost=False))
    size = heard.rate // 50
    assert len(heard.pcm) == 40 * size
    assert (heard.counts.total, heard.counts.concealed, heard.counts.events) == (40 * size, 0, 0)


def test_two_holes_are_two_events() -> None:
    frames = tone(OPUS, 40)
    counts = Heard(without(without(frames, 20, 2), 10, 1)).counts
    assert (counts.events, counts.concealed) == (2, 3 * 960)


def test_after_a_long_absence_the_sound_goes_on_where_the_sender_is() -> None:
    frames = tone(PCMU, 3)
    late = EncodedFrame(PCMU, frames[2].data, 8000 * 60, 60.0, complete_before=False)
    heard = Heard([*frames[:2], late])
    assert len(heard.pcm) == 3 * 160 and heard.counts.concealed == 0
    assert heard.frames[-1].time == 60


def test_a_hole_that_is_no_multiple_of_a_frame_is_filled_to_the_sample() -> None:
    frames = tone(OPUS, 20)
    after = EncodedFrame(OPUS, frames[12].data, frames[11].timestamp + 333, 0.3, complete_before=False)
    heard = Heard([*frames[:11], after])
    assert len(heard.pcm) == 12 * 960 + 333 and heard.counts.concealed == 333


def test_a_damaged_packet_is_concealed_by_the_next() -> None:
    frames = tone(OPUS, 20)
    counts = SoundCounts()
    decoder = open_decoder(OPUS, counts)
    for frame in frames[:10]:
        decoder.decode(frame)
    for data in (b"", b"\xff\xff\xff"):
        with pytest.raises((ValueError, av.FFmpegError)):
            decoder.decode(EncodedFrame(OPUS, data, frames[10].timestamp, frames[10].time))
    assert [bool(each.encoded.data) for each in decoder.decode(frames[11])] == [False, True]
    assert (counts.concealed, counts.events) == (960, 1)


def test_pictures_come_with_what_they_were_decoded_from() -> None:
    codec = Codec("VP8", 90000, 1, 96)
    frames = [EncodedFrame(codec, data[1:], n * 3000, n / 30, n == 0) for n, data in enumerate(pictures(3))]
    decoder = open_decoder(codec, SoundCounts())
    found = [each for frame in frames for each in decoder.decode(frame)]
    assert [each.encoded for each in found] == frames
    assert [(each.frame.width, each.time) for each in found] == [(64, 0.0), (64, 1 / 30), (64, 2 / 30)]


def test_a_codec_without_a_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="telephone-event cannot be decoded"):
        open_decoder(Codec("telephone-event", 8000), SoundCounts())


@examples(200)
@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 1 << 17), st.booleans()), max_size=4))
def test_any_bytes_raise_nothing_but_what_is_documented(packets: list[tuple[bytes, int, bool]]) -> None:
    counts = SoundCounts()
    decoder = SoundDecoder(OPUS, counts)
    for data, timestamp, whole in packets:
        try:
            found = decoder.decode(EncodedFrame(OPUS, data, timestamp, 0.0, complete_before=whole))
        except (ValueError, av.FFmpegError):
            continue
        assert sum(each.frame.samples for each in found) <= 48000 + 5760  # type: ignore[union-attr]
    assert counts.silent <= counts.concealed <= counts.total
