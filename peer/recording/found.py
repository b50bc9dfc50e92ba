"""Recordings as they lie on the disk: which files belong to which manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.errors import UsageError
from peer.recording import manifestfile
from peer.recording.manifest import SUFFIX, BadManifest, Manifest
from peer.recording.mend import MEDIA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME: Final = re.compile(r"(?P<base>(?P<name>.+)-\d{8}T\d{6})(-\d+)?", re.DOTALL)
"""Stems of the files that a recording consists of, see `peer.recording.names`."""


@dataclass(slots=True)
class Found:
    """One recording."""

    path: Path
    """Of its manifest, whether there is one or not."""
    manifest: Manifest | None = None
    trouble: str | None = None
    """Why the manifest cannot be used, though there is one."""
    extra: list[Path] = field(default_factory=list)
    """Media files that belong to it by their names, and that no manifest lists."""
    only: set[str] | None = None
    """Names of the files that were asked for; None: all."""

    @property
    def participant(self) -> str:
        """Who was recorded."""
        if self.manifest is not None:
            return self.manifest.participant
        match = _NAME.fullmatch(self.path.stem)
        return match["name"] if match else self.path.stem

    @property
    def everything(self) -> list[Path]:
        """All of its files, those that are missing too, in their order."""
        listed = [self.path.with_name(each.file) for each in self.manifest.segments] if self.manifest else []
        return listed + self.extra

    @property
    def media(self) -> list[Path]:
        """Of its files those that were asked for."""
        return [path for path in self.everything if self.only is None or path.name in self.only]


def find(paths: Iterable[Path]) -> list[Found]:
    """The recordings at these paths: directories, manifests, media files.

    Raises:
        UsageError: one of them is none of these, or is not there.
        OSError: a directory cannot be read.
    """
    found: list[Found] = []
    for path in paths:
        if path.is_dir():
            found += _directory(path)
        elif not path.is_file():
            raise UsageError(f"{path} is not there; name a recording, a manifest or a directory of them")
        else:
            found.append(_of(path))
    return found


def _of(path: Path) -> Found:
    for found in _directory(path.parent):
        if path == found.path:
            return found
        if path.name in {each.name for each in found.media}:
            found.only = {path.name}
            return found
    raise UsageError(f"{path} is no recording; name one, its manifest, or a directory of them")


def _directory(directory: Path) -> list[Found]:
    entries = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    media = {path.name: path for path in entries if path.suffix in MEDIA}
    found: dict[str, Found] = {}
    for path in entries:
        if path.suffix == SUFFIX:
            try:
                found[path.stem] = Found(path, manifestfile.read(path))
            except (BadManifest, OSError) as error:
                if any(_base(name) == _base(path.name) for name in media):
                    found[path.stem] = Found(path, trouble=str(error))
    for each in found.values():
        for segment in each.manifest.segments if each.manifest else ():
            media.pop(segment.file, None)
    for path in media.values():
        _owner(found, path).extra.append(path)
    return [found[stem] for stem in sorted(found)]


def _owner(found: dict[str, Found], path: Path) -> Found:
    """The recording that a file belongs to which no manifest lists."""
    base = _base(path.name)
    for stem, each in sorted(found.items()):
        unfinished = each.manifest is None or each.manifest.state == "recording"
        if _base(stem) == base and unfinished:
            return each
    stem = base if base not in found else path.stem
    return found.setdefault(stem, Found(path.with_name(stem + SUFFIX)))


def _base(name: str) -> str:
    """What the names of all files of a recording begin with."""
    stem = name.rpartition(".")[0] if name.endswith((*MEDIA, SUFFIX)) else name
    match = _NAME.fullmatch(stem)
    return match["base"] if match else stem
