"""The tree of errors: as it is written down, and each of them is met somewhere in these tests."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from peer import errors
from peer.errors import (
    BadDescription,
    CallEnded,
    CallError,
    CallLost,
    DeviceError,
    Error,
    IceFailed,
    NoAnswer,
    NotHere,
    Rejected,
    SignalingError,
    Unreachable,
    UsageError,
    retryable,
)

CLASSES = {name: one for name, one in vars(errors).items() if inspect.isclass(one)}


def written() -> dict[str, str | None]:
    """Each class of the docstring's tree with its parent."""
    found: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^((?:│   |    )*)(?:[├└]── )?([A-Z]\w+)(?:\s{2,}|$)", line):
            depth = 0 if line == match[2] else len(match[1]) // 4 + 1
            path[depth:] = [match[2]]
            found[match[2]] = path[depth - 1] if depth else None
    return found


def test_the_tree_is_as_it_is_written_down() -> None:
    tree = written()
    assert set(tree) == set(CLASSES)
    for name, parent in tree.items():
        assert CLASSES[name].__bases__[0] is (CLASSES[parent] if parent else Exception)


def test_only_mistakes_of_the_caller_are_value_errors() -> None:
    assert [name for name, one in CLASSES.items() if issubclass(one, ValueError)] == ["UsageError"]


def test_each_error_is_met_in_a_test() -> None:
    tests = "\n".join(
        path.read_text() for path in Path(__file__).parent.rglob("test_*.py") if path.name != Path(__file__).name
    )
    for name in set(CLASSES) - {"Error"}:
        assert re.search(rf"(raises\({name}\b|isinstance\(\w+, {name}\))", tests), f"no test meets {name}"


def test_exit_codes_are_those_of_the_command() -> None:
    codes = {name: one.exit_code for name, one in CLASSES.items()}
    assert codes == {
        **{"Error": 1, "UsageError": 2, "Unreachable": 3, "SignalingError": 3, "Rejected": 4, "NotHere": 5},
        **{"NoAnswer": 5, "CallError": 6, "IceFailed": 6, "BadDescription": 6, "CallEnded": 6, "CallLost": 6},
        "DeviceError": 7,
        "TimedOut": 8,
    }


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Unreachable("x"), True),
        (SignalingError("x", "name-taken"), False),
        (SignalingError("x", "room-full"), True),
        (SignalingError("x", "rate-limited"), True),
        (SignalingError("x", "shutting-down"), True),
        (SignalingError("x"), False),
        (NotHere("x"), True),
        (NoAnswer("x"), True),
        (IceFailed("x"), True),
        (CallLost("x"), True),
        (Rejected("x", "busy"), True),
        (Rejected("x", "declined"), False),
        (BadDescription("x"), False),
        (CallEnded("x"), False),
        (CallError("x"), False),
        (UsageError("x"), False),
        (DeviceError("x"), False),
        (Error("x"), False),
        (TimeoutError(), False),
    ],
)
def test_what_may_be_tried_again(error: BaseException, again: bool) -> None:
    assert retryable(error) is again


def test_errors_carry_what_they_say() -> None:
    assert SignalingError("full", "room-full").code == "room-full"
    assert IceFailed("no path").stage == "ice"
    rejected = Rejected("no", "busy", "in a meeting")
    assert (str(rejected), rejected.reason, rejected.text) == ("no", "busy", "in a meeting")
