"""Browsers that reach only TCP connect to one port; strangers get nothing there, and do no harm."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from peer.errors import UsageError
from peer.rtc.ice import tcp
from peer.rtc.ice.bases import MAX_WAITING
from peer.rtc.ice.candidate import IceParameters
from peer.rtc.ice.framing import frame
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from peer.rtc.ice.tcp import MAX_CONNECTIONS, MAX_STRANGERS, MAX_STRANGERS_OF_ONE, Passive, TcpBase, join_tcp_port
from tests.rtc.ice.recording import PARAMETERS, Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHER = IceParameters("othercall", "other-password-of-24-chars")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def check(parameters: IceParameters = PARAMETERS, *, key: bytes | None = None, kind: Class = Class.REQUEST) -> bytes:
    message = Message(Method.BINDING, kind, os.urandom(12))
    message.add(Attribute.USERNAME, f"{parameters.username_fragment}:theirs")
    return message.encode(key or parameters.password.encode(), fingerprint=True)


class Browser(asyncio.Protocol):
    """The active end of a connection."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = asyncio.Event()
        self.arrived = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.arrived.set()

    @property
    def address(self) -> tuple[str, int]:
        found: tuple[str, int] = self.transport.get_extra_info("sockname")[:2]
        return found

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(20):
            while len(self.received) < size and not self.closed.is_set():
                self.arrived.clear()
                await self.arrived.wait()
        data, self.received = self.received[:size], self.received[size:]
        return data

    async def until_closed(self) -> None:
        async with asyncio.timeout(20):
            await self.closed.wait()


class Browsers:
    """Connections to a port, closed with the test."""

    def __init__(self) -> None:
        self.all: list[Browser] = []

    async def connect(self, port: int, *, source: str = "127.0.0.1", host: str = "127.0.0.1") -> Browser:
        loop = asyncio.get_running_loop()
        _, browser = await loop.create_connection(Browser, host, port, local_addr=(source, 0))
        self.all.append(browser)
        return browser


@pytest.fixture
async def browsers() -> AsyncIterator[Browsers]:
    made = Browsers()
    yield made
    for each in made.all:
        each.transport.abort()
    await asyncio.sleep(0)


async def listening(listener: Recorder, parameters: IceParameters = PARAMETERS, port: int | None = None) -> Passive:
    passive = await join_tcp_port(port or free_port(), parameters, listener)
    passive.add("127.0.0.1", 65535)
    return passive


def port_of(passive: Passive) -> int:
    return passive.add("127.0.0.1", 65535).port


async def connected(browsers: Browsers, passive: Passive, listener: Recorder) -> tuple[Browser, TcpBase]:
    browser = await browsers.connect(port_of(passive))
    count = len(listener.bases)
    browser.transport.write(frame(check(passive.parameters)))
    await listener.until(lambda: len(listener.bases) > count)
    base = listener.bases[-1]
    assert isinstance(base, TcpBase)
    return browser, base


