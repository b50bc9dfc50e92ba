"""A real Redis on the loopback interface, for as long as a test needs it; it can be killed and started anew."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from tests.harness.ports import block
from tests.harness.servers import ASKED_SECONDS, server
from tests.harness.tools import require

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


class RedisServer:
    """One on a port of its own, without any data on the disk: what is killed forgets everything. Its calls block."""

    def __init__(self, program: str, ports: range) -> None:
        self._program = program
        self._ports = ports
        self.port = ports[0]
        self._running = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        _, self._process = self._running.enter_context(server(self._command, _answers, self._ports))

    def kill(self) -> None:
        """As kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            self._running.close()

    def _command(self, ports: range) -> list[str]:
        return [self._program, "--port", str(ports[0]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]


def _answers(ports: range) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=ASKED_SECONDS) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Runs one."""
    (program,) = require("redis-server")
    with block() as ports:
        redis = RedisServer(program, ports)
        try:
            redis.start()
            yield redis
        finally:
            redis.kill()
