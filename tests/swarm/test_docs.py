"""The command lines of the documents can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from peer.cli import main, signals

if TYPE_CHECKING:
    from collections.abc import Coroutine

DOCS = Path(__file__).parents[2] / "docs"
LINES = [
    line.partition(" #")[0]
    for name in ("swarm.md", "cli.md")
    for block in re.findall(r"^```\n(.*?)^```", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("peer swarm ")
]


@pytest.mark.parametrize("line", LINES)
def test_what_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[Coroutine[Any, Any, Any]] = []
    monkeypatch.setattr(signals, "run", begun.append)
    monkeypatch.setattr("peer.logs.set_up", lambda **_: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line)[1:])
    assert ended.value.code == 0
    (work,) = begun
    work.close()


def test_there_are_some() -> None:
    assert len(LINES) >= 8
