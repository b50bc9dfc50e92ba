"""Listening: on which addresses, and with which words when it cannot be."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from signaling import ports

if TYPE_CHECKING:
    from pathlib import Path


def test_any_free_port_is_the_same_on_every_address() -> None:
    sockets = ports.listen("localhost", 0)
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
        assert not any(one.getblocking() for one in sockets)
    finally:
        for one in sockets:
            one.close()


def test_a_taken_port_names_its_owner_and_another_port() -> None:
    (taken,) = ports.listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with taken, pytest.raises(ports.PortTaken) as caught:
        ports.listen("127.0.0.1", port)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.EADDRINUSE
    text = str(caught.value)
    assert text.startswith(f"port {port} is taken by pid {os.getpid()} (")
    assert "; use --port " in text
    assert not text.endswith(f" {port}")


def test_a_port_of_nobody_has_no_owner() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # but it does not listen
        assert ports.owner_of(bound.getsockname()[1]) == ""


@pytest.mark.parametrize(("words", "command"), [
    (["/venv/bin/python3.11", "/venv/bin/peer", "serve", "--port", "1"], "peer serve"),
    (["/usr/sbin/nginx", "-g"], "nginx"),
    (["python", "-m", "http.server"], "python"),
    (["python", "/x/server.py", "8080"], "server.py"),
])  # fmt: skip
def test_a_command_as_people_say_it(tmp_path: Path, words: list[str], command: str) -> None:
    (tmp_path / "cmdline").write_bytes("\0".join([*words, ""]).encode())
    assert ports._command(tmp_path) == command


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "\x00"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(ports.CannotListen) as caught:
        ports.listen(host, 0)
    assert not isinstance(caught.value, ports.PortTaken)
    assert "use --host 127.0.0.1" in str(caught.value)


def test_a_port_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(ports, "_listen_on", refuse)
    with pytest.raises(ports.CannotListen, match="port 80 may only be used by root; use --port 8080"):
        ports.listen("127.0.0.1", 80)


def test_an_absent_address_is_skipped_and_its_sockets_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ports._listen_on

    def without_ipv6(family: int, *rest: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(family, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ports, "_listen_on", without_ipv6)
    both = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in (
        (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))]  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    (one,) = ports.listen("localhost", 0)
    assert one.family == socket.AF_INET
    one.close()


def test_the_address_in_the_network_is_one_or_none() -> None:
    address = ports.own_address()
    assert address == "" or address.count(".") == 3
