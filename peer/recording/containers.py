"""The container for a file's streams, and who writes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from peer.recording.formats import container
from peer.recording.mp4muxer import Mp4Muxer
from peer.recording.muxer import Muxer

if TYPE_CHECKING:
    from io import RawIOBase

    from peer.recording.formats import Format, Layout
    from peer.recording.matroska import DocType
    from peer.recording.output import Container

logger = logging.getLogger(__name__)


class Containers:
    """Chooses the container for each file of the recording `name`: the `wanted` one where that holds its streams."""

    def __init__(self, wanted: Format, name: str) -> None:
        self._wanted: Final = wanted
        self._name: Final = name
        self._told = False

    def choose(self, layout: Layout) -> Format:
        """The wanted container, or Matroska where that cannot hold what is in `layout`, which is logged once."""
        video = layout.video.codec if layout.video else None
        found = container(self._wanted, video, layout.audio)
        if found != self._wanted and not self._told:
            self._told = True
            codecs = " and ".join(codec.name for codec in (video, layout.audio) if codec)
            text = "recording %r: %s cannot hold %s, which goes to a .%s file"
            logger.warning(text, self._name, self._wanted, codecs, found)
        return found


def create(form: Format, file: RawIOBase, layout: Layout, *, started: float, flush_interval: float) -> Container:
    """Begin a file in the container `form`. `file` is unbuffered, seekable and empty; `started` is the moment of
    `layout.origin` in Unix time. Raises OSError."""
    if form == "mp4":
        return Mp4Muxer(file, layout, started=started, flush_interval=flush_interval)
    doc_type: DocType = "webm" if form == "webm" else "matroska"
    return Muxer(file, layout, started=started, flush_interval=flush_interval, doc_type=doc_type)
