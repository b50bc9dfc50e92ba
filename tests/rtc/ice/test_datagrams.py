"""Sockets that are read in batches: everything comes, in order; what is alone comes at once; nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice import datagrams
from peer.rtc.ice.datagrams import (
    MANY,
    MAX_BATCH,
    MAX_ERRORS,
    MAX_PAUSE,
    MAX_RUN,
    PAUSE,
    Datagram,
    DatagramTransport,
    open_datagrams,
    runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Receiver:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.came: list[bytes] = []
        self.arrived: list[float | None] = []
        self.batches: list[int] = []
        """How many packets of media came together."""
        self.errors: list[Exception] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()
        self.on_data: Callable[[bytes], None] = lambda _: None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...], at: float | None = None) -> None:
        self.came.append(data)
        self.arrived.append(at)
        self.news.set()
        self.on_data(data)

    def media_received(self, datagrams: list[Datagram]) -> None:
        self.batches.append(len(datagrams))
        for data, address, at in datagrams:
            self.datagram_received(data, address, at)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not there():
                self.news.clear()
                await self.news.wait()


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def opened() -> tuple[Receiver, tuple[str, int]]:
    receiver, sock = Receiver(), bound()
    await open_datagrams(sock, receiver)
    return receiver, sock.getsockname()


async def test_what_comes_alone_is_taken_and_answered() -> None:
    one, there = await opened()
    two, here = await opened()
    two.on_data = lambda data: two.transport.sendto(b"re: " + data, here_of_one)
    here_of_one = there
    one.transport.sendto(b"hello", here)
    await one.until(lambda: one.came == [b"re: hello"])
    one.transport.abort()
    two.transport.abort()
    assert await one.lost is None and await two.lost is None


async def test_bursts_come_whole_and_in_order() -> None:
    receiver, address = await opened()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for burst in range(5):
            sent = [f"{burst}-{number}".encode() for number in range(MAX_BATCH + 20)]
            for data in sent:
                sender.sendto(data, address)
            await receiver.until(lambda: len(receiver.came) == MAX_BATCH + 20)
            assert receiver.came == sent
            receiver.came.clear()
    receiver.transport.abort()


async def test_packets_that_follow_one_another_quickly_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pause that never ends, what comes after the second packet waits for it; one socket's pause is all's."""
    monkeypatch.setattr(datagrams, "QUICK", float("inf"))
    loop = asyncio.get_running_loop()
    pauses: list[Callable[[], None]] = []
    for timer in ("call_later", "call_at"):
        monkeypatch.setattr(loop, timer, lambda _, then: pauses.append(then) or _Handle())
    one, to_one = await opened()
    two, to_two = await opened()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\x801", to_one)
        await one.until(lambda: one.came == [b"\x801"])
        sender.sendto(b"\x802", to_one)
        sender.sendto(b"\x803", to_two)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (one.came, two.came) == ([b"\x801"], [])
        pauses.pop()()
        assert (one.came, two.came) == ([b"\x801", b"\x802"], [b"\x803"])
        pauses.pop()()  # nothing came meanwhile: the loop watches again
        sender.sendto(b"\x804", to_two)
        await two.until(lambda: two.came == [b"\x803", b"\x804"])
    one.transport.abort()
    two.transport.abort()


async def test_a_pause_is_longer_where_much_comes_and_short_again_where_little_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datagrams, "QUICK", float("inf"))
    pauses: list[tuple[float, Callable[[], None]]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(datagrams, "tick_after", lambda now: now + 1.0)
    receiver, address = await opened()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: 1000.0)
        patch.setattr(loop, "call_later", lambda delay, then: pauses.append((delay, then)) or _Handle())
        patch.setattr(loop, "call_at", lambda when, then: pauses.append((when - 1000.0, then)) or _Handle())
        sender.sendto(b"\x80", address)
        while not receiver.came:  # noqa: ASYNC110 (a loop whose timers are gone has nothing else)
            await asyncio.sleep(0)
        for count in [MANY] * 6 + [1] * 6:
            for _ in range(count):
                sender.sendto(b"\x80", address)
            pauses[-1][1]()
    delays = [delay for delay, _ in pauses]
    assert delays[0] == PAUSE and delays[6] == pytest.approx(MAX_PAUSE) and delays[-1] == pytest.approx(PAUSE)
    assert delays[:7] == sorted(delays[:7]) and delays[6:] == sorted(delays[6:], reverse=True)
    receiver.transport.abort()


@pytest.mark.parametrize("data", [b"\x00 a check", b"\x16 a handshake", b"\x17 data"])
async def test_what_is_no_media_never_waits(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "QUICK", float("inf"))
    monkeypatch.setattr(datagrams, "PAUSE", 1000.0)
    receiver, address = await opened()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            sender.sendto(data, address)
            await receiver.until(lambda: len(receiver.came) > 0)
            receiver.came.clear()
    receiver.transport.abort()


