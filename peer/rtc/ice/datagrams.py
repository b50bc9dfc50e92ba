"""UDP sockets of an event loop that are read in batches, where the system has epoll.

Waking a process for each packet of a burst costs more than the packet: a picture comes as ten of them, a few hundredths
of a millisecond apart. So once packets of media follow one another quickly, all sockets of the loop are left
alone for a moment, then read together: for 2 ms, which is enough for a picture, and for longer where many calls
keep the process busy, as a packet costs a fraction where those before it left the caches warm. Who gets a packet now
and then gets it at once; so does ICE, DTLS and data. When each came, the kernel has noted: to its sender, and to every
clock here, it looks as if it had been read at once.

Elsewhere the loop's own datagram endpoints serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, Final, Protocol, cast
from weakref import WeakKeyDictionary

from peer.rtc.ticks import tick_after

logger = logging.getLogger(__name__)

PAUSE: Final = 0.002
"""Seconds: what a packet may wait for those that follow it ..."""
MAX_PAUSE: Final = 0.010
"""... and where there are many of them, unless another time was asked for."""
GROWTH: Final = 1.5
"""By which a pause is longer than the one before it, as long as `MANY` packets or more came in that."""
MANY: Final = 4
QUICK: Final = 0.001
"""Seconds within which packets follow one another quickly."""
MAX_BATCH: Final = 64
"""Datagrams of one socket at a time; then it is the others' turn."""
PASS: Final = 0.002
"""Seconds after which no other socket is read, but the loop has its turn: there is more to it than media ..."""
LONG_PASS: Final = 0.016
"""... but where that was not enough for so long ..."""
BEHIND: Final = 0.25
"""... packets would get lost, and whoever sends them is told: then reading comes first."""
OLD: Final = 2.0
"""Seconds that a datagram may have been in its socket; what seems older came after the clock was set."""
MAX_ERRORS: Final = 1000
_DTLS: Final = 63
"""The highest first byte of what is STUN or DTLS; above are TURN's channels ..."""
_CHANNELS: Final = 127
"""... and above those media (RFC 7983)."""
MAX_DATAGRAM: Final = 1 << 16
_SO_TIMESTAMPNS: Final = 35
"""Linux's; Python has no name for it."""
_TIMESPEC: Final = struct.Struct("@ll")
_unpack: Final = _TIMESPEC.unpack
_CONTROL: Final = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


_UDP_SEGMENT: Final = 103
"""Linux's; Python has no name for it."""
_SEGMENT: Final = struct.Struct("@H")
MAX_RUN: Final = 40
"""Datagrams sent in one call: all of them together are one to the kernel, of 64 KiB at most."""


Datagram = tuple[bytes, Any, float]
"""What came, from which address, and when it reached this host: in seconds of the monotonic clock."""


