"""The TURN client (RFC 8656) without its socket: bytes in, bytes out, every call takes `now`. Pure.

What has to go to the server and what happened is to be taken (`take_outgoing`, `take_events`) after every call but the
ones that a packet of media needs, and `poll` to be called at `next_due()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from peer.rtc.ice.turnpeers import Peers, channel_data
from peer.rtc.ice.turnrequest import Credentials, Request, Requests

if TYPE_CHECKING:
    from collections.abc import Callable

Address = tuple[str, int]

DEFAULT_LIFETIME: Final = 600
REFRESH_AGAIN: Final = 1.0
"""Seconds until the next attempt when too many requests are under way."""
REFRESH_EARLY: Final = 60.0
"""RFC 8656 section 3.2: a minute before the allocation expires; half way through a shorter one."""

_UDP: Final = 17
_ADDITIONAL_ADDRESS_FAMILY: Final = (0x8000, 0x8032)
"""RFC 8656 section 18.9, and the number that it had in the draft, by which coturn knows it."""
_IPV6: Final = b"\x02\0\0\0"


@dataclass(frozen=True, slots=True)
class Allocated:
    """The server relays; `relayed` has an address for each family that it gave."""

    relayed: tuple[Address, ...]
    mapped: Address | None


@dataclass(frozen=True, slots=True)
class AllocationFailed:
    """The server refused; 300 with another server's address in `alternate` (RFC 8489 section 10), 701 for silence."""

    code: int
    reason: str
    alternate: Address | None = None


