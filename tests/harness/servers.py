"""Servers of others that tests start: one is there when it answers, and is started once more when it does not."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness import ports as harness_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SILENT_SECONDS = 10.0
"""As long a server may start, even on a busy machine; most take a tenth of a second."""
TRIALS = 2
ASKED_SECONDS = 0.5
"""As long an answer may take."""

_BINDING_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42"
_BINDING_RESPONSE = b"\x01\x01"


class Silent(RuntimeError):
    """A server that ended, or did not answer in time; with the end of its log."""


@contextlib.contextmanager
def server(
    command: Callable[[range], list[str]], answers: Callable[[range], bool], ports: range | None = None
) -> Iterator[tuple[range, subprocess.Popen[bytes]]]:
    """Runs the program that `command` names for some ports, as soon as it `answers` there; it blocks.

    `ports`: these, which the caller holds (`ports.block()`); otherwise others at each trial. Raises Silent.
    """
    with contextlib.ExitStack() as stack:
        for left in reversed(range(TRIALS)):
            with contextlib.ExitStack() as trial:
                mine = ports or trial.enter_context(harness_ports.block())
                try:
                    process = trial.enter_context(_process(command(mine), lambda: answers(mine)))  # noqa: B023
                except Silent:
                    if not left:
                        raise
                    continue
                stack.push(trial.pop_all())
                break
        yield mine, process


@contextlib.contextmanager
def _process(command: list[str], answers: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """In a folder of its own."""
    with tempfile.TemporaryDirectory(prefix=f"{Path(command[0]).name}-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            deadline = time.monotonic() + SILENT_SECONDS
            while not answers():
                code = process.poll()
                if code is not None or time.monotonic() > deadline:
                    how = f"ended with {code}" if code is not None else "does not answer"
                    raise Silent(f"{command[0]} {how}:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.01)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def answers_stun(address: tuple[str, int], transport: str = "udp") -> bool:
    """Whether a STUN server answers a Binding request there, over udp, tcp or tls. It blocks."""
    try:
        with _connected(address, transport) as sock:
            transaction = os.urandom(12)
            sock.sendall(_BINDING_REQUEST + transaction)
            answer = sock.recv(2048)
            return answer[:2] == _BINDING_RESPONSE and answer[8:20] == transaction
    except OSError:
        return False


@contextlib.contextmanager
def _connected(address: tuple[str, int], transport: str) -> Iterator[socket.socket]:
    if transport != "udp":
        with socket.create_connection(address, timeout=ASKED_SECONDS) as sock:
            if transport == "tcp":
                yield sock
            else:
                with _anyone().wrap_socket(sock) as secured:
                    yield secured
        return
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ASKED_SECONDS)
        sock.connect(address)
        yield sock


def _anyone() -> ssl.SSLContext:
    """Takes any certificate: whether it answers is asked, not who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
