"""The peers of a TURN allocation: permissions (RFC 8656 section 9) and channels (section 12). Pure.

A packet to a new peer asks for a permission and waits until it is there. Checks go as Send indications; the first
packet of media binds a channel, which takes 4 bytes in place of 36. What is used is refreshed, the rest runs out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.stun import Attribute, Class, Message, Method
from peer.rtc.ice.turnrequest import Request

if TYPE_CHECKING:
    from peer.rtc.ice.turnrequest import Requests

Address = tuple[str, int]

REFRESH_EVERY: Final = 240.0
"""RFC 8656: a permission lasts 300 s, a channel 600 s, and binding it again renews both."""
LASTS: Final = 300.0
MAX_HOSTS: Final = 128
"""Remote hosts of one allocation, of which the one not used for longest goes; its permission runs out by itself."""
MAX_PEERS: Final = 256
"""Remote addresses, likewise."""
MAX_KEPT: Final = 16
"""Packets kept for a host that is not allowed yet; one more is dropped: a check is repeated anyway."""

MISMATCH: Final = 437

_FIRST_CHANNEL: Final = 0x4000
_LAST_CHANNEL: Final = 0x4FFF


def channel_data(number: int, data: bytes, stream: bool, /) -> bytes:
    """A ChannelData message; padded over a stream (section 12.5)."""
    head = number.to_bytes(2, "big") + len(data).to_bytes(2, "big")
    return head + data + bytes(-len(data) % 4) if stream else head + data


@dataclass(eq=False)
class _Host:
    """What the server lets us do with one remote IP address."""

    used_at: float
    granted_until: float | None = None
    """None: asked for, not answered yet."""
    refresh_at: float | None = None
    refused: bool = False
    kept: list[tuple[bytes, Address]] = field(default_factory=list)


@dataclass(eq=False)
class _Peer:
    """One remote transport address, and its channel."""

    number: int
    used_at: float
    asked: bool = False
    refresh_at: float | None = None


class Peers:
    """Who the allocation sends to."""

    def __init__(self, requests: Requests) -> None:
        self.bound: dict[Address, _Peer] = {}
        """Peers whose channel may be used now."""
        self.mismatch = False
        """The server said that it knows of no allocation."""
        self._requests = requests
        self._hosts: dict[str, _Host] = {}
        self._peers: dict[Address, _Peer] = {}
        self._by_number: dict[int, Address] = {}
        self._next_number = _FIRST_CHANNEL
        self._released: list[tuple[bytes, Address]] = []
        self._refused: list[tuple[str, int, str]] = []

    def prepare(self, data: bytes, peer: Address, now: float) -> bool:
        """Whether the packet was kept, or dropped, because the peer is not allowed (yet)."""
        host = self._hosts.get(peer[0])
        if host is None:
            host = self._add_host(peer[0], now)
        host.used_at = now
        if host.granted_until is None or now >= host.granted_until:
            if host.granted_until is not None and host.refresh_at is not None:
                self._ask_permission(peer[0], host, now)
            if not host.refused and len(host.kept) < MAX_KEPT:
                host.kept.append((data, peer))
            return True
        if data and data[0] > 3:
            self._bind(peer, now)
        return False

    def from_channel(self, data: bytes) -> tuple[bytes, Address] | None:
        """What a ChannelData message carries."""
        peer = self._by_number.get(int.from_bytes(data[:2], "big"))
        end = 4 + int.from_bytes(data[2:4], "big")
        return None if peer is None or len(data) < end or end == 4 else (data[4:end], peer)

    def take_released(self) -> list[tuple[bytes, Address]]:
        """Packets that were kept and may go now."""
        taken, self._released = self._released, []
        return taken

    def take_refused(self) -> list[tuple[str, int, str]]:
        """Hosts that the server refused to relay to: address, code, reason."""
        taken, self._refused = self._refused, []
        return taken

    # Permissions

    def _add_host(self, address: str, now: float) -> _Host:
        if len(self._hosts) >= MAX_HOSTS:
            oldest = min(self._hosts, key=lambda each: self._hosts[each].used_at)
            del self._hosts[oldest]
        host = self._hosts[address] = _Host(now)
        self._ask_permission(address, host, now)
        return host

    def _ask_permission(self, address: str, host: _Host, now: float) -> None:
        def answered(answer: Message | None, now: float) -> None:
            self._permission_answered(address, host, answer, now)

        host.refresh_at = None
        request = Request(Method.CREATE_PERMISSION, [(Attribute.XOR_PEER_ADDRESS, (address, 0))], answered)
        if not self._requests.add(request, now):
            self._hosts.pop(address, None)

    def _permission_answered(self, address: str, host: _Host, answer: Message | None, now: float) -> None:
        if answer is not None and answer.message_class == Class.RESPONSE:
            self._granted(host, now)
            return
        host.kept.clear()
        if answer is not None:
            # 403, or another family (443): this host only. It is remembered, so as not to be asked with every check.
            code, reason = answer.error or (0, "")
            host.refused = True
            host.granted_until = None
            if code == MISMATCH:
                self.mismatch = True
            else:
                self._refused.append((address, code, reason))
        elif self._hosts.get(address) is host:
            del self._hosts[address]  # no answer: the next packet asks again

    def _granted(self, host: _Host, now: float) -> None:
        host.granted_until = now + LASTS
        host.refresh_at = now + REFRESH_EVERY
        self._released += host.kept
        host.kept.clear()

    # Channels

    def _bind(self, address: Address, now: float) -> None:
        peer = self._peers.get(address)
        if peer is None:
            if self._next_number > _LAST_CHANNEL:
                return  # numbers are not used twice; it stays with indications
            if len(self._peers) >= MAX_PEERS:
                self._drop_oldest()
            peer = self._peers[address] = _Peer(self._next_number, now)
            self._by_number[peer.number] = address
            self._next_number += 1
        peer.used_at = now
        if not peer.asked:
            self._ask_channel(address, peer, now)

    def _drop_oldest(self) -> None:
        oldest = min(self._peers, key=lambda each: self._peers[each].used_at)
        self._by_number.pop(self._peers.pop(oldest).number, None)
        self.bound.pop(oldest, None)

    def _ask_channel(self, address: Address, peer: _Peer, now: float) -> None:
        def answered(answer: Message | None, now: float) -> None:
            self._channel_answered(address, peer, answer, now)

        peer.asked = True
        peer.refresh_at = None
        number: list[tuple[int, int | Address]] = [
            (Attribute.CHANNEL_NUMBER, peer.number),
            (Attribute.XOR_PEER_ADDRESS, address),
        ]
        if not self._requests.add(Request(Method.CHANNEL_BIND, [*number], answered), now):
            peer.asked = False

    def _channel_answered(self, address: Address, peer: _Peer, answer: Message | None, now: float) -> None:
        if self._peers.get(address) is not peer:
            return
        if answer is not None and answer.message_class == Class.RESPONSE:
            self.bound[address] = peer
            peer.refresh_at = now + REFRESH_EVERY
            host = self._hosts.get(address[0])
            if host is not None and not host.refused:
                self._granted(host, now)
        else:
            # Refused for good: `asked` stays, and indications serve. Not answered: the next packet asks again.
            code = 0 if answer is None else (answer.error or (0, ""))[0]
            self.mismatch = self.mismatch or code == MISMATCH
            self.bound.pop(address, None)
            peer.asked = answer is not None

    # Time

    def next_due(self) -> float | None:
        times = [host.refresh_at for host in self._hosts.values()] + [peer.refresh_at for peer in self._peers.values()]
        return min((time for time in times if time is not None), default=None)

    def poll(self, now: float) -> None:
        """Refreshes what was used since the last time; lets the rest run out."""
        for address, peer in self._peers.items():
            if peer.refresh_at is not None and now >= peer.refresh_at:
                if now - peer.used_at < REFRESH_EVERY:
                    host = self._hosts.get(address[0])
                    if host is not None:
                        host.used_at = max(host.used_at, peer.used_at)
                    self._ask_channel(address, peer, now)
                else:
                    self.bound.pop(address, None)
                    peer.asked, peer.refresh_at = False, None
        for name, host in list(self._hosts.items()):
            if host.refresh_at is not None and now >= host.refresh_at:
                if now - host.used_at < REFRESH_EVERY:
                    self._ask_permission(name, host, now)
                else:
                    del self._hosts[name]