class _Handle:
    def cancel(self) -> None:
        pass


async def stamped(sock: socket.socket, sender: socket.socket) -> None:
    """Until the kernel notes arrivals: it begins a moment after it was asked to by the first socket of the system."""
    sock.setsockopt(socket.SOL_SOCKET, 35, 1)
    async with asyncio.timeout(10):
        late = 0.0
        while late < 0.01:
            sender.sendto(b"?", sock.getsockname())
            await asyncio.sleep(0.02)
            _, ((_, _, data),), _, _ = sock.recvmsg(1, 100)
            seconds, nanoseconds = struct.unpack("@ll", data)
            late = time.time() - seconds - nanoseconds * 1e-9


async def test_what_came_together_goes_together_with_the_time_at_which_each_came() -> None:
    """However late it is read; other datagrams keep their place between media."""
    receiver, sock = Receiver(), bound()
    address = sock.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        if sys.platform == "linux":
            await stamped(sock, sender)
        before = time.monotonic()
        for data in (b"\x80 1", b"\x80 2", b"\x00 check", b"\x80 3"):
            sender.sendto(data, address)
        after = time.monotonic()
        await asyncio.sleep(0.05)
        await open_datagrams(sock, receiver)
        await receiver.until(lambda: len(receiver.came) == 4)
    assert receiver.came == [b"\x80 1", b"\x80 2", b"\x00 check", b"\x80 3"] and receiver.batches == [2, 1]
    times = [at for at in receiver.arrived if at is not None]
    assert len(times) == 4 and times == sorted(times)
    if sys.platform == "linux":
        assert before - 0.005 < times[0] and times[-1] < after + 0.005
    receiver.transport.abort()


async def test_the_least_patient_socket_says_how_long_all_may_wait() -> None:
    patient, hasty = Receiver(), Receiver()
    await open_datagrams(bound(), patient, 0.5)
    reader = datagrams._readers[asyncio.get_running_loop()]
    assert reader._max_pause == 0.5
    await open_datagrams(bound(), hasty)
    assert reader._max_pause == MAX_PAUSE
    hasty.transport.abort()
    assert reader._max_pause == 0.5
    patient.transport.abort()


async def test_a_receiver_that_fails_costs_only_that_datagram(caplog: pytest.LogCaptureFixture) -> None:
    receiver, address = await opened()

    def fail(data: bytes) -> None:
        if data == b"bad":
            raise ZeroDivisionError

    receiver.on_data = fail
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, caplog.at_level(logging.ERROR):
        sender.sendto(b"bad", address)
        sender.sendto(b"good", address)
        await receiver.until(lambda: receiver.came == [b"bad", b"good"])
    assert "could not be taken" in caplog.text
    receiver.transport.abort()


async def test_closing_while_reading_ends_it() -> None:
    receiver, address = await opened()
    receiver.on_data = lambda _: receiver.transport.abort()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", address)
        sender.sendto(b"2", address)
        assert await asyncio.wait_for(receiver.lost, 10) is None
    assert receiver.came == [b"1"]
    receiver.transport.sendto(b"late", address)
    receiver.transport.abort()


async def test_what_the_network_answers_is_told() -> None:
    receiver, sock = Receiver(), bound()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        sock.connect(gone.getsockname())
    await open_datagrams(sock, receiver)
    receiver.transport.sendto(b"anybody?")
    await receiver.until(lambda: len(receiver.errors) > 0)
    assert isinstance(receiver.errors[0], ConnectionRefusedError)
    receiver.transport.abort()


class FakeSocket:
    """Takes nothing until it is told to; reading fails."""

    def __init__(self) -> None:
        self.full = True
        self.sent: list[tuple[bytes, Any]] = []

    def sendto(self, data: bytes, addr: Any) -> None:
        if self.full:
            raise BlockingIOError
        self.sent.append((data, addr))

    def recvmsg(self, _: int, __: int) -> tuple[bytes, Any, int, Any]:
        raise OSError(errno.EBADF, "broken")

    def close(self) -> None:
        pass


class FakeReader:
    def __init__(self) -> None:
        self.loop = self
        self.writer: Callable[[], None] | None = None

    def add_writer(self, _: Any, writer: Callable[[], None]) -> None:
        self.writer = writer

    def remove_writer(self, _: Any) -> None:
        self.writer = None

    def remove(self, _: Any) -> None:
        pass

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)


async def test_what_a_socket_does_not_take_waits() -> None:
    sock, reader, receiver = FakeSocket(), FakeReader(), Receiver()
    transport = DatagramTransport(sock, receiver, reader, MAX_PAUSE)  # type: ignore[arg-type]
    for number in range(3):
        transport.sendto(bytes([number]), ("a", 1))
    assert transport.get_write_buffer_size() == 3 and reader.writer is not None
    sock.full = False
    reader.writer()
    assert [data for data, _ in sock.sent] == [b"\x00", b"\x01", b"\x02"]
    assert transport.get_write_buffer_size() == 0 and reader.writer is None


