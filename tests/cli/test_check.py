"""`peer serve --check`: each thing that would keep the server from running is found, and said."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from peer.cli import main
from signaling.app import PortTaken
from tests.harness.certificates import make_certificate
from tests.harness.redis import redis_server
from tests.signaling import tokens

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct horse battery"


def checked(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and each check's sentence; of one that failed with FAIL before it."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--check", "--json", *flags])
    found = json.loads(capsys.readouterr().out)
    assert found["exitCode"] == ended.value.code
    return found["exitCode"], {one["name"]: ("" if one["ok"] else "FAIL ") + one["text"] for one in found["checks"]}


def test_all_is_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost", days=5)
    (tmp_path / "secret").write_text(SECRET)
    code, found = checked(
        *(capsys, "--port", "0", "--static", str(tmp_path), "--metrics-port", "0", "--ice-server", "stun:a.example"),
        *("--tls-cert", str(made.certificate), "--tls-key", str(made.key), "--trust-proxy", "10.0.0.0/8"),
        *("--admin-secret-file", str(tmp_path / "secret"), "--limit", "connections=5000"),
    )
    assert code == 0
    assert found == {
        "keys": "none: everybody may come in who reaches 127.0.0.1",
        "ice-servers": "1 for every client",
        "static": f"4 entries in {tmp_path}",
        "limits": "5000 connections, 256 of one address, 64 in a room",
        "operation": "trusted proxies: 10.0.0.0/8; /admin/: open to who has the secret",
        "certificate": "valid for 5 days; renew it",
        "port": "any free one of 127.0.0.1",
        "metrics-port": "any free one of 127.0.0.1",
    }


def test_all_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost", days=-1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, found = checked(
            *(capsys, "--port", port, "--static", str(tmp_path / "absent"), "--metrics-port", port),
            *("--tls-cert", str(made.certificate), "--tls-key", str(made.key), "--ice-server", "turn:a.example"),
            *("--limit", "connections=-1"),
        )
    assert code == 2
    assert {name for name, text in found.items() if not text.startswith("FAIL")} == {"keys", "operation"}
    assert "certificate has expired" in found["certificate"]
    assert f"port {port} is taken" in found["port"]
    (tmp_path / "short").write_text("short")
    code, found = checked(capsys, "--port", "0", "--admin-secret-file", str(tmp_path / "short"))
    assert (code, found["operation"]) == (2, "FAIL the administrator's secret is short; use 16 characters or more")


def test_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--host 0.0.0.0 would let everybody" in checked(capsys, "--host", "0.0.0.0", "--port", "0")[1]["keys"]
    (tmp_path / "keys").write_text(f"{tokens.SECRET}\n")
    (tmp_path / "turn").write_text("secret")
    flags = ["--port", "0", "--key-file", str(tmp_path / "keys"), "--turn", "turn:turn.example.org"]
    code, found = checked(capsys, *flags, "--turn-secret-file", str(tmp_path / "turn"))
    assert (code, found["keys"]) == (0, "1 that tokens may be signed with; passwords for 1 TURN servers")
    (tmp_path / "keys").write_text("short\n")
    code, found = checked(capsys, "--port", "0", "--key-file", str(tmp_path / "keys"))
    assert code == 2 and found["keys"].startswith(f"FAIL in the key file {tmp_path}/keys: ")


def test_for_people_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--check", "--port", "0", "--limit", "nonsense=1"])
    out = capsys.readouterr().out
    assert ended.value.code == 2
    assert "\nFAIL  limits        --limit nonsense=1: there is no such limit" in out
    assert "\nok    port          any free one of 127.0.0.1\n" in out


def test_the_server_that_is_replaced_may_have_the_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(host: str, port: int, *, flags: str) -> NoReturn:
        raise PortTaken(f"port {port} is taken by pid 7 (peer serve); use --port 1")

    monkeypatch.setattr("peer.hosting.listen", taken)
    code, found = checked(capsys, "--port", "8080")
    assert (code, found["port"].partition(";")[0]) == (0, "8080 is in use by another peer serve")


@pytest.mark.slow
def test_redis_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with redis_server() as server:
        code, found = checked(capsys, "--port", "0", "--redis", server.url)
        assert code == 0 and found["redis"].startswith("Redis ")
        assert found["redis"].endswith(" answers; it keeps nothing when it restarts (appendonly yes is better)")
        server.kill()
        code, found = checked(capsys, "--port", "0", "--redis", server.url)
        assert code == 2 and "start it, or correct --redis" in found["redis"]


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:9", "redis://:secret/more@127.0.0.1:6379"])
def test_a_redis_that_is_not_there(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, found = checked(capsys, "--port", "0", "--redis", url)
    assert code == 2 and found["redis"].startswith("FAIL ")
    assert "secret" not in found["redis"]
