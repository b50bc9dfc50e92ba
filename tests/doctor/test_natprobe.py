"""The tests of RFC 5780 find each kind of NAT, and believe nothing that cannot be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from peer.doctor import natprobe
from peer.doctor.nat import filtering_of, mapping_of
from peer.doctor.stunprobe import Answer
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from tests.doctor.stun_of_two import PUBLIC, StunOfTwo

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from tests.doctor.stun_of_two import Passes, Seen


def by_destination(client: Address, server: Address) -> Address:
    return PUBLIC, 1024 + (7 * server[1] + int(server[0][-1])) % 60000


def by_host(client: Address, server: Address) -> Address:
    return PUBLIC, 1024 + int(server[0][-1])


def same(client: Address, server: Address) -> Address:
    return PUBLIC, client[1]


KINDS: list[tuple[Seen, Passes, str, str]] = [
    (same, lambda asked, source: True, "endpoint-independent", "endpoint-independent"),
    (same, lambda asked, source: asked[0] == source[0], "endpoint-independent", "address-dependent"),
    (same, lambda asked, source: False, "endpoint-independent", "address-and-port-dependent"),
    (by_host, lambda asked, source: False, "address-dependent", "address-and-port-dependent"),
    (by_destination, lambda asked, source: False, "address-and-port-dependent", "address-and-port-dependent"),
]


@pytest.fixture(autouse=True)
def _short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natprobe, "SILENCE", 0.15)


@pytest.mark.parametrize(("seen", "passes", "mapping", "filtering"), KINDS)
async def test_each_kind_is_found(seen: Seen, passes: Passes, mapping: str, filtering: str) -> None:
    server = await StunOfTwo.open(seen, passes)
    try:
        found = await natprobe.examine("127.0.0.1", server.address)
    finally:
        server.close()
    assert found is not None
    assert (mapping_of(found), filtering_of(found)) == (mapping, filtering)


@pytest.mark.parametrize("how", ["ignores_changes", "refuses_changes"])
async def test_a_server_that_cannot_answer_from_elsewhere_tells_nothing_of_filtering(how: str) -> None:
    server = await StunOfTwo.open()
    setattr(server, how, True)
    try:
        found = await natprobe.examine("127.0.0.1", server.address)
    finally:
        server.close()
    assert found is not None
    assert (mapping_of(found), filtering_of(found)) == ("endpoint-independent", "unknown")


async def test_another_address_that_is_not_there_tells_nothing_of_mapping() -> None:
    server = await StunOfTwo.open()
    server.other = ("127.0.0.3", server.sockets[1, 1].address[1])
    try:
        found = await natprobe.examine("127.0.0.1", server.address)
    finally:
        server.close()
    assert found is not None
    assert mapping_of(found) == "unknown"


async def test_a_server_that_is_gone_tells_nothing() -> None:
    server = await StunOfTwo.open()
    address = server.address
    server.close()
    await asyncio.sleep(0)
    assert await natprobe.examine("127.0.0.1", address) is None


@pytest.mark.parametrize(
    ("other", "usable"),
    [
        (("192.0.2.2", 3479), True),
        (("192.0.2.1", 3479), False),  # RFC 5780 section 3.2: both differ
        (("192.0.2.2", 3478), False),
        (("192.0.2.2", 0), False),
        (("0.0.0.0", 3479), False),
        (("224.0.0.1", 3479), False),
        (("2001:db8::2", 3479), False),
        (None, False),
    ],
)
def test_what_counts_as_another_address(other: Address | None, usable: bool) -> None:
    message = Message(Method.BINDING, Class.RESPONSE, bytes(12))
    if other is not None:
        message.add(Attribute.OTHER_ADDRESS, other)
    assert natprobe.other_address(Answer(message, ("192.0.2.1", 3478))) == (other if usable else None)
