"""What of a file can be sent as it is; its packets wait for whoever takes them, and not without end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import av
import pytest

from peer.media import encodedstream
from peer.media.base import SourceEnded
from peer.media.container import Address
from peer.media.encodedstream import WAITING, EncodedPacket, EncodedReader, EncodedStream, examine
from tests.media.clips import mp4, turned
from tests.rtc.eager import clip

if TYPE_CHECKING:
    from pathlib import Path


def examined(path: Path) -> dict[str, EncodedStream]:
    return examine(Address(str(path), "a clip"))


def test_webm_is_fit_with_its_sound(tmp_path: Path) -> None:
    found = examined(clip(tmp_path / "clip.webm", sound=True))
    assert (found["video"].codec, found["video"].profile) == ("VP8", "")
    assert (found["audio"].codec, found["audio"].channels) == ("opus", 2)
    assert 1_000 < found["video"].bitrate < 1_000_000


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_h264_says_its_profile_whatever_holds_it(tmp_path: Path, suffix: str) -> None:
    found = examined(clip(tmp_path / f"clip.{suffix}", codec="libx264", profile="baseline", bf="0"))
    assert found["video"].codec == "H264" and found["video"].profile.startswith("42c0")


def test_vp9_says_its_profile(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.webm", codec="libvpx-vp9", deadline="realtime", pictures=5)
    assert examined(path)["video"] == EncodedStream("VP9", "0", 1, examined(path)["video"].bitrate)


def test_pictures_out_of_order_are_not_fit(tmp_path: Path) -> None:
    assert "video" not in examined(mp4(tmp_path / "clip.mp4"))


def test_a_file_that_begins_without_a_keyframe_is_not_fit(tmp_path: Path) -> None:
    whole = clip(tmp_path / "clip.mkv", gop=5)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[2:-1]:
            packet.stream = stream
            container.mux(packet)
    assert "video" not in examined(tmp_path / "cut.mkv")


def test_pictures_that_lie_on_their_side_are_not_fit(tmp_path: Path) -> None:
    upright = clip(tmp_path / "clip.mp4", codec="libx264", profile="baseline", bf="0")
    assert "video" in examined(upright)
    assert "video" not in examined(turned(tmp_path / "turned.mp4", upright))


def test_what_cannot_be_read_is_not_fit(tmp_path: Path) -> None:
    broken = tmp_path / "clip.webm"
    broken.write_bytes(b"\x1aE\xdf\xa3 and nothing that goes with it")
    assert examined(broken) == examined(tmp_path / "nowhere.webm") == {}
    assert examine(Address("testsrc", "a generator", "lavfi")) == {}


def packet(number: int, *, keyframe: bool = False) -> EncodedPacket:
    return EncodedPacket(b"x", number / 25, 0.0, keyframe)


async def test_packets_come_in_order_and_end() -> None:
    reader = EncodedReader()
    given = [packet(0, keyframe=True), packet(1), packet(2)]
    for each in given:
        reader.offer(each)
    reader.end()
    assert [await reader.next() for _ in given] == given
    with pytest.raises(SourceEnded):
        await reader.next()
    reader.close()


async def test_who_waits_is_woken() -> None:
    reader = EncodedReader()
    waiting = asyncio.ensure_future(reader.next())
    await asyncio.sleep(0)
    reader.offer(packet(0, keyframe=True))
    async with asyncio.timeout(5):
        assert (await waiting).keyframe
    reader.close()


async def test_what_nobody_takes_goes_up_to_the_next_keyframe() -> None:
    reader = EncodedReader()
    for number in range(WAITING + 5):
        reader.offer(packet(number, keyframe=number == 0))
    reader.offer(packet(1000, keyframe=True))
    reader.offer(packet(1001))
    assert [(await reader.next()).time * 25 for _ in range(2)] == [1000, 1001]
    assert reader.dropped == WAITING + 5
    reader.close()


def test_only_the_beginning_of_a_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodedstream, "EXAMINED", 3)
    assert "video" in examined(clip(tmp_path / "clip.webm", pictures=30))