async def test_a_broken_socket_is_not_read_for_ever() -> None:
    receiver = Receiver()
    transport = DatagramTransport(FakeSocket(), receiver, FakeReader(), MAX_PAUSE)  # type: ignore[arg-type]
    for _ in range(MAX_ERRORS):
        transport.read(0.0)
    assert not receiver.lost.done() and len(receiver.errors) == MAX_ERRORS
    transport.read(0.0)
    assert isinstance(receiver.lost.result(), OSError)


async def test_without_epoll_the_loop_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    receiver, address = await opened()
    assert not isinstance(receiver.transport, DatagramTransport)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", address)
        await receiver.until(lambda: receiver.came == [b"1"])
    receiver.transport.abort()
    await receiver.lost


async def test_a_socket_that_cannot_be_watched_leaves_nothing_behind() -> None:
    closed = bound()
    closed.close()
    with pytest.raises(ValueError, match="negative"):
        await open_datagrams(closed, Receiver())
    assert asyncio.get_running_loop() not in datagrams._readers
    receiver, address = await opened()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", address)
        await receiver.until(lambda: receiver.came == [b"1"])
    receiver.transport.abort()


# Several in one call


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=100))
def test_runs_are_of_one_size_but_for_their_last(packets: list[bytes]) -> None:
    found = runs(packets)
    assert [data for run in found for data in run] == packets
    for run in found:
        sizes = [len(data) for data in run]
        assert set(sizes[:-1]) <= {sizes[0]} and sizes[-1] <= sizes[0] and len(run) <= MAX_RUN
    for run, after in zip(found, found[1:], strict=False):
        assert len(run) == MAX_RUN or len(run[-1]) < len(run[0]) or len(after[0]) > len(run[0])


async def test_packets_of_a_picture_arrive_one_by_one_and_in_order() -> None:
    sender, _ = await opened()
    receiver, address = await opened()
    packets = [bytes([0x80, number]) + bytes(1000) for number in range(2 * MAX_RUN + 3)]
    packets += [b"\x80a little less", b"\x80larger again" * 3]
    sender.transport.sendto_all(packets, address)
    await receiver.until(lambda: len(receiver.came) == len(packets))
    assert receiver.came == packets and sender.errors == []
    for each in (sender, receiver):
        each.transport.abort()


class Refusing:
    """A socket that takes no several datagrams."""

    def __init__(self, sock: socket.socket, error: OSError) -> None:
        self.sock, self.error = sock, error
        self.asked = 0

    def sendmsg(self, *_: Any) -> int:
        self.asked += 1
        raise self.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


@pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT is Linux's")
@pytest.mark.parametrize(("error", "asked"), [(OSError(errno.EINVAL, "no"), 1), (BlockingIOError(), 2)])
async def test_where_that_cannot_be_they_are_sent_one_by_one(error: OSError, asked: int) -> None:
    sender, _ = await opened()
    receiver, address = await opened()
    refusing = sender.transport._sock = Refusing(sender.transport._sock, error)
    for _ in range(2):
        sender.transport.sendto_all([b"\x801", b"\x802", b"\x803"], address)
    await receiver.until(lambda: len(receiver.came) == 6)
    assert receiver.came == [b"\x801", b"\x802", b"\x803"] * 2 and sender.errors == []
    assert refusing.asked == asked
    for each in (sender, receiver):
        each.transport.abort()


async def test_of_many_packets_some_are_left_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One socket is read in each, however long the others wait by then."""
    monkeypatch.setattr(datagrams, "PASS", 0.0)
    monkeypatch.setattr(datagrams, "LONG_PASS", 0.0)
    receivers = [await opened() for _ in range(4)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(5):
            for _, address in receivers:
                for number in range(20):
                    sender.sendto(bytes([0x80, number]), address)
    for receiver, _ in receivers:
        await receiver.until(lambda receiver=receiver: len(receiver.came) == 100)  # type: ignore[misc]
        receiver.transport.abort()


async def test_where_that_is_never_enough_all_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise packets get lost in sockets that are never looked at."""
    for name, seconds in (("PASS", 0.0), ("LONG_PASS", 1000.0), ("BEHIND", 0.0)):
        monkeypatch.setattr(datagrams, name, seconds)
    receivers = [await opened() for _ in range(4)]
    read, passes = datagrams._Reader._read, []

    def watched(reader: datagrams._Reader) -> int:
        media = read(reader)
        passes.append(sum(bool(receiver.came) for receiver, _ in receivers))
        return media

    monkeypatch.setattr(datagrams._Reader, "_read", watched)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _, address in receivers:
            sender.sendto(b"\x80", address)
    for receiver, _ in receivers:
        await receiver.until(lambda receiver=receiver: receiver.came)  # type: ignore[misc]
        receiver.transport.abort()
    assert passes[:2] == [1, 4]
