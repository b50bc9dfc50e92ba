"""The verbs and flags, what is said of mistakes, and the exit codes, in this process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

pytestmark = pytest.mark.may_block("the command loads what it needs on its loop, before anything runs there")

HEAVY = ("aiohttp", "aiortc", "asyncio", "av", "cv2", "msgspec", "numpy", "rich", "signaling", "uvloop")


def test_help_lists_the_verbs_and_loads_nothing_heavy() -> None:
    code = f"""
import sys
from peer.cli import main
try:
    main(["--help"])
except SystemExit as ended:
    print("code", ended.code, *(name for name in {HEAVY!r} if name in sys.modules))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.splitlines()[-1] == "code 0"
    assert re.findall(r"^  ([a-z]+)  ", shown.partition("Commands:")[2], re.MULTILINE) == [
        *(
            "demo",
            "serve",
            "call",
            "record",
            "publish",
            "pull",
            "bot",
            "swarm",
            "devices",
            "doctor",
            "verify",
            "repair",
        ),
        "token",
    ]


@pytest.mark.parametrize(
    "verb", ["demo", "serve", "call", "record", "bot", "swarm", "devices", "doctor", "verify", "repair", "token"]
)
def test_every_verb_has_the_common_flags(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert all(flag in out for flag in ("--json", "--quiet", "--verbose"))


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0 and re.fullmatch(r"webrtc-peer \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dial"], "no such command 'dial'"),
        (["call"], "missing argument 'URL'"),
        (["call", "http://localhost:1", "--seconds", "soon"], "--seconds"),
        (["serve", "--port", "99999"], "--port"),
        (["serve", "--ice-server", "turn:example.org"], "needs a user and a password"),
        (["serve", "--static", "/does/not/exist"], "is no folder"),
        (["serve", "--ice-servers-file", "/does/not/exist"], "cannot be read"),
        (["call", "ftp://example.org"], "is not the URL of a signaling server"),
        (["call", "http://localhost:1", "--video", "clip.webm"], "for a file write file:clip.webm"),
        (["demo", "--audio", "camera", "--port", "0"], "use --audio microphone"),
    ],
)
def test_mistakes_are_told_in_one_line_with_exit_code_2(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err and err.count("\n") == 1


def test_a_server_that_cannot_be_reached_is_exit_code_3(run: Run) -> None:
    code, _, err = run("call", "http://127.0.0.1:1", "--quiet")
    assert code == 3
    assert err.count("\n") == 1 and "start it with: peer serve" in err


def test_an_error_is_in_the_json_too(run: Run) -> None:
    code, out, err = run("call", "http://127.0.0.1:1", "--json")
    result = json.loads(out)
    assert code == result["exitCode"] == 3
    assert result["error"] in err and result["calls"] == []


def test_with_json_every_mistake_is_json_too(run: Run) -> None:
    for arguments, expected in ((["demo", "--video", "clip"], 2), (["serve", "--port", "x"], 2)):
        code, out, err = run(*arguments, "--json")
        assert (code, json.loads(out)) == (expected, {"exitCode": expected, "error": err.strip()})


def test_verbose_shows_where(run: Run) -> None:
    assert "Traceback" in run("call", "http://127.0.0.1:1", "-v")[2]
    assert "Traceback" not in run("call", "http://127.0.0.1:1")[2]


def test_a_file_that_cannot_be_opened_is_exit_code_7(run: Run) -> None:
    code, _, err = run("call", "http://127.0.0.1:1", "--video", "file:/does/not/exist.webm")
    assert code == 7 and "/does/not/exist.webm" in err and err.count("\n") == 1


def test_a_mistake_of_ours_is_exit_code_1_with_the_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("peer.media.devices.list_devices", broken)
    code, out, err = run("devices")
    assert (code, out) == (1, "")
    assert "in broken" in err
    assert err.splitlines()[-1] == "this is a mistake in peer, please report it: RuntimeError: no such luck"


def test_ctrl_c_before_anything_was_opened_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("peer.media.devices.list_devices", interrupted)
    assert run("devices") == (0, "", "")


def test_devices_as_a_table_as_json_and_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from peer.media.devices import Device

    found = [Device("camera", "camera:/dev/video0", "Cam [bold]"), Device("microphone", "microphone:hw:1", "Mic")]
    monkeypatch.setattr("peer.media.devices.list_devices", lambda: found)
    code, out, _ = run("devices")
    assert code == 0
    assert "--video camera:/dev/video0" in out and "--audio microphone:hw:1" in out and "Cam [bold]" in out
    assert json.loads(run("devices", "--json")[1]) == {
        "devices": [
            {"kind": "camera", "argument": "camera:/dev/video0", "label": "Cam [bold]"},
            {"kind": "microphone", "argument": "microphone:hw:1", "label": "Mic"},
        ]
    }
    monkeypatch.setattr("peer.media.devices.list_devices", list)
    assert "--video test" in run("devices")[1]
    assert run("devices", "--json")[1] == '{"devices": []}\n'


def test_the_configuration_is_shown_with_its_origin_and_without_secrets(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PEER_ICE_SERVERS", "stun:stun.example.org turn:me:hushed@turn.example.org")
    code, out, err = run("serve", "--show-config", "--host", "::1", "--json")
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert shown["port"] == {"value": 9000, "origin": "PORT"}
    assert shown["host"] == {"value": "::1", "origin": "--host"}
    assert shown["room"] == {"value": "lab", "origin": "default"}
    assert shown["ice_servers"] == {
        "value": ["stun:stun.example.org", "turn:me:***@turn.example.org"],
        "origin": "PEER_ICE_SERVERS",
    }
    text = run("serve", "--show-config")[1]
    assert re.search(r"^port +9000 +PORT$", text, re.MULTILINE)
    assert "hushed" not in out + text


def test_nobody_is_let_in_from_the_network_unless_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("serve", "--host", "0.0.0.0", "--port", "0", "--seconds", "0.1")
    assert (code, out) == (2, "")
    assert "--key-file" in err and "--open" in err
    code, _, err = run("demo", "--host", "0.0.0.0", "--port", "0")
    assert code == 2 and "--open" in err
    monkeypatch.setenv("OURS", "s" * 40)
    for flags in (("--open",), ("--secret-env", "OURS")):
        code, out, _ = run("serve", "--host", "0.0.0.0", "--port", "0", "--seconds", "0.1", *flags)
        assert code == 0 and out.startswith("Signaling server and page: http://localhost:")


def test_secrets_of_the_server_are_checked_and_not_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "hidden-secret-" * 4)
    (tmp_path / "turn").write_text("hidden\n")
    turn = ("--turn", "turn:turn.example:3478", "--turn-secret-file", str(tmp_path / "turn"), "--turn-ttl", "10m")
    code, out, _ = run("serve", "--show-config", "--json", "--secret-env", "OURS", "--audience", "us", *turn)
    shown = json.loads(out)
    assert code == 0 and "hidden" not in out
    assert shown["secret_env"] == {"value": "OURS", "origin": "--secret-env"}
    assert shown["turn_ttl"] == {"value": 600.0, "origin": "--turn-ttl"}
    assert run("serve", "--port", "0", "--seconds", "0.1", "--secret-env", "OURS", *turn)[0] == 0
    (tmp_path / "empty").touch()
    for flags, said in (
        (("--audience", "us"), "--key-file"),
        (("--secret-env", "ABSENT"), "ABSENT"),
        (("--key-file", str(tmp_path / "absent")), "absent cannot be read"),
        (("--key-file", str(tmp_path / "turn")), "peer token --new-key"),
        (turn[:2], "--turn-secret-file"),
        (turn[2:4], "--turn URL"),
        ((*turn, "--turn-secret-env", "OURS"), "--turn-secret-file"),
        (("--turn", "turn:u:p@h", *turn[2:]), "without user and password"),
        (("--turn", "stun:h", *turn[2:]), "like turn:HOST:3478"),
        (("--turn", "turn:h:99999", *turn[2:]), "port"),
        (("--turn", "turn:h", "--turn-secret-file", str(tmp_path / "empty")), "is empty"),
        (("--turn", "turn:h", "--turn-secret-file", str(tmp_path / "absent")), "cannot be read"),
        (("--turn-ttl", "soon"), "--turn-ttl"),
    ):
        code, out, err = run("serve", "--port", "0", "--seconds", "0.1", *flags)
        assert (code, out) == (2, "") and said in err and "hidden" not in err, (flags, err)


def test_the_ice_servers_of_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ice.json"
    file.write_text(
        '{"iceServers": [{"urls": ["turn:a.example", "turn:b.example"], "username": "u", "credential": "c"}]}'
    )
    shown = json.loads(run("serve", "--show-config", "--ice-servers-file", str(file), "--json")[1])
    assert shown["ice_servers"]["value"] == ["turn:u:***@a.example,turn:u:***@b.example"]
    assert shown["ice_servers"]["origin"] == f"--ice-servers-file {file}"
