"""A node of several is to its clients as a server alone: the tests of that, with a node that owns every room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signaling.backplane import MemoryBackplane, MemoryBus
from signaling.cluster import ClusterHub
from tests.signaling.test_admin import *  # noqa: F403
from tests.signaling.test_clients import *  # noqa: F403
from tests.signaling.test_exchange import *  # noqa: F403
from tests.signaling.test_identity import *  # noqa: F403
from tests.signaling.test_websocket import *  # noqa: F403

if TYPE_CHECKING:
    from signaling.gate import Gate
    from signaling.settings import Settings

pytestmark = pytest.mark.slow

del test_nobody_who_is_gone_stays_after_the_grace  # noqa: F821 - to the second; test_cluster.py has it for nodes


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(settings: Settings, gate: Gate) -> ClusterHub:
        bus = MemoryBus(lambda: asyncio.get_running_loop().time())
        return ClusterHub(settings, MemoryBackplane(bus, "one"), gate)

    monkeypatch.setattr("signaling.app._make_hub", make)
