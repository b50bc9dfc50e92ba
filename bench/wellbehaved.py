"""Members of rooms who do as docs/protocol.md says, and count what they hear.

Everybody says numbers to the next one in its room, at a steady rate. Some lose their connection now and then, and come
back: to them as well every number has to come once, and in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

from peer.continuity import Continuity
from signaling import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY = 0.1
"""Seconds."""


@dataclass
class Heard:
    """What came of a sequence of numbers that begins with 0."""

    came: int = 0
    twice: int = 0
    late: int = 0
    """After one that was said later."""
    _next: int = 0
    _missing: set[int] = field(default_factory=set)

    def take(self, number: int) -> None:
        if number >= self._next:
            self._missing.update(range(self._next, number))
            self._next = number + 1
        elif number in self._missing:
            self._missing.discard(number)
            self.late += 1
        else:
            self.twice += 1
            return
        self.came += 1


class Member:
    """One of them; `run` it. `to`: the id that it says numbers to."""

    def __init__(self, session: ClientSession, url: str, room: str, name: str, token: str) -> None:
        self._session, self._url = session, url
        self._secret = secrets.token_hex(16)
        self._join = m.Join(room, name, m.VERSION, token=token, secret=self._secret, resume=True)
        self._place: Continuity | None = None
        self._ws: ClientWebSocketResponse | None = None
        self._ready = False  # whether what it says goes out at once
        self._writing: set[asyncio.Task[None]] = set()
        self.id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.to = ""
        self.hears = ""
        self.said = 0
        self.heard = Heard()
        self.ages: list[float] = []
        """Seconds that numbers were under way, since somebody last took them out."""
        self.resumed = 0
        self.refused: list[str] = []
        """Codes of what the server held against it: there should be none."""

    async def run(self) -> None:
        while True:
            with contextlib.suppress(ClientError, ConnectionError):
                async with self._session.ws_connect(f"{self._url}/ws", max_msg_size=0) as self._ws:
                    await self._attend(self._ws)
            self._ready = False
            await asyncio.sleep(RETRY)

    def say(self) -> None:
        """The next number."""
        data = {"k": self.said, "t": time.perf_counter_ns()}
        self.said += 1
        assert self._place is not None
        text = self._place.numbered(m.encode(m.MessageTo(self.to, data)))
        if self._ready:
            self._write(text)

    def cut(self) -> None:
        """Its connection breaks, without a goodbye."""
        sock: Any = self._ws.get_extra_info("socket") if self._ws is not None else None
        if self._ready and sock is not None:
            self._ready = False
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    async def _attend(self, ws: ClientWebSocketResponse) -> None:
        self._write(m.encode(self._join if self._place is None else self._place.resume()))
        async for frame in ws:
            if frame.type is WSMsgType.TEXT:
                self._take(m.parse_server(frame.data))

    def _take(self, message: m.ServerMessage) -> None:
        if isinstance(message, m.Resumed):
            self._resume(message)
            return
        if isinstance(message, m.Welcome):
            self._place = Continuity(self._join.room, message.id, self._secret)
            self._ready = True
            self.id.set_result(message.id)
        elif isinstance(message, m.ErrorMessage):
            self.refused.append(message.code)
        if self._place is None or not self._place.fresh(message):
            return
        if (due := self._place.due()) is not None:
            self._write(m.encode(due))
        match message:
            case m.MessageFrom(sender, {"k": int(number), "t": int(said)}) if sender == self.hears:
                self.ages.append((time.perf_counter_ns() - said) * 1e-9)
                self.heard.take(number)

    def _resume(self, message: m.Resumed) -> None:
        assert self._place is not None
        again = self._place.resumed(message.got)
        if again is None:
            self.refused.append("more was said than is kept")
            return
        self._ready = True
        self.resumed += 1
        for text in again:
            self._write(text)

    def _write(self, text: str) -> None:
        """Without waiting: what does not fit is little, and comes again with a resume."""
        if self._ws is not None and not self._ws.closed:
            task = asyncio.create_task(_sent(self._ws, text))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)


async def _sent(ws: ClientWebSocketResponse, text: str) -> None:
    with contextlib.suppress(ClientError, ConnectionError):
        await ws.send_str(text)


class Rooms:
    """All of them. Use it with `async with`: they are in their rooms then."""

    def __init__(self, url: str, rooms: list[str], names: list[str], token: Callable[[str, str], str]) -> None:
        self._session = ClientSession()
        self._rooms = [[Member(self._session, url, room, name, token(room, name)) for name in names] for room in rooms]
        self.members = [member for room in self._rooms for member in room]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Rooms:
        self._tasks = [asyncio.create_task(member.run()) for member in self.members]
        async with asyncio.timeout(20):
            for room in self._rooms:
                ids = [await member.id for member in room]
                for number, member in enumerate(room):
                    member.to, member.hears = ids[(number + 1) % len(ids)], ids[number - 1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def talk(self, rate: float, tick: float = 0.02) -> None:
        """So many numbers a second, of all together, for ever."""
        began, said = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate)
            for number in range(said, due):
                self.members[number % len(self.members)].say()
            said = due
            await asyncio.sleep(tick)

    async def break_connections(self, every: float, victims: int) -> None:
        """Cuts the connection of one of the first so many rooms' members, one after the other, for ever."""
        unlucky = [member for room in self._rooms[:victims] for member in room]
        while True:
            for member in unlucky:
                await asyncio.sleep(every)
                member.cut()

    async def settled(self, seconds: float) -> None:
        """Returns when all that was said was heard, or so many seconds are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.said > self.came:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    @property
    def said(self) -> int:
        return sum(member.said for member in self.members)

    @property
    def came(self) -> int:
        return sum(member.heard.came for member in self.members)

    @property
    def twice(self) -> int:
        return sum(member.heard.twice for member in self.members)

    @property
    def late(self) -> int:
        return sum(member.heard.late for member in self.members)

    @property
    def resumed(self) -> int:
        return sum(member.resumed for member in self.members)

    @property
    def refused(self) -> list[str]:
        return [code for member in self.members for code in member.refused]

    def take_ages(self) -> list[float]:
        """Seconds that numbers were under way since this was called last."""
        ages = [age for member in self.members for age in member.ages]
        for member in self.members:
            member.ages.clear()
        return ages
