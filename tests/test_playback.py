"""Sound played into a call: files, PCM and iterators of PCM; awaited, stopped, replaced, broken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

import peer.link  # noqa: F401 - OpenCV comes with it, as in every call: loading it takes a while
from peer.errors import DeviceError, UsageError
from peer.playback import Playback
from peer.rtc.sender import OutboundSound
from tests.media.clips import webm
from tests.rooms import PATIENCE, connect, rooms, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from numpy.typing import NDArray

    from peer.rtc.codecs import Codec
    from peer.rtc.encoded import Encoded


def tone(seconds: float, rate: int = 48000) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


class Far:
    """The other side of a call: hears what leaves."""

    preferred = "PCMU"

    def __init__(self) -> None:
        self.sound = OutboundSound()
        self.heard: list[int] = []
        """The loudest sample of each 20 ms."""
        self.loud = asyncio.Event()
        self._decoder: Any = av.CodecContext.create("pcm_mulaw", "r")
        self._decoder.sample_rate, self._decoder.layout = 8000, "mono"
        self.sound.feed(self)

    def play(self, what: Any, rate: int = 48000) -> Playback:
        return Playback(self.sound, what, rate, lambda work: asyncio.get_running_loop().create_task(work))

    def carries(self, codec: Codec) -> bool:
        return False

    def take(self, frame: Encoded) -> None:
        for payload in frame.payloads:
            for decoded in self._decoder.decode(av.Packet(payload)):
                self.heard.append(int(np.abs(decoded.to_ndarray().astype(int)).max()))
        if self.heard[-1] > 7000:
            self.loud.set()

    def ended(self, error: Exception | None) -> None:
        pytest.fail("what is played is no source")

    async def close(self) -> None:
        self.sound.stop()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    one = Far()
    yield one
    await one.close()


async def test_pcm_is_played_to_its_end(far: Far) -> None:
    playback = far.play(tone(0.2))
    await soon(playback)
    assert playback.done and not playback.stopped
    assert playback.position == pytest.approx(0.2, abs=0.03)
    assert max(far.heard) > 7000
    assert far.sound._playback is None


async def test_pcm_of_another_rate_and_kind(far: Far) -> None:
    playback = far.play(tone(0.2, 16000).astype(np.float32) / 32768, rate=16000)
    await soon(playback)
    assert playback.position == pytest.approx(0.2, abs=0.05)
    assert max(far.heard) > 7000


async def test_an_iterator_is_played_as_it_comes(far: Far) -> None:
    async def speech() -> AsyncIterator[NDArray[np.int16]]:
        for _ in range(3):
            yield tone(0.06)
            await asyncio.sleep(0)

    playback = far.play(speech())
    await soon(playback)
    assert playback.position == pytest.approx(0.18, abs=0.05)


async def test_more_than_fits_into_the_buffer_is_not_dropped(far: Far) -> None:
    playback = far.play(np.full(round(1.3 * 48000), 5000, np.int16))
    await soon(playback)
    assert playback.position == pytest.approx(1.3, abs=0.05)
    assert sum(level > 4000 for level in far.heard) >= 64


@pytest.mark.parametrize("write", [str, "file:{}".format, lambda path: path])
async def test_a_file_is_played(far: Far, tmp_path: Path, write: Any) -> None:
    path = await asyncio.to_thread(webm, tmp_path / "clip.webm", 5, video=False)
    playback = far.play(write(path))
    await soon(playback)
    assert playback.position > 0.15 and max(far.heard) > 3000


async def test_stopping_is_quick_and_may_be_repeated(far: Far) -> None:
    playback = far.play(tone(0.9))
    async with asyncio.timeout(PATIENCE):
        await far.loud.wait()
    playback.stop()
    playback.stop()
    await soon(playback)
    assert playback.stopped and playback.done
    heard = len(far.heard)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(far.heard) <= heard + 1 and far.sound._playback is None
    assert playback.position < 0.9


async def test_what_cannot_be_played_raises_when_awaited(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        await soon(far.play("/nowhere.opus"))
    with pytest.raises(UsageError):
        await soon(far.play(np.zeros((2, 2, 2), np.int16)))
    with pytest.raises(UsageError):
        await soon(far.play("file:"))

    async def broken() -> AsyncIterator[Any]:
        yield tone(0.02)
        raise ZeroDivisionError("tts")

    with pytest.raises(ZeroDivisionError):
        await soon(far.play(broken()))
    assert caplog.text.count("nothing is played") == 4
    assert far.sound._playback is None


async def test_a_playback_that_is_stopped_while_it_opens(far: Far) -> None:
    playback = far.play("test")
    playback.stop()
    await soon(playback)
    assert playback.stopped and playback.position == 0


async def test_a_new_playback_stops_the_one_before() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, _ = await connect(alice, bob, audio="test")
        first = calling.play("test")
        second = calling.play(tone(0.1))
        await soon(second)
        assert first.done and first.stopped and not second.stopped


async def test_a_playback_is_heard_and_ends_with_the_call() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        playing = calling.play("test")
        waiting = asyncio.ensure_future(_wait(playing))
        sound = answered.sound()
        async with asyncio.timeout(PATIENCE):
            async for heard in sound:
                if np.abs(heard.array.astype(int)).max() > 500:
                    break
        sound.close()
        await calling.hang_up()
        await soon(waiting)
        assert playing.stopped


async def _wait(playback: Playback) -> None:
    await playback
