"""A TCP candidate counts when a check is answered there: by a peer of ours, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from peer.channel import MemoryHub
from peer.doctor import icetcp
from peer.doctor.callpaths import CallPath
from peer.doctor.calls import Caller, new_name, try_paths
from peer.doctor.icetcp import IceTcp, check
from peer.doctor.tcpoffers import TcpOffer
from peer.joining import join
from peer.rtc.ice.framing import frame
from peer.rtc.ice.servers import IceSettings
from peer.rtc.ice.stun import Attribute, Class, Message, StunError, parse
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from peer.doctor.findings import CallFinding

PASSWORD = "a-password-of-22-letters"


@contextlib.asynccontextmanager
async def answering(answer: Callable[[Message], bytes]) -> AsyncIterator[TcpOffer]:
    """What answers one check by TCP, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(answer(parse(await reader.readexactly(size))))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield TcpOffer("127.0.0.1", server.sockets[0].getsockname()[1], "theirs:ours", PASSWORD)


def good(request: Message) -> bytes:
    assert request.text(Attribute.USERNAME) == "theirs:ours"
    assert request.check_integrity(PASSWORD.encode())
    answer = Message(request.method, Class.RESPONSE, request.transaction_id)
    answer.add(Attribute.XOR_MAPPED_ADDRESS, ("192.0.2.1", 1))
    return frame(b"\x80 not STUN") + frame(answer.encode(PASSWORD.encode(), fingerprint=True))


def forged(request: Message) -> bytes:
    answer = Message(request.method, Class.RESPONSE, request.transaction_id)
    return frame(answer.encode(b"another password", fingerprint=True))


def refused(request: Message) -> bytes:
    answer = Message(request.method, Class.ERROR, request.transaction_id)
    return frame(answer.add(Attribute.ERROR_CODE, (401, "Unauthorized")).encode())


def of_another(request: Message) -> bytes:
    return frame(Message(request.method, Class.RESPONSE, bytes(12)).encode())


async def test_an_answered_check_counts() -> None:
    async with answering(good) as offer:
        assert 0 < await soon(check(offer)) < 20


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (forged, StunError),
        (refused, StunError),
        (of_another, ConnectionError),
        (lambda request: frame(b"\x00 no STUN"), StunError),
        (lambda request: b"", ConnectionError),
    ],
)
async def test_nothing_else_counts(answer: Callable[[Message], bytes], error: type[Exception]) -> None:
    async with answering(answer) as offer:
        with pytest.raises(error):
            await soon(check(offer))


async def tried(offer: TcpOffer) -> CallFinding:
    tcp = IceTcp()
    running = asyncio.create_task(tcp.run())
    tcp.note([offer])
    await soon(tcp.done())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (finding,) = tcp.findings
    return finding


async def test_what_came_of_it_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(good) as offer:
        found = await tried(offer)
        assert (found.error, found.remote) == (None, f"host 127.0.0.1:{offer.port}")
    async with answering(refused) as offer:
        found = await tried(offer)
        assert found.error == (
            f"127.0.0.1:{offer.port}: what answers there is no ICE: refused (401 Unauthorized); "
            "check that the port is open to this network"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        found = await tried(TcpOffer("127.0.0.1", taken.getsockname()[1], "theirs:ours", PASSWORD))
        assert found.error is not None and "connection refused" in found.error
        monkeypatch.setattr(icetcp, "SECONDS", 0.05)
        taken.listen()  # and never answers
        found = await tried(TcpOffer("127.0.0.1", taken.getsockname()[1], "theirs:ours", PASSWORD))
        assert found.error is not None and "no answer within 0.05 s" in found.error


async def test_a_participant_that_is_reached_by_tcp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hub = MemoryHub()
    network = IceSettings(interfaces=("127.0.0.1",), tcp_port=port)
    async with join(hub.connect, room="doctor", name="echo", network=network) as room:

        async def answer() -> None:
            async for ring in room.rings():
                await ring.accept()

        room.spawn(answer(), "answer")
        caller = Caller(hub.connect, "doctor", new_name(), "echo", IceSettings(interfaces=("127.0.0.1",)), 10.0)
        direct, tcp = await soon(try_paths(caller, [CallPath("direct")], lambda path: None))
    assert direct.error is None
    assert (tcp.path, tcp.to, tcp.own, tcp.error, tcp.remote) == (
        "ICE-TCP",
        "echo",
        False,
        None,
        f"host 127.0.0.1:{port}",
    )