async def test_a_signed_check_makes_it_a_base(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser = await browsers.connect(port_of(passive))
    first = check()
    for byte in frame(first):  # as slowly as it can be
        browser.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    await listener.until(lambda: listener.stun)
    base = listener.bases[0]
    assert base.candidate == passive.add("127.0.0.1", 65535)
    assert (base.candidate.protocol, base.candidate.tcp_type) == ("tcp", "passive")
    assert listener.stun == [(base, first, browser.address)]
    second = check(OTHER)  # what comes later is the call's to judge
    browser.transport.write(frame(second) + frame(b"\x80media") + frame(b"") + frame(b"\x16dtls"))
    await listener.until(lambda: len(listener.data) == 2)
    assert listener.data == [b"\x80media", b"\x16dtls"]
    assert listener.stun[1] == (base, second, browser.address)
    base.send(b"\x01answer", browser.address)
    base.send(b"\x80", ("127.0.0.1", 9))  # not its other end
    base.send(b"\x80" * 65536, browser.address)  # does not fit a frame
    base.send(b"\x80media", browser.address)
    assert await browser.read(17) == frame(b"\x01answer") + frame(b"\x80media")
    browser.transport.close()
    await listener.until(lambda: listener.lost == [base])
    base.send(b"\x80", browser.address)
    passive.close()


async def test_a_big_frame_may_follow_the_first_check(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser, _ = await connected(browsers, passive, listener)
    browser.transport.write(frame(b"\x80" * 65535))
    await listener.until(lambda: [len(data) for data in listener.data] == [65535])
    passive.close()
    await browser.until_closed()
    assert listener.lost == []


async def test_two_calls_share_the_port(browsers: Browsers) -> None:
    one, two = Recorder(), Recorder()
    first = await listening(one)
    second = await listening(two, OTHER, port_of(first))
    assert port_of(first) == port_of(second)
    _, mine = await connected(browsers, first, one)
    theirs_browser, theirs = await connected(browsers, second, two)
    assert (one.bases, two.bases) == ([mine], [theirs])
    first.close()
    first.close()
    browser = await browsers.connect(port_of(second))
    browser.transport.write(frame(check(PARAMETERS)))  # of the call that is over
    await browser.until_closed()
    theirs.send(b"\x80", theirs_browser.address)
    assert await theirs_browser.read(3) == frame(b"\x80")
    second.close()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"\x80media"),
        frame(b"\0" * 30),
        frame(check(OTHER)),
        frame(check(key=b"guessed")),
        frame(check(kind=Class.RESPONSE)),
        frame(check(kind=Class.INDICATION)),
        frame(check()[:-4]),
        b"\xff\xff",
        frame(Message(Method.ALLOCATE, Class.REQUEST, bytes(12)).add(Attribute.USERNAME, "ourufrag:x").encode(b"k")),
    ],
    ids=["http", "media", "zeros", "other call", "bad key", "answer", "indication", "damaged", "too long", "turn"],
)
async def test_anything_else_ends_it(browsers: Browsers, first: bytes) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser = await browsers.connect(port_of(passive))
    browser.transport.write(first)
    await browser.until_closed()
    assert (listener.bases, listener.stun, listener.data) == ([], [], [])
    passive.close()


@pytest.mark.virtual_time
async def test_who_says_nothing_is_closed(browsers: Browsers) -> None:
    passive = await listening(Recorder())
    browser = await browsers.connect(port_of(passive))
    began = asyncio.get_running_loop().time()
    await browser.closed.wait()
    assert asyncio.get_running_loop().time() - began == pytest.approx(tcp.FIRST_CHECK, abs=0.5)
    passive.close()


