"""Settings are checked when they are made; the file of ICE servers is read with clear errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signaling.ice_servers import BadIceServer, IceServer
from signaling.settings import Limits, Settings, load_ice_servers

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_are_local() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.ice_servers, settings.static) == ("127.0.0.1", 8080, (), None)


@pytest.mark.parametrize("port", [-1, 65536])
def test_odd_ports(port: int) -> None:
    with pytest.raises(ValueError, match="is no port"):
        Settings(port=port)


@pytest.mark.parametrize("name", ["room_size", "heartbeat", "outbox_bytes"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_ice_servers_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ice"
    file.write_text("# ours\nstun:a\nturn:u:p@b\n")
    assert load_ice_servers(file) == (IceServer(["stun:a"]), IceServer(["turn:b"], "u", "p"))
    file.write_text('[{"urls": "stun:a"}]')
    assert load_ice_servers(file) == (IceServer(["stun:a"]),)


@pytest.mark.parametrize("content", [None, b"\xff", b"nonsense", b"#" * 70_000])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ice.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadIceServer, match=r"ice\.json"):
        load_ice_servers(file)
