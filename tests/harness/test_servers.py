"""A server that a test starts is there when it answers; one that does not is started once more, then told of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness import servers
from tests.harness.ports import FIRST, SIZE, block
from tests.harness.servers import Silent, answers_stun, server

if TYPE_CHECKING:
    from collections.abc import Callable

ENDS = [sys.executable, "-S", "-c", "raise SystemExit('address in use')"]
STAYS = [sys.executable, "-S", "-c", "import signal; signal.pause()"]


def one_after_the_other(*commands: list[str]) -> tuple[Callable[[range], list[str]], list[range]]:
    """What starts these, and the ports that each was given."""
    left, given = list(commands), list[range]()

    def command(ports: range) -> list[str]:
        given.append(ports)
        return left.pop(0)

    return command, given


def never(ports: range) -> bool:
    return False


def test_one_that_ends_is_started_once_more_on_other_ports() -> None:
    command, given = one_after_the_other(ENDS, STAYS)
    with server(command, lambda ports: len(given) == 2) as (ports, process):
        assert ports == given[1]
        assert process.poll() is None
    assert process.poll() is not None


def test_one_that_is_silent_is_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "SILENT_SECONDS", 0.0)
    command, given = one_after_the_other(STAYS, STAYS)
    with server(command, lambda ports: len(given) == 2):
        pass


def test_one_that_never_answers_is_told_of_with_its_log() -> None:
    command, given = one_after_the_other(ENDS, ENDS)
    with pytest.raises(Silent, match="ended with 1:\naddress in use"), server(command, never):
        pass
    assert len(given) == 2


def test_ports_that_are_held_are_kept() -> None:
    with block() as ports:
        command, given = one_after_the_other(ENDS, STAYS)
        with server(command, lambda _: len(given) == 2, ports):
            assert given == [ports, ports]


def test_nobody_gets_ports_that_somebody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with block() as first:
        monkeypatch.setattr("tests.harness.ports._shuffled", lambda blocks: [first[0], *blocks])
        with block() as second:
            assert first != second
            assert len(second) == SIZE - 1 and (second[0] - FIRST) % SIZE == 0


def test_who_does_not_listen_does_not_answer() -> None:
    with block() as ports:
        assert not any(answers_stun(("127.0.0.1", ports[0]), transport) for transport in ("udp", "tcp", "tls"))
