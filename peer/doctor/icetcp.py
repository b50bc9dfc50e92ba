"""ICE checks over TCP, as a browser makes them that has no other way out (RFC 6544, RFC 4571)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from peer.doctor.findings import CallFinding
from peer.doctor.tcpoffers import MAX_OFFERS, TcpOffers
from peer.rtc.ice import stun
from peer.rtc.ice.candidate import candidate_priority, endpoint
from peer.rtc.ice.framing import FrameError, FrameReader, frame
from peer.rtc.ice.stun import Attribute, Class, Message, Method, StunError
from peer.rtc.ice.tls import connection_failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.doctor.tcpoffers import TcpOffer


SECONDS: Final = 2.0
"""For one check."""


class IceTcp:
    """Checks the TCP candidates of the other side while the call with it is being made: nobody answers them later."""

    def __init__(self) -> None:
        self.offers = TcpOffers()
        self.findings: list[CallFinding] = []
        self._new: asyncio.Queue[TcpOffer] = asyncio.Queue(MAX_OFFERS)

    def note(self, offers: Sequence[TcpOffer]) -> None:
        for offer in offers:
            self._new.put_nowait(offer)  # TcpOffers gives MAX_OFFERS at most

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            offer = await self._new.get()
            self.findings.append(await _checked(offer))
            self._new.task_done()

    async def done(self) -> None:
        """Until those that are known were tried."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS * MAX_OFFERS):
                await self._new.join()


async def _checked(offer: TcpOffer) -> CallFinding:
    shown = endpoint(offer.host, offer.port)
    finding = CallFinding(path="ICE-TCP", remote=f"host {shown}", protocol="tcp")
    try:
        async with asyncio.timeout(SECONDS):
            return replace(finding, seconds=await check(offer))
    except TimeoutError:
        text = f"no answer within {SECONDS:g} s"
    except OSError as error:
        text = connection_failed(error).text
    except StunError as error:
        text = f"what answers there is no ICE: {error}"
    return replace(finding, error=f"{shown}: {text}; check that the port is open to this network")


async def check(offer: TcpOffer) -> float:
    """Seconds until the check was answered. Raises OSError, or StunError; the caller sets the deadline."""
    begun = perf_counter()
    reader, writer = await asyncio.open_connection(offer.host, offer.port)
    try:
        request = Message(Method.BINDING, Class.REQUEST, os.urandom(12))
        request.add(Attribute.USERNAME, offer.username)
        request.add(Attribute.PRIORITY, candidate_priority("prflx", protocol="tcp"))
        request.add(Attribute.ICE_CONTROLLING, int.from_bytes(os.urandom(8), "big"))
        key = offer.password.encode()
        writer.write(frame(request.encode(key, fingerprint=True)))
        frames = FrameReader()
        while data := await reader.read(4096):
            for each in frames.feed(data):
                if _answers(each, request, key):
                    return perf_counter() - begun
        raise ConnectionResetError("it closed the connection without an answer")
    except FrameError as error:
        raise StunError(str(error)) from error
    finally:
        writer.transport.abort()


def _answers(data: bytes, request: Message, key: bytes) -> bool:
    if data[0] > 3:
        return False
    answer = stun.parse(data)
    if answer.transaction_id != request.transaction_id:
        return False
    if answer.message_class != Class.RESPONSE or not answer.check_integrity(key):
        code, reason = answer.error or (0, "")
        raise StunError(f"refused ({code} {reason[:80]})")
    return True