class DatagramReceiver(Protocol):
    """What is told of a socket: a part of `asyncio.DatagramProtocol`, and media in batches."""

    def connection_made(self, transport: Any) -> None: ...
    def datagram_received(self, data: bytes, addr: tuple[Any, ...], at: float | None = None) -> None:
        """What is no media, or where there is no epoll; `at`: when it came, None for now."""

    def media_received(self, datagrams: list[Datagram]) -> None:
        """What came since the last time, in order, and in order with the rest."""

    def error_received(self, exc: Exception) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class DatagramTransport:
    """One socket, with the methods of `asyncio.DatagramTransport` that are used here."""

    def __init__(self, sock: socket.socket, receiver: DatagramReceiver, reader: _Reader, max_pause: float) -> None:
        self._sock, self._receiver, self._reader = sock, receiver, reader
        self.max_pause: Final = max_pause
        self._waiting: deque[tuple[bytes, Any]] = deque()
        self._waiting_bytes = 0
        self._errors = 0
        """In a row, with nothing read in between."""
        self._closed = False
        self._segments = sys.platform == "linux"
        """Whether several datagrams are sent in one call."""

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send now, or when the socket takes more; `addr` is left out where the socket is connected."""
        if not self._waiting and not self._closed and not self._sent(data, addr):
            self._reader.loop.add_writer(self._sock, self._writable)
            self._keep(data, addr)
        elif self._waiting:
            self._keep(data, addr)

    def sendto_all(self, packets: list[bytes], addr: Any) -> None:
        """The same of several: those of one size, and a smaller one after them, in one call, where the system can."""
        for run in runs(packets) if self._segments and len(packets) > 1 else [packets]:
            together = len(run) > 1 and self._segments and not self._waiting and not self._closed
            if not (together and self._sent_together(run, addr)):
                for data in run:
                    self.sendto(data, addr)

    def _sent_together(self, run: list[bytes], addr: Any) -> bool:
        """One message that the kernel, or the network card, cuts up (UDP_SEGMENT); False when nothing was sent."""
        size = [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT.pack(len(run[0])))]
        try:
            self._sock.sendmsg(run, size, 0, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:  # whatever is wrong, sending one by one shows it, or goes on
            logger.debug("datagrams are sent one by one from now on: %s", error)
            self._segments = False
            return False
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes that wait; whoever sends keeps an eye on it."""
        return self._waiting_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == "socket" else default

    def abort(self) -> None:
        """Close the socket; what waits is dropped. The receiver hears of it, as with asyncio, a turn later."""
        self._close(None)

    def _close(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        if self._waiting:
            self._reader.loop.remove_writer(self._sock)
            self._waiting.clear()
        self._reader.remove(self._sock)
        self._sock.close()
        self._reader.loop.call_soon(self._receiver.connection_lost, error)

    def read(self, ahead: float) -> int:
        """Hand on what came; returns how much of it was media, going by the first byte (RFC 7983).

        `ahead`: by how much the monotonic clock is ahead of the wall clock.
        """
        receive, now = self._sock.recvmsg, time.monotonic()
        media = 0
        datagrams: list[Datagram] = []
        for _ in range(MAX_BATCH):
            try:
                data, control, _, address = receive(MAX_DATAGRAM, _CONTROL)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._failed(error)
                break
            self._errors, at = 0, now
            if control:
                seconds, nanoseconds = _unpack(control[0][2])
                at = seconds + ahead + nanoseconds * 1e-9
                if not now - OLD < at < now:  # the wall clock was set meanwhile, or it came just now
                    at = now
            first = data[0] if data else 0
            if first > _CHANNELS:
                datagrams.append((data, address, at))
                continue
            if datagrams:
                media += len(datagrams)
                self._receiver.media_received(datagrams)
                datagrams = []
            media += first > _DTLS
            self._receiver.datagram_received(data, address, at)
            if self._closed:
                return media
        if datagrams:
            self._receiver.media_received(datagrams)
        return media + len(datagrams)

    def _failed(self, error: OSError) -> None:
        """The network answered so to something that was sent; or the socket is broken, which shows as it goes on."""
        self._errors += 1
        if self._errors > MAX_ERRORS:
            self._close(error)
        else:
            self._receiver.error_received(error)

    def _sent(self, data: bytes, addr: Any) -> bool:
        """False when the socket takes no more now."""
        try:
            if addr is None:
                self._sock.send(data)
            else:
                self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._receiver.error_received(error)
        return True

    def _keep(self, data: bytes, addr: Any) -> None:
        self._waiting.append((data, addr))
        self._waiting_bytes += len(data)

    def _writable(self) -> None:
        while self._waiting and self._sent(*self._waiting[0]):
            if self._closed:  # whoever heard of an error closed it
                return
            data, _ = self._waiting.popleft()
            self._waiting_bytes -= len(data)
        if not self._waiting:
            self._reader.loop.remove_writer(self._sock)


def runs(packets: list[bytes]) -> list[list[bytes]]:
    """Those of one size together, with a smaller one after them; in order."""
    sizes = list(map(len, packets))
    if 0 < len(sizes) <= MAX_RUN and sizes[-1] <= sizes[0] and sizes[:-1] == [sizes[0]] * (len(sizes) - 1):
        return [packets]  # as of nearly every picture
    found: list[list[bytes]] = []
    size = -1
    for data in packets:
        if size >= 0 and len(data) <= size and len(found[-1]) < MAX_RUN:
            found[-1].append(data)
            size = size if len(data) == size else -1
        else:
            found.append([data])
            size = len(data)
    return found


class _Reader:
    """Watches the sockets of one loop with an epoll of its own, which the loop watches in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._transports: dict[int, DatagramTransport] = {}
        self._last = 0.0
        self._pause = PAUSE
        self._behind: float | None = None
        """Since when sockets are left unread again and again."""
        self._more = False
        """Whether sockets were left unread."""
        self._max_pause = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        try:
            loop.add_reader(self._epoll.fileno(), self._ready)
        except BaseException:
            self._epoll.close()
            raise

    def add(self, sock: socket.socket, transport: DatagramTransport) -> None:
        try:
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BaseException:
            self._close_if_idle()
            raise
        self._transports[sock.fileno()] = transport
        self._max_pause = min(self._max_pause, transport.max_pause)

    def remove(self, sock: socket.socket) -> None:
        del self._transports[sock.fileno()]
        self._max_pause = min((each.max_pause for each in self._transports.values()), default=float("inf"))
        self._epoll.unregister(sock.fileno())
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        """It closes with its last socket."""
        if self._transports:
            return
        if _readers.get(self.loop) is self:
            del _readers[self.loop]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        else:
            self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        now = time.monotonic()
        quick, self._last = now - self._last < QUICK, now
        if self._read() and quick and self._transports:
            self.loop.remove_reader(self._epoll.fileno())
            self._pause = PAUSE
            self._timer = self.loop.call_later(PAUSE, self._again)

    def _again(self) -> None:
        self._timer = None
        media = self._read()
        if not self._transports:
            return
        if media:
            longer = media >= MANY
            self._pause = min(self._pause * GROWTH, self._max_pause) if longer else max(self._pause / GROWTH, PAUSE)
            at = self.loop.time()
            self._timer = self.loop.call_at(at if self._more else self._next(at), self._again)
        else:
            self.loop.add_reader(self._epoll.fileno(), self._ready)

    def _next(self, now: float) -> float:
        """When to read again: after the pause, and together with whatever is done on a common tick."""
        due, tick = now + self._pause, tick_after(now)
        return tick if now + self._pause / 2 < tick < due + self._pause / 2 else due

    def _read(self) -> int:
        """How many packets of media came."""
        began = time.monotonic()
        media, ahead = 0, began - time.time()
        self._more = False
        longest = PASS if self._behind is None or began - self._behind < BEHIND else LONG_PASS
        for descriptor, _ in self._epoll.poll(0):
            if media and time.monotonic() - began > longest:
                self._more = True
                break
            transport = self._transports.get(descriptor)
            if transport is None:  # reading another closed it
                continue
            try:
                media += transport.read(ahead)
            except Exception:  # it would end the reading of all sockets; what is left in this one is read next time
                logger.exception("a datagram could not be taken")
        if not self._more:
            self._behind = None
        elif self._behind is None:
            self._behind = began
        return media


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Reader] = WeakKeyDictionary()


async def open_datagrams(sock: socket.socket, receiver: DatagramReceiver, max_pause: float = MAX_PAUSE) -> None:
    """Have the running loop read `sock`, which is not blocking, for `receiver`, which gets its transport at once.

    `max_pause`: seconds that packets may wait; what is least among the loop's sockets holds for all.

    As `loop.create_datagram_endpoint(lambda: receiver, sock=sock)`. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    reader = _readers.get(loop)
    if reader is None and hasattr(select, "epoll"):
        try:
            reader = _readers[loop] = _Reader(loop)
        except NotImplementedError:  # a loop that watches no descriptors
            reader = None
    if reader is None:
        await loop.create_datagram_endpoint(lambda: cast("asyncio.DatagramProtocol", receiver), sock=sock)
        return
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    transport = DatagramTransport(sock, receiver, reader, max_pause)
    reader.add(sock, transport)
    receiver.connection_made(transport)
