"""Sources of pictures and sound: camera, microphone, display, file, test picture and tone, and what a program pushes.

Importing this package loads neither FFmpeg nor OpenCV; the sources do when they are opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peer.media.opening import Media, open_media, open_pictures, open_sound
from peer.media.spec import SourceSpec, parse_source

if TYPE_CHECKING:
    from peer.media.push import PictureSource, SoundSource

__all__ = [
    "Media",
    "PictureSource",
    "SoundSource",
    "SourceSpec",
    "open_media",
    "open_pictures",
    "open_sound",
    "parse_source",
]


def __getattr__(name: str) -> Any:
    if name in ("PictureSource", "SoundSource"):
        from peer.media import push

        return getattr(push, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
