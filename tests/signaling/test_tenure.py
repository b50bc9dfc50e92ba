"""What runs out of a membership, on a clock that jumps: told in time, renewed, ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signaling.credentials import Grants
from signaling.ice_servers import IceServer
from signaling.messages import IceServersChanged, TokenExpiring
from signaling.tenure import NOTICE, Tenure

if TYPE_CHECKING:
    from signaling.codes import ProtocolError
    from signaling.messages import ServerMessage

pytestmark = pytest.mark.virtual_time


class Recorded:
    """Notes when it is told what; its wall clock is `skew` s ahead of the loop's."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.skew = 0.0
        self.heard: list[tuple[float, ServerMessage | str]] = []

    def now(self) -> float:
        return self.loop.time() - self.began + self.skew

    def tell(self, message: ServerMessage) -> None:
        self.heard.append((round(self.now(), 3), message))

    def end(self, error: ProtocolError) -> None:
        self.heard.append((round(self.now(), 3), error.code.value))


def until(expires: float) -> Grants:
    return Grants(room="lab", expires=expires)


async def test_a_notice_and_then_the_end() -> None:
    tenant = Recorded()
    tenure = Tenure(tenant, tenant.now)
    assert tenure.hold(until(1000)) == 1000
    await asyncio.sleep(2000)
    assert tenant.heard == [(1000 - NOTICE, TokenExpiring(NOTICE)), (1000, "token-expired")]


async def test_a_short_life_is_told_at_its_half() -> None:
    tenant = Recorded()
    Tenure(tenant, tenant.now).hold(until(10))
    await asyncio.sleep(100)
    assert tenant.heard == [(5, TokenExpiring(5)), (10, "token-expired")]


async def test_another_token_takes_its_place_before_and_after_the_notice() -> None:
    tenant = Recorded()
    tenure = Tenure(tenant, tenant.now)
    tenure.hold(until(100))
    tenure.hold(until(200))
    await asyncio.sleep(150)
    assert tenure.hold(until(400)) == 250
    await asyncio.sleep(300)
    assert [when for when, _ in tenant.heard] == [140, 340, 400]


async def test_the_wall_clock_may_be_set() -> None:
    tenant = Recorded()
    tenure = Tenure(tenant, tenant.now)
    tenure.hold(until(1000))
    tenant.skew = -500
    await asyncio.sleep(2000)
    assert [when for when, _ in tenant.heard] == [940, 1000]


async def test_nothing_happens_after_the_end() -> None:
    tenant = Recorded()
    tenure = Tenure(tenant, tenant.now)
    tenure.hold(until(100))
    tenure.refresh(30, lambda: [])
    tenure.close()
    tenure.close()
    await asyncio.sleep(1000)
    assert tenant.heard == []


async def test_turn_passwords_are_given_anew() -> None:
    tenant = Recorded()
    tenure = Tenure(tenant, tenant.now)
    tenure.refresh(300, lambda: [IceServer([f"stun:{tenant.now():.0f}"])])
    await asyncio.sleep(700)
    tenure.close()
    assert tenant.heard == [
        (300, IceServersChanged([IceServer(["stun:300"])])),
        (600, IceServersChanged([IceServer(["stun:600"])])),
    ]
