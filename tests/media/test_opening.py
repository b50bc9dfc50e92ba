"""What the user names becomes the right source; what was made by name is closed, what was handed in is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import peer.media
from peer.errors import DeviceError, UsageError
from peer.media import Media, PictureSource, SoundSource, SourceSpec, open_media, open_pictures, open_sound
from peer.media.file import FilePictures, FileSound
from tests.media import clips
from tests.media.contract import take, threads


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file:{clips.webm(tmp_path_factory.mktemp('clips') / 'clip.webm', 5)}"


async def test_none_is_none() -> None:
    for choice in ("none", None, SourceSpec("none")):
        assert await open_pictures(choice) is None
        assert await open_sound(choice) is None
    assert await open_media(None, "none") == Media(None, None)


async def test_test_sources() -> None:
    pictures = await open_pictures("test:320x240@15")
    assert pictures is not None and (pictures.width, pictures.height, pictures.fps) == (320, 240, 15)
    sound = await open_sound("test")
    assert sound is not None and sound.channels == 1


async def test_one_file_for_both_is_opened_once(clip: str) -> None:
    media = await open_media(clip + ",loop", clip + ",loop")
    assert isinstance(media.pictures, FilePictures) and isinstance(media.sound, FileSound)
    assert media.pictures.file is media.sound.file
    reader, _ = media.pictures.open(), media.sound.open()
    await take(reader, 2)
    before = threads()
    await media.close()
    assert len(threads()) == len(before) - 1


async def test_two_files_and_single_sides(clip: str) -> None:
    media = await open_media(clip, clip + ",loop")
    assert isinstance(media.pictures, FilePictures) and isinstance(media.sound, FileSound)
    assert media.pictures.file is not media.sound.file
    assert len(media.owned) == 2
    await media.close()


async def test_sources_handed_in_stay_open(clip: str) -> None:
    mine, voice = PictureSource(), SoundSource()
    media = await open_media(mine, voice)
    assert (media.pictures, media.sound, media.owned) == (mine, voice, ())
    reader = mine.open()
    await media.close()
    assert not reader.ended
    mixed = await open_media(mine, "test")
    assert mixed.owned == (mixed.sound,)
    await mixed.close()
    await mine.close()
    await voice.close()


async def test_a_failing_second_source_closes_the_first(clip: str) -> None:
    with pytest.raises(DeviceError, match="does not exist"):
        await open_media(clip, "file:missing.opus")


async def test_filter_graphs() -> None:
    graph = "lavfi:testsrc=size=96x64:rate=25[out0];sine[out1]"
    media = await open_media(graph, graph)
    assert media.pictures is not None
    await take(media.pictures.open(), 2)
    await media.close()


async def test_devices_are_opened_at_once() -> None:
    with pytest.raises(DeviceError, match="use --video test"):
        await open_pictures("camera:/dev/video97")
    with pytest.raises(DeviceError, match="`peer devices`"):
        await open_pictures("display::97")
    with pytest.raises(DeviceError, match="use --audio test"):
        await open_sound("microphone:hw:97")


async def test_wrong_choices_are_usage_errors() -> None:
    for choice in (7, SoundSource(), "microphone", SourceSpec("microphone")):
        with pytest.raises(UsageError):
            await open_pictures(choice)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no source of audio"):
        await open_sound(PictureSource())  # type: ignore[arg-type]


def test_public_names() -> None:
    for name in peer.media.__all__:
        assert getattr(peer.media, name) is not None
    with pytest.raises(AttributeError):
        _ = peer.media.nothing


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, peer.media, peer.media.devices; print([m for m in ('av', 'cv2', 'numpy') if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"
