"""From what the user named to sources that are open: the one place that knows all kinds of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peer.errors import UsageError
from peer.media.base import PictureSourceBase, SoundSourceBase
from peer.media.spec import GRAMMAR, Medium, SourceSpec, parse_source

if TYPE_CHECKING:
    from peer.media.container import Address
    from peer.media.file import FileSource

PictureChoice = str | SourceSpec | PictureSourceBase | None
SoundChoice = str | SourceSpec | SoundSourceBase | None


@dataclass(frozen=True, slots=True)
class Media:
    """A source of pictures and one of sound (None: none), and which of them to close."""

    pictures: PictureSourceBase | None
    sound: SoundSourceBase | None
    owned: tuple[PictureSourceBase | SoundSourceBase, ...] = ()

    async def close(self) -> None:
        """Close what was opened by name; sources that were handed in stay open."""
        for source in self.owned:
            await source.close()


async def open_pictures(choice: PictureChoice) -> PictureSourceBase | None:
    """The source of pictures that `choice` names, its device or file open; None for "none" and None.

    A source comes back as it is, and is still its owner's to close. Raises `UsageError` and `DeviceError`.
    """
    if isinstance(choice, PictureSourceBase):
        return choice
    spec = _spec(choice, "video")
    match spec.kind:
        case "none":
            return None
        case "test":
            from peer.media.pattern import TestPictures

            return TestPictures(spec.width, spec.height, spec.fps)
        case "file" | "lavfi":
            return (await _open_file(spec, "video")).pictures
    from peer.media import camera

    address = camera.camera_address if spec.kind == "camera" else camera.display_address
    device = camera.PictureDevice(address(spec.argument))
    await device.prepare()
    return device


async def open_sound(choice: SoundChoice) -> SoundSourceBase | None:
    """The source of sound that `choice` names, its device or file open; None for "none" and None.

    A source comes back as it is, and is still its owner's to close. Raises `UsageError` and `DeviceError`.
    """
    if isinstance(choice, SoundSourceBase):
        return choice
    spec = _spec(choice, "audio")
    match spec.kind:
        case "none":
            return None
        case "test":
            from peer.media.tone import TestTone

            return TestTone()
        case "file" | "lavfi":
            return (await _open_file(spec, "audio")).sound
    from peer.media import camera

    device = camera.SoundDevice(camera.microphone_address(spec.argument))
    await device.prepare()
    return device


async def open_media(video: PictureChoice, audio: SoundChoice) -> Media:
    """Both; when they name the same file, its pictures and its sound play in sync. Raises like the two above."""
    shown = video if isinstance(video, PictureSourceBase) else _spec(video, "video")
    heard = audio if isinstance(audio, SoundSourceBase) else _spec(audio, "audio")
    if isinstance(shown, SourceSpec) and shown == heard and shown.kind in ("file", "lavfi"):
        file = await _open_file(shown, "video", "audio")
        return Media(file.pictures, file.sound, (file.pictures, file.sound))
    pictures = await open_pictures(shown)
    try:
        sound = await open_sound(heard)
    except BaseException:
        if pictures is not None and pictures is not video:
            await pictures.close()
        raise
    made = (source for source, given in ((pictures, video), (sound, audio)) if source is not given)
    return Media(pictures, sound, tuple(source for source in made if source is not None))


def _spec(choice: object, medium: Medium) -> SourceSpec:
    if choice is None:
        return SourceSpec("none")
    if isinstance(choice, SourceSpec):
        parse_source(str(choice), medium)
        return choice
    if isinstance(choice, str):
        return parse_source(choice, medium)
    raise UsageError(f"{choice!r} is no source of {medium}; use {GRAMMAR[medium]}, or a source object")


async def _open_file(spec: SourceSpec, *needs: Medium) -> FileSource:
    from peer.media.file import FileSource

    return await FileSource.opened(_address(spec), *needs, loop=spec.loop)


def _address(spec: SourceSpec) -> Address:
    from peer.media.camera import lavfi_address
    from peer.media.container import Address

    if spec.kind == "lavfi":
        return lavfi_address(spec.argument)
    return Address(os.path.expanduser(spec.argument), f"file {spec.argument}")
