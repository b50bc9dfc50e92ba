"""Ports for servers that have to be told theirs: several processes run tests at a time, and none may take another's."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 100
FIRST, END = 20_000, 32_700
"""Below all that systems give to a socket that asks for any port: 32768 and more on Linux, 49152 and more elsewhere."""


@contextlib.contextmanager
def block() -> Iterator[range]:
    """Ports in a row that nobody has on the loopback interface, and that no other test gets until this ends.

    The last one is the lock: it is bound for as long. The first ten were free, for TCP and for UDP.
    """
    for first in _shuffled(range(FIRST, END, SIZE)):
        ports = range(first, first + SIZE)
        with contextlib.ExitStack() as stack:
            try:
                _bind(stack, socket.SOCK_STREAM, ports[-1])
                _look(ports[:10])
            except OSError:
                continue
            yield ports[:-1]
            return
    raise RuntimeError(f"no block of {SIZE} ports is free from {FIRST} to {END}")


def _look(ports: range) -> None:
    with contextlib.ExitStack() as stack:
        for port in ports:
            _bind(stack, socket.SOCK_STREAM, port)
            _bind(stack, socket.SOCK_DGRAM, port)


def _bind(stack: contextlib.ExitStack, kind: socket.SocketKind, port: int) -> None:
    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))


def _shuffled(blocks: range) -> list[int]:
    """In an order of this process's own: Hypothesis gives all of them the same `random`."""
    return sorted(blocks, key=lambda _: secrets.token_bytes(4))
