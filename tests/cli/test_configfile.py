"""`peer serve --config`: a file stands below flags and variables, above the defaults; mistakes are sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peer.cli import main
from peer.cli.configfile import _names_a_file


class Shown:
    """What `peer serve --show-config` prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.file = folder / "serve.toml"

    def __call__(self, text: str, *flags: str) -> dict[str, Any]:
        code, out, err = self.run(text, "--show-config", "--json", *flags)
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def run(self, text: str, *flags: str) -> tuple[int, str, str]:
        self.file.write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--config", str(self.file), *flags])
        out, err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shown:
    return Shown(capsys, tmp_path)


def test_flag_variable_file_default(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER_PORT", "9001")
    monkeypatch.setenv("PEER_ROOM", "ours")
    found = shown('port = 9000\nroom = "theirs"\nroom-size = 8\nhost = "::1"\n', "--port", "9002")
    assert found["port"] == {"value": 9002, "origin": "--port"}
    assert found["room"] == {"value": "ours", "origin": "PEER_ROOM"}
    assert found["room_size"] == {"value": 8, "origin": f"--config {shown.file}"}
    assert found["seconds"] == {"value": None, "origin": "default"}


def test_the_file_may_be_named_by_a_variable(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown.file.write_text("port = 9000")
    monkeypatch.setenv("PEER_CONFIG", str(shown.file))
    with pytest.raises(SystemExit):
        main(["serve", "--show-config", "--json"])
    assert json.loads(capsys.readouterr().out)["port"]["value"] == 9000


def test_lists_tables_and_paths(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        origin = ["https://a.example", "https://b.example"]
        trust_proxy = "10.0.0.0/8"
        tls-cert = "cert.pem"
        tls-key = "/etc/key.pem"
        ice-server = "stun:stun.example.org"
        [limit]
        connections = 5000
        caller-joins = 2.5
    """
    found = shown(text)
    assert found["origins"]["value"] == ["https://a.example", "https://b.example"]
    assert found["trust_proxy"]["value"] == ["10.0.0.0/8"]
    assert found["tls_cert"]["value"] == str(shown.file.parent / "cert.pem")
    assert found["tls_key"]["value"] == "/etc/key.pem"
    assert found["limit"]["value"] == ["connections=5000", "caller-joins=2.5"]
    assert found["ice_servers"] == {"value": ["stun:stun.example.org"], "origin": f"--config {shown.file}"}
    monkeypatch.setenv("PEER_ICE_SERVERS", "stun:other.example.org")
    assert shown(text)["ice_servers"] == {"value": ["stun:other.example.org"], "origin": "PEER_ICE_SERVERS"}


@pytest.mark.parametrize(("hint", "found"), [
    (Path, True), (Path | None, True), (list[Path] | None, True), (list[str] | None, False), (str, False),
])  # fmt: skip
def test_which_flags_take_files(hint: Any, found: bool) -> None:
    assert _names_a_file(hint) is found


@pytest.mark.parametrize(("text", "sentence"), [
    ("prot = 9000", "'prot' is no flag; write port"),
    ("zzz = 1", "'zzz' is no flag; see peer serve --help"),
    ('config = "x"', "'config' is no flag"),
    ("port = [1]", "'port' takes one value"),
    ("[port]\na = 1", "'port' takes one value"),
    ('port = "x"', "invalid value for '--port'"),
    ("port = 70000", "invalid value for '--port'"),
    ("port 1", "is no TOML"),
    ("x = '" + "x" * 300_000 + "'", "is too long"),
    ("limit = ['nonsense=1']", "there is no such limit; use one of"),
    ("[limit]\nconnections = 'many'", "'many' is no number"),
    ("[limit]\nconnections = 0", "connections has to be more than 0"),
    ("trust-proxy = '10.0.0.1/8'", "is no network"),
    ("tls-cert = 'a.pem'", "belong together"),
    ("tls-cert = 'a.pem'\ntls-key = 'b.pem'", "a.pem cannot be read"),
    ("admin-secret-file = 'absent'", "cannot be read"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(shown: Shown, text: str, sentence: str) -> None:
    code, out, err = shown.run(f"{text}\n", "--seconds", "0.1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--config", str(tmp_path / "absent.toml")])
    assert ended.value.code == 2
    assert "cannot be read (No such file or directory); correct --config" in capsys.readouterr().err