async def test_one_address_has_few_connections_that_say_nothing(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    silent = [await browsers.connect(port_of(passive)) for _ in range(MAX_STRANGERS_OF_ONE)]
    one_more = await browsers.connect(port_of(passive))
    await one_more.until_closed()
    assert not any(each.closed.is_set() for each in silent)
    other = await browsers.connect(port_of(passive), source="127.0.0.2")
    other.transport.write(frame(check()))
    await listener.until(lambda: listener.stun)
    silent[0].transport.write(frame(check()))  # known now: there is room for another one
    await listener.until(lambda: len(listener.stun) == 2)
    await connected(browsers, passive, listener)
    passive.close()


async def test_in_all_there_are_few_and_the_oldest_makes_room(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    silent = [
        await browsers.connect(port_of(passive), source=f"127.0.0.{number // MAX_STRANGERS_OF_ONE + 10}")
        for number in range(MAX_STRANGERS)
    ]
    browser = await browsers.connect(port_of(passive))
    await silent[0].until_closed()
    browser.transport.write(frame(check()))
    await listener.until(lambda: listener.stun)
    assert [each.closed.is_set() for each in silent].count(True) == 1
    passive.close()
    for each in silent:
        await each.until_closed()


async def test_a_call_has_few_connections(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    for _ in range(MAX_CONNECTIONS):
        await connected(browsers, passive, listener)
    browser = await browsers.connect(port_of(passive))
    browser.transport.write(frame(check()))
    await browser.until_closed()
    passive.close()


async def test_only_addresses_of_candidates_are_connected_to(browsers: Browsers) -> None:
    """The port listens everywhere; a call whose filter leaves an interface out is not to be had there."""
    listener = Recorder()
    passive = await listening(listener)
    browser = await browsers.connect(port_of(passive), host="127.0.0.3")
    browser.transport.write(frame(check()))
    await browser.until_closed()
    assert listener.bases == []
    passive.close()


async def test_over_ipv6(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    passive.add("::1", 65535)
    browser = await browsers.connect(port_of(passive), host="::1", source="::1")
    browser.transport.write(frame(check()))
    await listener.until(lambda: listener.stun)
    assert listener.bases[0].candidate.address == "::1"
    assert listener.stun[0][2] == browser.address
    passive.close()


async def clog(browser: Browser, base: Any) -> None:
    """The browser reads no more, and what can wait for it waits."""
    browser.transport.pause_reading()
    while not base.dropped:
        base.send(b"\x80" * 1200, browser.address)
        await asyncio.sleep(0)


async def test_media_is_dropped_when_it_cannot_get_out_and_checks_are_not(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser, base = await connected(browsers, passive, listener)
    await clog(browser, base)
    waiting = base._transport.get_write_buffer_size()
    assert waiting <= MAX_WAITING + 1300
    base.send(b"\x00check", browser.address)
    assert base._transport.get_write_buffer_size() == waiting + 8
    dropped = base.dropped
    browser.transport.resume_reading()
    async with asyncio.timeout(20):
        while base._paused:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    base.send(b"\x80media", browser.address)
    assert base.dropped == dropped
    passive.close()


@pytest.mark.virtual_time
async def test_a_connection_that_is_stuck_is_lost(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser, base = await connected(browsers, passive, listener)
    await clog(browser, base)
    while base._transport.get_write_buffer_size() <= tcp.MAX_STUCK:
        base.send(b"\0" * 60000, browser.address)
    dropped = base.dropped
    base.send(b"\0check", browser.address)
    assert base.dropped == dropped + 1
    began = asyncio.get_running_loop().time()
    await listener.until(lambda: listener.lost == [base])
    assert asyncio.get_running_loop().time() - began <= tcp.STUCK
    passive.close()


async def test_a_broken_frame_later_loses_the_connection(browsers: Browsers, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser, base = await connected(browsers, passive, listener)
    base._reader.limit = 10
    browser.transport.write(frame(bytes(11)))
    await listener.until(lambda: listener.lost == [base])
    passive.close()


async def test_a_base_that_is_closed_says_goodbye(browsers: Browsers) -> None:
    listener = Recorder()
    passive = await listening(listener)
    browser, base = await connected(browsers, passive, listener)
    base.send(b"\x15alert", browser.address)
    base.close()
    assert await browser.read(8) == frame(b"\x15alert")
    await browser.until_closed()
    assert listener.lost == []
    passive.close()


async def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"TCP port {port} is taken"):
            await join_tcp_port(port, PARAMETERS, Recorder())


@pytest.mark.parametrize(("number", "words"), [(13, "may not be used"), (12, "cannot be used")])
async def test_a_port_that_may_not_be_used_is_told(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tcp, "_listening_socket", refuse)
    with pytest.raises(UsageError, match=f"TCP port 443 {words}"):
        await join_tcp_port(443, PARAMETERS, Recorder())


async def test_a_host_without_ipv6_listens_all_the_same(browsers: Browsers, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tcp._listening_socket

    def only_four(kind: socket.AddressFamily, host: str, port: int) -> socket.socket:
        if kind == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(kind, host, port)

    monkeypatch.setattr(tcp, "_listening_socket", only_four)
    listener = Recorder()
    passive = await listening(listener)
    await connected(browsers, passive, listener)
    passive.close()


async def test_the_port_is_free_at_once_after_the_last_call() -> None:
    port = free_port()
    for _ in range(3):
        first, second = await asyncio.gather(
            join_tcp_port(port, PARAMETERS, Recorder()), join_tcp_port(port, OTHER, Recorder())
        )
        first.close()
        second.close()


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert tcp._network_of("2001:db8::1") == tcp._network_of("2001:db8:0:0:ffff::2")
    assert tcp._network_of("2001:db8::1") != tcp._network_of("2001:db8:0:1::1")
    assert tcp._network_of("192.0.2.1") == "192.0.2.1"
