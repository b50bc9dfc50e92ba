"""How a program ends: signals cancel once, a second Ctrl-C or time forces."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from peer import mainloop
from peer.mainloop import BOUNCE, Ending, run


class Process:
    """Writes down what would be done to the real one."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.left: list[int] = []
        self.gone = threading.Event()
        self.ending = Ending(self.cancel, self.leave)

    def cancel(self) -> None:
        self.cancelled += 1

    def leave(self, code: int) -> None:
        self.left.append(code)
        self.gone.set()


def test_the_first_signal_cancels_and_its_echo_does_nothing() -> None:
    process = Process()
    process.ending.signalled(signal.SIGINT, 10.0)
    process.ending.signalled(signal.SIGINT, 10.0 + BOUNCE / 2)
    process.ending.close()
    assert (process.cancelled, process.left) == (1, [])


def test_a_second_ctrl_c_forces(capsys: pytest.CaptureFixture[str]) -> None:
    process = Process()
    process.ending.signalled(signal.SIGINT, 10.0)
    process.ending.signalled(signal.SIGINT, 10.0 + 2 * BOUNCE)
    process.ending.close()
    assert (process.cancelled, process.left) == (1, [130])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_second_sigterm_does_not() -> None:
    process = Process()
    process.ending.signalled(signal.SIGTERM, 10.0)
    process.ending.signalled(signal.SIGTERM, 20.0)
    process.ending.close()
    assert (process.cancelled, process.left) == (1, [])


def test_what_does_not_end_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mainloop, "END_TIMEOUT", 0.01)
    process = Process()
    process.ending.signalled(signal.SIGTERM, 10.0)
    assert process.gone.wait(10)
    process.ending.close()
    assert process.left == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_work_close_what_it_has(number: signal.Signals) -> None:
    closed = []

    async def work() -> str:
        try:
            signal.raise_signal(number)
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            closed.append(number)
        return "never"

    assert run(work()) is None
    assert closed == [number]


def test_what_the_work_returns_and_raises_comes_out() -> None:
    async def seven() -> int:
        return 7

    async def trouble() -> None:
        raise ValueError("trouble")

    assert run(seven()) == 7
    with pytest.raises(ValueError, match="trouble"):
        run(trouble())


@pytest.mark.may_block("a script that does not let the loop go is what is tested")
def test_time_runs_while_a_script_holds_the_loop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left, gone = [], threading.Event()

    def leave(ending: Ending, sentence: str, code: int) -> None:
        left.append(code)
        gone.set()

    monkeypatch.setattr(mainloop, "END_TIMEOUT", 0.01)
    monkeypatch.setattr(Ending, "_force", leave)

    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        assert gone.wait(10)

    run(work())
    assert left == [1]
