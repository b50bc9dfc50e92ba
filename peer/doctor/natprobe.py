"""The tests of RFC 5780 section 4, with a server that has a second address and says so in OTHER-ADDRESS."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from peer.doctor.nat import Behaviour
from peer.doctor.stunprobe import CHANGE_ADDRESS, CHANGE_PORT, StunProbe
from peer.rtc.ice.interfaces import is_ip
from peer.rtc.ice.stun import Attribute, Class

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from peer.doctor.stunprobe import Answer
    from peer.rtc.ice.bases import Address

SILENCE: Final = 1.2
"""Seconds after which no answer counts as none: three transmissions, and a round trip of half a second for the last."""


def other_address(answer: Answer) -> Address | None:
    """The second address of the server, where it is one that can be asked (section 3.2: address and port differ)."""
    found = answer.message.address(Attribute.OTHER_ADDRESS)
    if found is None or not is_ip(found[0]) or not found[1]:
        return None
    host = ip_address(found[0])
    if host.is_unspecified or host.is_multicast or found[0] == answer.source[0] or found[1] == answer.source[1]:
        return None
    return found if host.version == ip_address(answer.source[0]).version else None


async def examine(local: str, server: Address) -> Behaviour | None:
    """What the NAT before the address `local` does. None when the server answers no more. Raises OSError."""
    mapping, filtering = await asyncio.gather(_mapping(local, server), _filtering(local, server))
    if mapping is None:
        return None
    mapped, by_address, by_port = mapping
    return Behaviour(
        server=server,
        mapped=mapped,
        mapped_by_other_address=by_address,
        mapped_by_other_port=by_port,
        heard_other_address=filtering[0],
        heard_other_port=filtering[1],
    )


async def _mapping(local: str, server: Address) -> tuple[Address, Address | None, Address | None] | None:
    probe = await StunProbe.open(local)
    try:
        first = await _answer(probe.ask(server))
        mapped = None if first is None else first.message.mapped_address
        other = None if first is None else other_address(first)
        if mapped is None or other is None:
            return None
        # Section 4.3: the other address at the same port (test II), then at its other port too (test III).
        by_address = await _answer(probe.ask((other[0], server[1])))
        by_port = await _answer(probe.ask(other)) if by_address is not None else None
        return mapped, _mapped(by_address), _mapped(by_port)
    finally:
        probe.close()


async def _filtering(local: str, server: Address) -> tuple[bool | None, bool | None]:
    """From a socket that has never sent anything to the other address and port."""
    probe = await StunProbe.open(local)
    try:
        first = await _answer(probe.ask(server))
        if first is None or other_address(first) is None:
            return None, None
        both, port = await asyncio.gather(
            _answer(probe.ask(server, change=CHANGE_ADDRESS | CHANGE_PORT)),
            _answer(probe.ask(server, change=CHANGE_PORT)),
        )
        for answer in (both, port):
            # Section 7.2: it could not do that, and said so from where we had asked; or it passed the wish over.
            if answer is not None and (answer.message.message_class == Class.ERROR or answer.source == server):
                return None, None
        return both is not None, port is not None
    finally:
        probe.close()


def _mapped(answer: Answer | None) -> Address | None:
    return None if answer is None else answer.message.mapped_address


async def _answer(asking: Coroutine[Any, Any, Answer]) -> Answer | None:
    try:
        async with asyncio.timeout(SILENCE):
            return await asking
    except TimeoutError:
        return None
