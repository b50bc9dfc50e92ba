"""Tells when the addresses of this host change: netlink tells on Linux, elsewhere they are looked at now and then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from peer.rtc.ice import interfaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

DEBOUNCE: Final = 0.05
"""Seconds from the first sign of a change to the look at it: one reconfiguration is many messages."""
POLL_EVERY: Final = 2.0
"""Seconds between two looks where the kernel does not tell; one takes about half a millisecond."""

_RTMGRP_LINK: Final = 0x1
_RTMGRP_IPV4_IFADDR: Final = 0x10
_RTMGRP_IPV6_IFADDR: Final = 0x100
_NETLINK_ROUTE: Final = 0
_CHANGES: Final = frozenset({16, 17, 20, 21})  # RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR
_MESSAGE: Final = struct.Struct("=IHHII")
_MAX_READS: Final = 64
"""Reads in one turn of the loop; what is left wakes it again."""


class AddressWatch:
    """Calls back with the usable addresses of the host, without loopback, each time that they changed.

    All watches of a loop share one watcher. `close()` ends it with the last of them.
    """

    def __init__(self, callback: Callable[[frozenset[str]], None]) -> None:
        self._callback = callback
        loop = asyncio.get_running_loop()
        watcher = _watchers.get(loop)
        if watcher is None:
            watcher = _watchers[loop] = _Watcher(loop)
        self._watcher: _Watcher | None = watcher
        watcher.watches.append(self)

    @property
    def addresses(self) -> frozenset[str]:
        """As they were when last looked at."""
        return frozenset() if self._watcher is None else self._watcher.addresses

    def changed(self, addresses: frozenset[str]) -> None:
        """For the watcher."""
        if self._watcher is not None:
            try:
                self._callback(addresses)
            except Exception:
                logger.exception("what was to happen when the addresses change failed")

    def close(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.watches.remove(self)
            if not watcher.watches:
                watcher.close()


class _Watcher:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.watches: list[AddressWatch] = []
        self.addresses = current_addresses(fresh=False)
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._netlink = open_netlink()
        if self._netlink is not None:
            try:
                loop.add_reader(self._netlink.fileno(), self._readable)
            except NotImplementedError:  # the proactor loop of Windows; netlink does not exist there either
                self._netlink.close()
                self._netlink = None
        if self._netlink is None:
            self._look_in(POLL_EVERY)

    def _readable(self) -> None:
        assert self._netlink is not None
        if drain(self._netlink):
            self._look_in(DEBOUNCE)

    def _look_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._netlink is None:
            self._look_in(POLL_EVERY)
        addresses = current_addresses(fresh=True)
        if addresses != self.addresses:
            logger.debug("local addresses are now %s", ", ".join(sorted(addresses)) or "none")
            self.addresses = addresses
            for watch in list(self.watches):
                watch.changed(addresses)

    def close(self) -> None:
        _watchers.pop(self._loop, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._netlink is not None:
            self._loop.remove_reader(self._netlink.fileno())
            self._netlink.close()


_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watcher] = WeakKeyDictionary()


def current_addresses(*, fresh: bool) -> frozenset[str]:
    """The addresses of the host that others can reach; empty when it is on no network."""
    return frozenset(local.address for local in interfaces.all_addresses(fresh=fresh) if not local.is_loopback)


def open_netlink() -> socket.socket | None:
    """A socket on which the kernel tells of links and addresses; None where there is none, or it is not allowed."""
    kind = getattr(socket, "AF_NETLINK", None)
    if kind is None:
        return None
    sock = None
    try:
        sock = socket.socket(kind, socket.SOCK_RAW, _NETLINK_ROUTE)
        sock.setblocking(False)
        sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError as error:
        logger.debug("no netlink (%s); addresses are looked at every %g s", error, POLL_EVERY)
        if sock is not None:
            sock.close()
        return None
    return sock


def drain(netlink: socket.socket) -> bool:
    """Reads what is there; whether it may mean that an address changed."""
    found = False
    for _ in range(_MAX_READS):
        try:
            data = netlink.recv(65536)
        except BlockingIOError:
            break
        except OSError:  # ENOBUFS: more happened than fits the buffer
            found = True
            continue
        found = found or any(kind in _CHANGES for kind in message_types(data))
    return found


def message_types(data: bytes) -> Iterator[int]:
    """The types of the netlink messages in `data`; ends at one that is cut off."""
    position = 0
    with contextlib.suppress(struct.error):
        while position < len(data):
            length, kind, *_ = _MESSAGE.unpack_from(data, position)
            if length < _MESSAGE.size:
                return
            yield kind
            position += length + (-length % 4)
