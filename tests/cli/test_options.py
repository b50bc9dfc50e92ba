"""ICE servers as flags, in a file and in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peer.cli.options import MAX_FILE, entries, ice_servers
from peer.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_urls_between_spaces_commas_and_lines() -> None:
    assert entries(" stun:a, stun:b\n# stun:c\n\tturn:u:p@d stun:e\n") == ["stun:a", "stun:b", "turn:u:p@d", "stun:e"]
    assert entries("") == []


def test_json_stays_whole() -> None:
    assert entries(' [{"urls": "stun:a b"}]\n') == ['[{"urls": "stun:a b"}]']


def test_a_flag_stands_above_a_file_and_that_above_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ice"
    file.write_text("stun:file")
    monkeypatch.setenv("PEER_ICE_SERVERS", "stun:environment")
    assert ice_servers(["stun:flag"], file) == (["stun:flag"], "--ice-server")
    assert ice_servers([], file) == (["stun:file"], f"--ice-servers-file {file}")
    assert ice_servers(None) == (["stun:environment"], "PEER_ICE_SERVERS")
    monkeypatch.delenv("PEER_ICE_SERVERS")
    assert ice_servers(None) == ([], "default")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (MAX_FILE + 1)])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ice"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="correct --ice-servers-file|shorten it"):
        ice_servers(None, file)
