"""`peer token`: what it makes is taken by a server, what it writes nobody else reads, what it shows is all there is."""

from __future__ import annotations

import io
import json
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from peer.cli import main, options
from peer.tokens import TokenFile
from signaling.credentials import Verifier
from signaling.keyring import read
from signaling.keys import secret_key

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

SECRET = "s" * 40


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("OURS", SECRET)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(("token", *arguments))
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run


def test_a_token_for_the_server(run: Run) -> None:
    flags = ("--room", "team-*", "--name", "bot", "--can", "call, publish", "--ttl", "10m", "--secret-env", "OURS")
    code, out, err = run(*flags, "--audience", "us", "--id", "t1")
    assert (code, err) == (0, "")
    verifier = Verifier(keys=(secret_key(SECRET),), audience="us", leeway=0)
    grants = verifier.verify(out.strip(), time.time())
    assert (grants.room, grants.name, grants.can, grants.bearer) == ("team-*", "bot", ["call", "publish"], "t1")
    assert grants.expires == pytest.approx(time.time() + 600, abs=30)


def test_a_token_and_its_link_as_json(run: Run) -> None:
    flags = ("--room", "my room", "--secret-env", "OURS", "--link", "https://example.org/", "--json")
    made = json.loads(run(*flags)[1])
    assert made["link"] == f"https://example.org/?room=my+room#token={made['token']}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["expires"])
    assert run(*flags[:-1])[1].startswith("https://example.org/?room=my+room#token=eyJ")


@pytest.mark.parametrize("pair", [False, True])
def test_a_key_is_for_its_owner_only_and_never_written_over(run: Run, tmp_path: Path, *, pair: bool) -> None:
    file = tmp_path / "key"
    flags = ("--new-key", str(file), *(["--key-pair"] if pair else []))
    code, out, _ = run(*flags)
    checking = tmp_path / "key.pub" if pair else file
    assert code == 0 and f"peer serve --key-file {checking}" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    code, _, err = run(*flags)
    assert code == 7 and "is there already" in err and file.read_text() == before
    made = run("--room", "lab", "--key-file", str(file))[1].strip()
    assert Verifier(keys=read(checking)).verify(made, time.time()).room == "lab"
    assert before.strip() not in out + err + made


def test_a_key_where_none_can_be_written(run: Run, tmp_path: Path) -> None:
    code, _, err = run("--new-key", str(tmp_path / "absent" / "key"))
    assert code == 7 and "cannot be written" in err


def test_what_is_in_a_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run("--room", "lab", "--secret-env", "OURS")[1].strip()
    code, out, _ = run("--show", made)
    assert code == 0
    assert re.search(r"^alg +HS256$", out, re.MULTILINE) and re.search(r"^room +lab$", out, re.MULTILINE)
    assert "is good for" in out and "unchecked" in out
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{made}\n"))
    shown = json.loads(run("--show", "-", "--json")[1])
    assert shown["claims"]["room"] == "lab" and 3500 < shown["expiresIn"] <= 3600


@pytest.mark.parametrize(("flags", "said"), [
    ((), "--room ROOM"),
    (("--room", "lab"), "--key-file FILE"),
    (("--room", "lab", "--secret-env", "OURS", "--key-file", "x"), "--key-file FILE"),
    (("--room", "lab", "--secret-env", "ABSENT"), "ABSENT"),
    (("--room", "lab", "--key-file", "/nowhere/key"), "/nowhere/key"),
    (("--room", "lab", "--secret-env", "OURS", "--can", "fly"), "'fly'"),
    (("--room", " lab", "--secret-env", "OURS"), "`room`"),
    (("--room", "lab", "--secret-env", "OURS", "--ttl", "never"), "--ttl never"),
    (("--show", "x"), "no JSON Web Token"),
    (("--show", "x", "--new-key", "y"), "one of"),
])  # fmt: skip
def test_what_cannot_be(run: Run, flags: tuple[str, ...], said: str) -> None:
    code, out, err = run(*flags)
    assert (code, out) == (2, "")
    assert said in err and SECRET not in err


def test_a_public_key_signs_nothing(run: Run, tmp_path: Path) -> None:
    run("--new-key", str(tmp_path / "key"), "--key-pair")
    code, _, err = run("--room", "lab", "--key-file", str(tmp_path / "key.pub"))
    assert code == 2 and "public keys only" in err


def test_the_room_of_the_environment_is_for_tokens_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEER_ROOM", "lab")
    assert run("--new-key", str(tmp_path / "key"))[0] == 0
    assert run("--key-file", str(tmp_path / "key"))[1].startswith("eyJ")


@pytest.mark.parametrize("verb", ["call", "record", "bot", "swarm", "doctor"])
def test_whatever_joins_takes_a_token(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit):
        main((verb, "--help"))
    out = capsys.readouterr().out
    assert "--token " in out and "--token-file " in out and "PEER_TOKEN" in out


def test_where_the_token_of_a_command_is_from() -> None:
    file = Path("token")
    assert options.token(None, None) is None
    assert options.token("", None) is None  # PEER_TOKEN set, but empty
    assert options.token("t", None) == "t"
    assert options.token("of the environment", file) == TokenFile(file)
