"""`peer doctor` as users and scripts meet it: the table, the sentences, JSON, exit codes, in processes of its own."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import Command
from tests.harness.coturn import coturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.coturn import Coturn

pytestmark = pytest.mark.coturn

LOOPBACK = ("--interface", "127.0.0.1")


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    with coturn() as server:
        yield server


def test_without_anything_it_says_what_is_missing(tmp_path: Path) -> None:
    with Command("doctor", cwd=tmp_path) as doctor:
        assert doctor.end() == 0
    assert doctor.out.splitlines()[0].split() == ["check", "result", "seconds", "details"]
    assert "note: no server is named: calls work within this network only" in doctor.out
    assert doctor.out.splitlines()[-1].startswith("all is well")
    assert doctor.err == ""


def test_good_and_dead_servers_in_a_table_with_sentences(tmp_path: Path, turn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        wrong = f"turn:alice:wrong@127.0.0.1:{turn.port}"
        good = f"turn:{turn.username}:{turn.password}@127.0.0.1:{turn.port}?transport=tcp"
        flags = [flag for url in (dead, wrong, good) for flag in ("--ice-server", url)]
        with Command("doctor", *flags, *LOOPBACK, "--timeout", "1", cwd=tmp_path) as doctor:
            assert doctor.end() == 8
    rows = {line.split()[0]: line.split()[1] for line in doctor.out.splitlines()}
    assert (rows[dead], rows[f"turn:127.0.0.1:{turn.port}"]) == ("failed", "failed")
    assert rows[f"turn:127.0.0.1:{turn.port}?transport=tcp"] == "ok"
    assert f"problem: {dead}: no answer within 1 s" in doctor.out
    assert "user alice or the password is refused (401); correct them in --ice-server" in doctor.out
    assert re.search(r"^2 problems found in \d", doctor.out, re.MULTILINE)
    assert (turn.password not in doctor.out) and "wrong@" not in doctor.out + doctor.err
    assert doctor.err == ""


def test_calls_through_the_signaling_server_as_json(tmp_path: Path, turn: Coturn) -> None:
    server = f"turn:{turn.username}:{turn.password}@127.0.0.1:{turn.port}"
    with Command("serve", "--port", "0", "--ice-server", server, "--json", cwd=tmp_path) as serve:
        url = json.loads(serve.wait_for(r"^\{.*\}$")[0])["url"]
        with Command("doctor", url, *LOOPBACK, "--timeout", "15", "--json", cwd=tmp_path) as doctor:
            code = doctor.end()
    told = json.loads(doctor.out)
    assert (code, told["exitCode"], told["error"]) == (0, 0, None), doctor.out
    assert told["signaling"]["iceServers"] == [f"turn:127.0.0.1:{turn.port}"]
    assert [(call["path"], call["good"]) for call in told["calls"]] == [("direct", True), ("relay", True)]
    assert turn.password not in doctor.out
    assert any("both ends of the calls were on this host" in note for note in told["notes"])


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Command("doctor", cwd=tmp_path, environment={"PEER_URL": url}) as doctor:
            assert doctor.end() == 3
    assert "problem: " in doctor.out and url in doctor.out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--ice-server", "http://x"), "is not an ICE server"),
        (("--timeout", "0"), "timeout"),
        (("nonsense://x",), "is not the URL of a signaling server"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    with Command("doctor", *flags, cwd=tmp_path) as doctor:
        assert doctor.end() == 2
    assert says in doctor.err and doctor.err.count("\n") == 1
    assert doctor.out == ""


def test_on_a_terminal_it_tells_what_it_does(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        environment = {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "120"}
        flags = ("--ice-server", dead, *LOOPBACK, "--timeout", "2")
        with Command("doctor", *flags, cwd=tmp_path, environment=environment, terminal=True) as doctor:
            doctor.wait_for(f"asking {dead}")
            assert doctor.end() == 8
    assert "failed" in doctor.out
