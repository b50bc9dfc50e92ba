"""A change of the host's addresses is told once, soon, and to everybody who watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from peer.rtc.ice import netwatch
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.netwatch import AddressWatch
from tests.harness.tools import unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Kernel:
    """A netlink socket that the test writes to, and the addresses that are then found."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses = ["192.0.2.1", "127.0.0.1"]
        self.looks = 0
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self.ours: socket.socket | None = ours
        monkeypatch.setattr(netwatch, "open_netlink", lambda: self.ours)
        monkeypatch.setattr(netwatch.interfaces, "all_addresses", self._look)

    def _look(self, *, fresh: bool) -> list[LocalAddress]:
        self.looks += 1
        return [LocalAddress("eth0", 2, address) for address in self.addresses]

    def tell(self, *kinds: int) -> None:
        self.theirs.send(b"".join(struct.pack("=IHHII", 18, kind, 0, 0, 0) + bytes(4) for kind in kinds))


@pytest.fixture
async def kernel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernel]:
    kernel = Kernel(monkeypatch)
    yield kernel
    kernel.theirs.close()
    if kernel.ours is not None:
        kernel.ours.close()


async def test_a_change_is_told_to_every_watch(kernel: Kernel) -> None:
    told: list[frozenset[str]] = []
    both = asyncio.Semaphore(0)

    def take(addresses: frozenset[str]) -> None:
        told.append(addresses)
        both.release()

    watches = [AddressWatch(take), AddressWatch(take)]
    assert watches[0].addresses == {"192.0.2.1"}
    kernel.addresses.append("2001:db8::1")
    kernel.tell(20)
    await both.acquire()
    await both.acquire()
    assert told == [{"192.0.2.1", "2001:db8::1"}] * 2
    for watch in watches:
        watch.close()


@pytest.mark.virtual_time
async def test_many_messages_are_one_look_and_no_change_is_no_news(kernel: Kernel) -> None:
    told: list[frozenset[str]] = []
    watch = AddressWatch(told.append)
    looks = kernel.looks
    for _ in range(20):
        kernel.tell(16, 20)
    await asyncio.sleep(1)
    assert kernel.looks == looks + 1
    assert told == []
    kernel.tell(24)  # a route: nothing to do with addresses
    await asyncio.sleep(1)
    assert kernel.looks == looks + 1
    watch.close()


@pytest.mark.virtual_time
async def test_where_the_kernel_does_not_tell_the_addresses_are_looked_at(kernel: Kernel) -> None:
    assert kernel.ours is not None
    kernel.ours.close()
    kernel.ours = None
    told: list[frozenset[str]] = []
    watch = AddressWatch(told.append)
    kernel.addresses.append("192.0.2.2")
    await asyncio.sleep(netwatch.POLL_EVERY + 0.1)
    kernel.addresses.clear()
    await asyncio.sleep(netwatch.POLL_EVERY)
    assert told == [{"192.0.2.1", "192.0.2.2"}, frozenset()]
    watch.close()


@pytest.mark.virtual_time
async def test_a_watch_that_fails_or_is_closed_does_not_disturb_the_others(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[frozenset[str]] = []

    def fail(_: frozenset[str]) -> None:
        closed.close()
        raise ZeroDivisionError

    failing = AddressWatch(fail)
    closed = AddressWatch(told.append)
    good = AddressWatch(told.append)
    kernel.addresses.clear()
    kernel.tell(21)
    await asyncio.sleep(1)
    assert told == [frozenset()]
    assert "ZeroDivisionError" in caplog.text
    failing.close()
    good.close()
    good.close()
    assert good.addresses == frozenset()


def test_what_the_kernel_could_not_store_counts_as_a_change() -> None:
    class Full:
        results = iter([OSError(105, "No buffer space available"), b"", BlockingIOError()])

        def recv(self, _: int) -> bytes:
            result = next(self.results)
            if isinstance(result, bytes):
                return result
            assert isinstance(result, OSError)
            raise result

    assert netwatch.drain(Full())  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\1", bytes(16), struct.pack("=IHHII", 4, 20, 0, 0, 0)])
def test_broken_messages_are_left_alone(data: bytes) -> None:
    assert list(netwatch.message_types(data)) == []


def test_netlink_that_is_not_allowed_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(netwatch.socket, "socket", refuse)
    assert netwatch.open_netlink() is None


@contextlib.contextmanager
def namespace(name: str) -> Iterator[str]:
    """A network namespace with one interface, `eth9`."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        unavailable("network namespaces need root and iproute2")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False, timeout=10)
    if made.returncode:
        unavailable(f"no network namespace can be made here: {made.stderr.strip()}")
    try:
        for command in ("link set lo up", "link add eth9 type veth peer name eth9p", "link set eth9p up"):
            subprocess.run(["ip", "-n", name, *command.split()], check=True, timeout=10)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


WATCH = """
import asyncio, sys
from peer.rtc.ice.netwatch import AddressWatch
async def main():
    watch = AddressWatch(lambda addresses: print(*sorted(addresses), "end", flush=True))
    print("start", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    watch.close()
asyncio.run(main())
"""


@pytest.mark.may_block("it reads what a program prints")
def test_the_real_kernel_tells() -> None:
    with namespace(f"netwatch-{os.getpid()}") as name:
        with subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdin is not None and program.stdout is not None
            try:
                assert program.stdout.readline() == "start\n"
                seen = []
                for command in (
                    "link set eth9 up",
                    "address add 198.51.100.1/24 dev eth9",
                    "address add 2001:db8::1/64 dev eth9 nodad",
                    "address del 198.51.100.1/24 dev eth9",
                    "address add 198.51.100.2/24 dev eth9",
                    "link set eth9p down",  # the cable is pulled
                    "link set eth9p up",
                    "link set eth9 down",
                ):
                    subprocess.run(["ip", "-n", name, *command.split()], check=True, timeout=10)
                    if command != "link set eth9 up":  # has no address then
                        seen.append(program.stdout.readline().rstrip())
            finally:
                program.stdin.close()
                program.wait(10)
    assert seen == [
        "198.51.100.1 end",
        "198.51.100.1 2001:db8::1 end",
        "2001:db8::1 end",
        "198.51.100.2 2001:db8::1 end",
        "end",
        "198.51.100.2 2001:db8::1 end",
        "end",
    ]
