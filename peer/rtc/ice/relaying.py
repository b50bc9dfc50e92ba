"""Getting an allocation from a TURN server: which of its addresses, where it sends us, when to try again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.lookup import NoRoute, ServerFailed
from peer.rtc.ice.relay import Refused, Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.ice.bases import Address, BaseListener
    from peer.rtc.ice.relay import RelayOptions
    from peer.rtc.ice.servers import IceServerUrl

NEXT_ADDRESS: Final = 0.3
"""Seconds after which the next address of a server is tried beside the one that has not answered."""
MAX_REDIRECTS: Final = 2
"""RFC 8489 section 10: a server may name another one; more often would be a loop."""

_MISMATCH: Final = 437
_TRY_ALTERNATE: Final = 300


async def first_relay(
    server: IceServerUrl, addresses: Sequence[Address], options: RelayOptions, listener: BaseListener
) -> Relay:
    """The allocation that is there first. Raises ServerFailed when no address gives one; the caller sets a deadline."""
    left = list(addresses)
    trying: set[asyncio.Task[Relay]] = set()
    failure: ServerFailed | None = None
    first: Relay | None = None
    try:
        while left or trying:
            if left:
                task = asyncio.create_task(open_relay(server, left.pop(0), options, listener), name="TURN allocation")
                trying.add(task)
            done, trying = await asyncio.wait(
                trying, timeout=NEXT_ADDRESS if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                try:
                    first = task.result()
                except ServerFailed as error:
                    # What a server says is worth more than that another address of it cannot be reached.
                    telling = failure is None or isinstance(error, Refused) or isinstance(failure, NoRoute)
                    failure = error if telling else failure
                else:
                    trying |= done - {task}
                    return first
        assert failure is not None
        raise failure
    finally:
        try:
            await _give_up(trying)
        except BaseException:
            if first is not None:
                first.abort()
            raise


async def _give_up(trying: set[asyncio.Task[Relay]]) -> None:
    for task in trying:
        task.cancel()
    for result in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(result, Relay):  # a second one that was just as fast
            result.abort()


async def open_relay(server: IceServerUrl, address: Address, options: RelayOptions, listener: BaseListener) -> Relay:
    """An allocation on the server at this address. Raises ServerFailed; the caller sets a deadline."""
    redirects = 0
    retried = False
    while True:
        relay = Relay(server, options, listener)
        try:
            await relay.open(address)
        except Refused as failure:
            relay.abort()
            if failure.code == _TRY_ALTERNATE and failure.alternate is not None and redirects < MAX_REDIRECTS:
                redirects += 1
                address = failure.alternate
            elif failure.code == _MISMATCH and not retried:
                retried = True  # the server still knows this port from before: another socket has another one
            else:
                raise
        except BaseException:
            relay.abort()
            raise
        else:
            return relay
