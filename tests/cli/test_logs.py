"""Which lines are logged, and how they look."""

from __future__ import annotations

import logging

import pytest

from peer import logs
from peer.errors import UsageError

OURS, THEIRS, NARRATED = "peer.calling", "aioice.ice", "peer.room"


def levels(*names: str) -> list[int]:
    return [logging.getLogger(name).getEffectiveLevel() for name in names]


def test_by_default_ours_speak_and_the_libraries_are_quiet() -> None:
    logs.set_up()
    assert levels(OURS, THEIRS, NARRATED, "signaling.hub") == [
        logging.INFO,
        logging.WARNING,
        logging.WARNING,
        logging.WARNING,
    ]
    logs.set_up(narrated=())
    assert levels("signaling.hub") == [logging.INFO]


def test_verbose_and_quiet() -> None:
    logs.set_up(verbose=1)
    assert levels(OURS, THEIRS, NARRATED) == [logging.DEBUG, logging.WARNING, logging.DEBUG]
    logs.set_up(verbose=2)
    assert levels(OURS, THEIRS) == [logging.DEBUG, logging.DEBUG]
    logs.set_up(quiet=True)
    assert levels(OURS, THEIRS) == [logging.WARNING, logging.WARNING]


def test_the_environment_sets_the_level_and_flags_stand_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER_LOG", "error")
    logs.set_up()
    assert levels(OURS, THEIRS) == [logging.ERROR, logging.ERROR]
    logs.set_up(verbose=1)
    assert levels(OURS) == [logging.DEBUG]
    monkeypatch.setenv("PEER_LOG", "loud")
    with pytest.raises(UsageError, match="use one of debug, info, warning, error"):
        logs.set_up()


def test_setting_up_twice_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    logs.set_up()
    logging.getLogger(OURS).info("alice hung up after %d s", 31)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.partition(" ")[2] == "alice hung up after 31 s"


def test_a_traceback_needs_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (0, 1):
        logs.set_up(verbose=verbose)
        try:
            raise ValueError("no such luck")
        except ValueError:
            logging.getLogger(OURS).exception("the script raised")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.partition(" ")[2] == "error: the script raised (ValueError: no such luck; -v shows where)"
    assert "Traceback (most recent call last):" in rest


def test_what_others_write_steers_no_terminal_and_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    logging.getLogger(OURS).info("alice hung up: %s", "\x1b]0;mine\x07bye\n12:00:00 error: \x9b31m")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.partition(" ")[2] == "alice hung up: ?]0;mine?bye 12:00:00 error: ?31m"
