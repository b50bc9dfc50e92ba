"""The two classes that the programs run on, on each side of a call; what a program made is closed after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCPeerConnection

from peer.rtc.connection import PeerConnection
from tests.dropin.kit import local_only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.dropin.kit import Make


CLASSES: dict[str, Callable[[Any], Any]] = {"stock": RTCPeerConnection, "ours": PeerConnection}


@pytest.fixture
async def _connections() -> AsyncIterator[list[Any]]:
    connections: list[Any] = []
    yield connections
    await asyncio.gather(*(pc.close() for pc in connections))


def _factory(name: str, connections: list[Any]) -> Make:
    def make(configuration: Any = None) -> Any:
        pc = CLASSES[name](configuration or local_only())
        connections.append(pc)
        return pc

    return make


# That a program is right is shown by aiortc itself; it need not be shown each time something of ours changed.
_STOCK_ONLY = pytest.mark.slow


# With itself ours is tested everywhere else.
_OURS_ONLY = pytest.mark.slow
_PAIRS = [
    pytest.param("stock-stock", marks=_STOCK_ONLY),
    "ours-stock",
    "stock-ours",
    pytest.param("ours-ours", marks=_OURS_ONLY),
]


@pytest.fixture(params=_PAIRS)
def _pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Who calls and who is called."""
    caller, callee = request.param.split("-")
    return caller, callee


@pytest.fixture
def make_caller(_pair: tuple[str, str], _connections: list[Any]) -> Make:
    return _factory(_pair[0], _connections)


@pytest.fixture
def make_callee(_pair: tuple[str, str], _connections: list[Any]) -> Make:
    return _factory(_pair[1], _connections)


@pytest.fixture(params=[pytest.param("stock", marks=_STOCK_ONLY), "ours"])
def make(request: pytest.FixtureRequest, _connections: list[Any]) -> Make:
    """For programs that need one side only."""
    return _factory(request.param, _connections)
