"""A party that is a whole call of ours, over the signaling server of the laboratory: what users have.

Its signaling goes through the same network as its media, so a disturbance meets both. Numbered texts tell whether one
was lost or came twice.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import peer
from peer.events import Connected, Disconnected, Ended, Reconnected, SignalingLost, SignalingRestored
from tests.network.agents import Agent, Options, ice_settings

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALING = "http://signal.lab:443"
TEXT_SECONDS = 0.1
LEAVE_SECONDS = 4.0

STATES = {Connected: "connected", Reconnected: "connected", Disconnected: "disconnected"}


class CallAgent(Agent):
    """Joins the row's room, then calls or answers."""

    def __init__(self, options: Options, report: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(options, report)
        self._room: peer.Room | None = None
        self._call: peer.Call | None = None

    async def start(self) -> None:
        self.spawn(self._take_part())

    async def _take_part(self) -> None:
        own, other = ("first", "second") if self.options.offers else ("second", "first")
        settings = ice_settings(self.options)
        joining = peer.join(
            SIGNALING,
            room=self.options.room,
            name=own,
            audio="test",
            ice_servers=settings.servers,
            network=settings,
        )
        try:
            room = self._room = await joining
            self.spawn(self._follow_room(room))
            if self.options.offers:
                await room.wait_for(other)
                # What is measured is the call, not the way into the room.
                self.report({"event": "start", "at": time.monotonic()})
                self._follow(await room.call(other))
            else:
                async for ring in room.rings():
                    self._follow(await ring.accept())
        except peer.Error as error:
            self.state("connection", "failed", sentence=str(error))

    def _follow(self, call: peer.Call) -> None:
        self._call = call
        for work in (self._events(call), self._sound(call), self._messages(call), self._write(call)):
            self.spawn(work)

    async def _follow_room(self, room: peer.Room) -> None:
        async for event in room.events():
            if isinstance(event, SignalingLost | SignalingRestored):
                self.report({"event": type(event).__name__, "at": time.monotonic()})

    async def _events(self, call: peer.Call) -> None:
        async for event in call.events():
            if type(event) in STATES:
                self.state("connection", STATES[type(event)])
            elif isinstance(event, Ended):
                self.state("connection", "failed", sentence=f"{event.reason}: {event.text}")

    async def _sound(self, call: peer.Call) -> None:
        async for _ in call.sound():
            self.arrived("audio")

    async def _messages(self, call: peer.Call) -> None:
        async for text in call.messages():
            self.arrived("text")
            self.texts.append(int(text))

    async def _write(self, call: peer.Call) -> None:
        number = 0
        while call.open:
            try:
                await call.write(str(number))
                number += 1
            except peer.CallEnded:
                return
            except peer.Error as error:
                self.report({"event": "not written", "at": time.monotonic(), "text": str(error)})
            await asyncio.sleep(TEXT_SECONDS)

    async def signal(self, message: dict[str, Any]) -> None:
        raise NotImplementedError("a call has signaling of its own")

    async def restart(self) -> None:
        raise NotImplementedError("a call restarts by itself")

    async def pair(self) -> dict[str, Any] | None:
        found = (await self._call.stats()).pair if self._call is not None else None
        if found is None:
            return None
        ends = {"local": (found.local_type, found.local_address), "remote": (found.remote_type, found.remote_address)}
        protocol = "udp" if found.local_type == "relay" else found.protocol
        shown = {
            name: {"type": kind, "protocol": protocol, "relay": None, "address": at.rpartition(":")[0]}
            for name, (kind, at) in ends.items()
        }
        return {**shown, "reason": found.reason}

    async def close(self) -> None:
        if self._room is not None:
            await asyncio.wait_for(self._room.leave(), LEAVE_SECONDS)
        await self.end_tasks()
