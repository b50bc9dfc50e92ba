"""A cable that takes time: carries packets between two TUN devices, each in a namespace of its own.

The kernel that tests run on may have no netem. Run as `python -m tests.network.delay SECONDS NS DEVICE NS DEVICE`;
writes a line when both devices are there and ends with its standard input.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

from tests.network.namespaces import inside

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000
MOST_WAITING = 2000
"""Packets on the way in one direction; a longer queue loses the newest, as a router does."""


def open_device(namespace: str, name: str) -> int:
    def there() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
        return descriptor

    return inside(namespace, there)


def carry(left: int, right: int, seconds: float) -> None:
    """Carries packets both ways, each `seconds` late, until standard input ends."""
    waiting: dict[int, deque[tuple[float, bytes]]] = {left: deque(), right: deque()}
    other = {left: right, right: left}
    poll = select.poll()
    for descriptor in (left, right, sys.stdin.fileno()):
        poll.register(descriptor, select.POLLIN)
    while True:
        due = [queue[0][0] for queue in waiting.values() if queue]
        # In whole milliseconds, rounded up: rounded down it would spin.
        timeout = None if not due else max(0.0, min(due) - time.monotonic()) * 1000 + 0.5
        for descriptor, _ in poll.poll(timeout):
            if descriptor not in other:
                return
            _take(descriptor, waiting[other[descriptor]], seconds)
        now = time.monotonic()
        for descriptor, queue in waiting.items():
            while queue and queue[0][0] <= now:
                _put(descriptor, queue.popleft()[1])


def _take(descriptor: int, queue: deque[tuple[float, bytes]], seconds: float) -> None:
    at = time.monotonic() + seconds
    while True:
        try:
            packet = os.read(descriptor, 65536)
        except OSError:  # nothing more, or the device is down
            return
        if len(queue) < MOST_WAITING:
            queue.append((at, packet))


def _put(descriptor: int, packet: bytes) -> None:
    try:
        os.write(descriptor, packet)
    except OSError:
        return  # the device is down, and a packet on it is lost


if __name__ == "__main__":
    late, *ends = sys.argv[1:]
    devices = open_device(ends[0], ends[1]), open_device(ends[2], ends[3])
    print("ready", flush=True)  # noqa: T201
    carry(*devices, float(late))