@dataclass(frozen=True, slots=True)
class AllocationLost:
    """It does not relay any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deallocated:
    """The server deleted the allocation, as asked for."""


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """The server does not relay to this address; everything else goes on."""

    host: str
    code: int
    reason: str


Event = Allocated | AllocationFailed | AllocationLost | Deallocated | PeerRefused


@dataclass
class TurnOptions:
    """How an allocation is asked for."""

    username: str
    password: str = field(repr=False)
    stream: bool = False
    """TCP or TLS to the server: nothing is retransmitted, messages are padded (RFC 8656 section 12.5)."""
    both_families: bool = False
    """Ask for an IPv6 address beside the IPv4 one, with ADDITIONAL-ADDRESS-FAMILY, which servers may ignore."""


class TurnClient:
    """One allocation on one server."""

    def __init__(self, options: TurnOptions, random_bytes: Callable[[int], bytes]) -> None:
        self._events: list[Event] = []
        self._options = options
        self._both_families = options.both_families
        self._requests = Requests(Credentials(options.username, options.password), random_bytes, options.stream)
        self._random = random_bytes
        self._peers = Peers(self._requests)
        self._refresh_at: float | None = None
        self._expires_at = 0.0
        self._refreshing = False
        self._over = False
        self._closing = False

    # What its owner asks for

    def allocate(self, now: float) -> None:
        message: list[tuple[int, stun.Value]] = [(Attribute.REQUESTED_TRANSPORT, _UDP)]
        if self._both_families:
            message += [(attribute, _IPV6) for attribute in _ADDITIONAL_ADDRESS_FAMILY]
        self._requests.add(Request(Method.ALLOCATE, message, self._allocate_answered), now)

    def deallocate(self, now: float) -> None:
        """Asks the server to forget it all; `Deallocated` follows, unless the server is gone."""
        self._closing = True
        self._requests.clear()
        if self._refresh_at is None:
            self._events.append(Deallocated())
            return
        self._refresh_at = None
        self._requests.add(Request(Method.REFRESH, [(Attribute.LIFETIME, 0)], self._deallocate_answered), now)

    def send(self, data: bytes, peer: Address, now: float) -> bytes | None:
        """What to write to the server so that the peer gets `data`; None while it is kept until the peer is allowed."""
        entry = self._peers.bound.get(peer)
        if entry is not None:
            entry.used_at = now
            return channel_data(entry.number, data, self._options.stream)
        if self._refresh_at is None:
            return None
        waiting = self._peers.prepare(data, peer, now)
        return None if waiting else self._send_indication(data, peer)

    def receive(self, data: bytes, now: float) -> tuple[bytes, Address] | None:
        """What a peer sent, when that is what came. Never raises."""
        if not data:
            return None
        if 0x40 <= data[0] <= 0x4F:  # RFC 8656 section 12: ChannelData
            return self._peers.from_channel(data)
        try:
            message = stun.parse(data)
        except stun.StunError:
            return None
        if message.message_class == Class.INDICATION:
            if message.method == Method.DATA:
                peer, payload = message.address(Attribute.XOR_PEER_ADDRESS), message.get(Attribute.DATA)
                if peer is not None and payload:
                    return payload, peer
        elif message.message_class in (Class.RESPONSE, Class.ERROR):
            self._requests.answered(message, now)
            self._collect(now)
        return None

    def take_outgoing(self) -> list[bytes]:
        """Messages for the server, to be written in this order."""
        taken, self._requests.outgoing = self._requests.outgoing, []
        return taken

    @property
    def has_outgoing(self) -> bool:
        """Whether there is something to take; cheap, for after each `send`."""
        return bool(self._requests.outgoing)

    def take_events(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken

    def keepalive(self) -> bytes:
        """What holds the mapping of a NAT on the way to the server open (RFC 8445 section 11)."""
        return Message(Method.BINDING, Class.INDICATION, self._random(12)).encode()

    def next_due(self) -> float | None:
        """When `poll` has something to do; None: never."""
        times = [self._requests.next_due(), self._peers.next_due() if not self._closing else None]
        if not self._refreshing:
            times.append(self._refresh_at)
        return min((time for time in times if time is not None), default=None)

    def poll(self, now: float) -> None:
        """Retransmits, refreshes, gives up: whatever is due."""
        if self._refresh_at is not None and now >= self._refresh_at and not self._refreshing and not self._over:
            self._refreshing = self._requests.add(Request(Method.REFRESH, [], self._refresh_answered), now)
            if not self._refreshing:
                self._refresh_at = now + REFRESH_AGAIN
        if not self._closing:
            self._peers.poll(now)
        self._requests.poll(now)
        self._collect(now)

    # What the server answered: None for nothing at all

    def _allocate_answered(self, answer: Message | None, now: float) -> None:
        if answer is None:
            self._fail(AllocationFailed(701, "no answer"))
        elif answer.message_class == Class.ERROR:
            code, reason = answer.error or (0, "")
            if self._both_families and code in (400, 420, 440, 442):  # an old server that chokes on what it may ignore
                self._both_families = False
                self.allocate(now)
            else:
                self._fail(AllocationFailed(code, reason, answer.address(Attribute.ALTERNATE_SERVER)))
        else:
            relayed = tuple(dict.fromkeys(answer.addresses(Attribute.XOR_RELAYED_ADDRESS)))
            if not relayed:
                self._fail(AllocationFailed(701, "an answer without a relayed address"))
                return
            self._lasts(answer, now)
            self._events.append(Allocated(relayed, answer.address(Attribute.XOR_MAPPED_ADDRESS)))

    def _fail(self, event: AllocationFailed) -> None:
        self._over = True
        self._events.append(event)

    def _lasts(self, answer: Message, now: float) -> None:
        lifetime = answer.number(Attribute.LIFETIME)
        lifetime = DEFAULT_LIFETIME if lifetime is None else max(lifetime, 2)
        self._expires_at = now + lifetime
        self._refresh_at = now + (lifetime - REFRESH_EARLY if lifetime > 2 * REFRESH_EARLY else lifetime / 2)

    def _refresh_answered(self, answer: Message | None, now: float) -> None:
        self._refreshing = False
        if answer is None:
            self._refresh_at = now  # the path may be down for a while: again, until the allocation has expired
            if now >= self._expires_at:
                self._lose("the server does not answer any more")
        elif answer.message_class == Class.ERROR:
            code, reason = answer.error or (0, "")
            self._lose(f"the server ended the allocation ({code} {reason[:80]})")
        else:
            self._lasts(answer, now)

    def _deallocate_answered(self, answer: Message | None, now: float) -> None:
        self._events.append(Deallocated())

    def _lose(self, reason: str) -> None:
        self._over = True
        self._refresh_at = None
        self._requests.clear()
        self._events.append(AllocationLost(reason))

    def _collect(self, now: float) -> None:
        """Passes on what the answers did to the peers."""
        for data, peer in self._peers.take_released():
            self._requests.outgoing.append(self._send_indication(data, peer))
        for host, code, reason in self._peers.take_refused():
            self._events.append(PeerRefused(host, code, reason))
        if self._peers.mismatch and not self._over:
            self._lose("the server knows of no allocation any more")

    def _send_indication(self, data: bytes, peer: Address) -> bytes:
        message = Message(Method.SEND, Class.INDICATION, self._random(12))
        return message.add(Attribute.XOR_PEER_ADDRESS, peer).add(Attribute.DATA, data).encode()


class StreamSplitter:
    """Cuts what comes over TCP into STUN messages and ChannelData (RFC 8656 section 12.5)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._recognised = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now; raises StunError for a stream that is none. Holds one message at most."""
        buffer = self._buffer
        if not self._recognised and (data or buffer):
            # A server speaks STUN first. The text of one of another kind would pass for the head of ChannelData.
            if (buffer or data)[0] > 3:
                raise stun.StunError("not STUN")
            self._recognised = True
        buffer += data
        found = []
        position = 0
        while len(buffer) - position >= 4:
            length = int.from_bytes(buffer[position + 2 : position + 4], "big")
            if 0x40 <= buffer[position] <= 0x4F:
                size, padded = 4 + length, 4 + length + (-length % 4)
            elif buffer[position] <= 3 and length % 4 == 0:
                size = padded = stun.HEADER_SIZE + length
            else:
                raise stun.StunError("neither STUN nor ChannelData")
            if len(buffer) - position < padded:
                break
            found.append(bytes(buffer[position : position + size]))
            position += padded
        del buffer[:position]
        return found
