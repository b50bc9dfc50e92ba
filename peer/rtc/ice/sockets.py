"""Sockets that are not left open when what is done with them fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@contextlib.contextmanager
def closed_on_failure(sock: socket.socket) -> Iterator[None]:
    """Closes it when the body is left by an exception, a cancellation too; otherwise somebody has it by now."""
    try:
        yield
    except BaseException:
        sock.close()
        raise
