"""A script file becomes something to run, or one sentence that says what it lacks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from peer.botscript import load, where
from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    path, arguments, modules = list(sys.path), list(sys.argv), set(sys.modules)
    yield
    sys.path[:], sys.argv[:] = path, arguments
    for name in set(sys.modules) - modules:
        if name.startswith("bot."):
            del sys.modules[name]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "greeter.py"


def test_a_script_for_a_room(script: Path) -> None:
    script.write_text("async def main(room):\n    return None\n")
    loaded = load(script)
    assert loaded.main.__name__ == "main" and loaded.on_call is None
    assert loaded.path == script and loaded.modules == {"bot.greeter": script}


def test_a_script_for_each_call(script: Path) -> None:
    script.write_text("async def on_call(call):\n    return None\n")
    loaded = load(script)
    assert loaded.on_call is not None and loaded.on_call.__name__ == "on_call"
    assert callable(loaded.main)


def test_it_sees_its_arguments_its_neighbours_and_that_it_is_not_the_main_program(script: Path) -> None:
    (script.parent / "words_beside.py").write_text("HELLO = 'hello'\n")
    script.write_text(
        "import sys, json\nfrom dataclasses import dataclass\nfrom words_beside import HELLO\n"
        "@dataclass\nclass State:\n    count: int = 0\n"
        "async def main(room): return (HELLO, sys.argv, __name__, State())\n"
    )
    loaded = load(script, ["--loud", "3"])
    try:
        loaded.main(None).send(None)  # type: ignore[arg-type,union-attr]
    except StopIteration as returned:
        hello, argv, name, _ = returned.value
    assert (hello, argv, name) == ("hello", [str(script), "--loud", "3"], "bot.greeter")
    assert set(loaded.modules) == {"bot.greeter", "words_beside"}


def test_loaded_again_it_is_new_with_its_neighbours_and_the_old_one_stays(script: Path) -> None:
    beside = script.parent / "number_beside.py"
    beside.write_text("N = 1\n")
    script.write_text("import number_beside\nasync def on_call(call): return number_beside.N\n")
    first = load(script)
    beside.write_text("N = 22\n")  # another length: compiled files are known by length and second
    second = load(script, before=first)
    values = []
    for loaded in (first, second):
        assert loaded.on_call is not None
        with pytest.raises(StopIteration) as returned:
            loaded.on_call(None).send(None)  # type: ignore[arg-type,union-attr]
        values.append(returned.value.value)
    assert values == [1, 22] and set(second.modules) == {"bot.greeter", "number_beside"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "neither of `async def main.room.` and `async def on_call.call.`; define one"),
        ("async def main(room): ...\nasync def on_call(call): ...\n", "has both of .*; leave one of them out"),
        ("def main(room): ...\n", "main in .* is no coroutine; write `async def main.room.`"),
        ("main = 3\n", "main in .* is no coroutine"),
        ("async def on_call(): ...\n", r"on_call\(\) in .* has to take one argument; write `async def on_call"),
        ("async def main(room, count): ...\n", r"main\(room, count\) in .* one argument"),
        ("async def main(room:\n", "greeter.py line 1 is no Python: .*; correct it"),
        ("\x00", "is no Python"),
    ],
)
def test_what_a_script_lacks(script: Path, text: str, sentence: str) -> None:
    script.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load(script)


def test_no_script_at_all(script: Path) -> None:
    with pytest.raises(UsageError, match="greeter.py cannot be read .No such file.*; name the file of a script"):
        load(script)


def test_what_it_raises_itself_comes_out_with_its_own_lines_only(script: Path) -> None:
    script.write_text("def halve(x):\n    return x / 0\nhalve(1)\nasync def main(room): ...\n")
    with pytest.raises(ZeroDivisionError) as raised:
        load(script)
    told = where(raised.value, script)
    assert told.splitlines()[1].startswith(f'  File "{script}", line 3') and "botscript" not in told
    assert told.endswith("ZeroDivisionError: division by zero\n")
    assert "test_botscript" in where(_elsewhere(), script)


def test_of_an_error_of_ours_our_lines_are_left_out(script: Path) -> None:
    script.write_text("from peer.media.spec import parse_source\nparse_source('nonsense', 'video')\n")
    with pytest.raises(UsageError) as raised:
        load(script)
    told = where(raised.value, script)
    assert told.count("  File ") == 1 and "line 2" in told and "nonsense" in told.splitlines()[-1]


def _elsewhere() -> Exception:
    try:
        raise ValueError("not in a script")
    except ValueError as error:
        return error
