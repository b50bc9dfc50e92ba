"""The hub: who is counted, who is told at the end, and that the end is bounded."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from signaling.codes import Code, ProtocolError
from signaling.hub import Hub
from signaling.messages import Join
from signaling.settings import Limits, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.delivery import Delivery
    from signaling.messages import ServerMessage


class Listener:
    """A recipient that notes everything."""

    def __init__(self) -> None:
        self.heard: list[ServerMessage] = []
        self.dropped: list[Code] = []
        self.aborted = False

    def deliver(self, delivery: Delivery) -> None:
        self.heard.append(delivery.message)

    def drop(self, error: ProtocolError) -> None:
        self.dropped.append(error.code)

    def abort(self) -> None:
        self.aborted = True


async def test_draining_waits_for_everybody_and_lets_nobody_in() -> None:
    hub = Hub(Settings())
    member, unjoined, guest = Listener(), Listener(), Listener()
    hub.connect(member)
    hub.connect(unjoined)
    member_id = hub.join(member, Join("lab", "a", 1))
    guest_id, host = await hub.admit_guest(guest, "lab", "a")
    assert host.id == member_id
    drained = asyncio.create_task(hub.drain(1000))
    await asyncio.sleep(0)
    assert member.dropped == unjoined.dropped == guest.dropped == [Code.SHUTTING_DOWN]
    with pytest.raises(ProtocolError) as refused:
        hub.connect(Listener())
    assert refused.value.code is Code.SHUTTING_DOWN
    with pytest.raises(ProtocolError) as refused:
        await hub.admit_guest(Listener(), "lab", "a")
    assert refused.value.code is Code.SHUTTING_DOWN
    ends: list[Callable[[], None]] = [
        partial(hub.leave, member_id, "shutting-down"),
        partial(hub.disconnect, member),
        partial(hub.dismiss_guest, guest_id),
    ]
    for end in ends:
        end()
        await asyncio.sleep(0)
        assert not drained.done()
    hub.disconnect(unjoined)
    await drained


@pytest.mark.virtual_time
async def test_draining_does_not_wait_for_ever() -> None:
    hub = Hub(Settings())
    stays = Listener()
    hub.connect(stays)
    before = asyncio.get_running_loop().time()
    await hub.drain(2)
    assert asyncio.get_running_loop().time() - before == pytest.approx(2)
    assert stays.aborted


async def test_an_empty_hub_is_drained_at_once() -> None:
    await Hub(Settings()).drain(1000)


async def test_connections_are_bounded() -> None:
    hub = Hub(Settings(limits=Limits(connections=1)))
    first = Listener()
    hub.connect(first)
    with pytest.raises(ProtocolError) as refused:
        hub.connect(Listener())
    assert refused.value.code is Code.SERVER_FULL
    hub.disconnect(first)
    hub.connect(Listener())


async def test_ids_differ_and_are_unlike_those_of_guests() -> None:
    hub = Hub(Settings())
    ids = {hub.join(Listener(), Join(f"room{number}", "a", 1)) for number in range(50)}
    guests = {(await hub.admit_guest(Listener(), f"room{number}", "a"))[0] for number in range(50)}
    assert len(ids | guests) == 100
    assert not any(one.startswith("http-") for one in ids)
    assert all(one.startswith("http-") for one in guests)
