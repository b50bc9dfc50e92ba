"""Sockets that are not left open."""

from __future__ import annotations

import asyncio
import socket

import pytest

from peer.rtc.ice.sockets import closed_on_failure


@pytest.mark.parametrize("failure", [OSError, asyncio.CancelledError])
def test_it_is_closed_when_something_fails_and_then_only(failure: type[BaseException]) -> None:
    with socket.socket() as sock:
        with closed_on_failure(sock):
            pass
        assert sock.fileno() >= 0
        with pytest.raises(failure), closed_on_failure(sock):
            raise failure
        assert sock.fileno() == -1
