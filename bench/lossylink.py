"""A link between two peers that delays and loses packets, the same ones for each receiver that is compared.

Which packets get lost is drawn by their number in their stream, not by the time at which they come. The link is two UDP
sockets; each side's description passes through it, and leads the other side to one of them.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SAFE = 2.0
"""Seconds of media at the beginning that pass whole, so that every receiver begins with the same frame."""
CLOCKS = {"video": 90000, "audio": 48000}


@dataclass(frozen=True)
class Pattern:
    """What gets lost, in both directions. STUN and DTLS pass, except in an outage, which nothing passes."""

    share: float = 0.0
    burst: float = 1.0
    """Packets lost in a row, on average (Gilbert's model); 1: each packet by itself."""
    outages: tuple[tuple[float, float], ...] = ()
    """Seconds of media: from, to."""
    seed: int = 1

    def __str__(self) -> str:
        if self.outages:
            return "+".join(f"{stop - start:g} s" for start, stop in self.outages)
        return f"{self.share:.0%}" + (" bursts" if self.burst > 1 else "")


class Fates:
    """Drawn for one stream, by packet number."""

    def __init__(self, pattern: Pattern, stream: str) -> None:
        self._pattern = pattern
        self._random = random.Random(f"{pattern.seed} {stream}")
        self._drawn: list[bool] = []

    def lost(self, number: int) -> bool:
        while number >= len(self._drawn):
            self._drawn.append(self._draw())
        return self._drawn[number]

    def _draw(self) -> bool:
        share, burst = self._pattern.share, self._pattern.burst
        if burst > 1:  # it goes on with 1 - 1/burst, and begins as often as the share needs
            share = 1 - 1 / burst if self._drawn and self._drawn[-1] else share / (burst * (1 - share))
        return self._random.random() < share


@dataclass
class Passed:
    """The media of one kind that went in, lost or not."""

    frames: dict[int, float] = field(default_factory=dict)
    """RTP timestamp, as on the wire -> time.monotonic() of its first packet."""
    packets: int = 0
    lost: int = 0
    resent: int = 0
    _first: tuple[int, int] | None = None
    _seen: set[int] = field(default_factory=set)

    def take(self, sequence: int, timestamp: int, now: float) -> tuple[int, bool]:
        """The number of a packet in its stream, and whether it is sent for the first time."""
        self._first = self._first or (sequence, timestamp)
        base = self._first[0]
        number = self.packets + ((sequence - base - self.packets + 0x8000) & 0xFFFF) - 0x8000
        fresh = number not in self._seen
        self._seen.add(number)
        if fresh:
            self.packets += 1
            self.frames.setdefault(timestamp, now)
        else:
            self.resent += 1
        return number, fresh

    @property
    def beginning(self) -> int:
        """The RTP timestamp of the first packet."""
        assert self._first is not None
        return self._first[1]

    def seconds(self, timestamp: int, clock: int) -> float:
        """Since the stream began."""
        return ((timestamp - self.beginning) & 0xFFFFFFFF) / clock


class LossyLink:
    """From a sender to a receiver, and back: two sockets, one for each to talk to."""

    def __init__(self, pattern: Pattern, rtt: float) -> None:
        self._delay = rtt / 2
        self._pattern = pattern
        self._fates: dict[str, Fates] = {}
        self._counts: dict[str, int] = {}
        self._types: dict[int, tuple[str, bool]] = {}
        self._began: float | None = None
        self._to_sender, self._to_receiver = _Socket(self._forth), _Socket(self._back)
        self.passed = {"video": Passed(), "audio": Passed()}

    async def offered(self, sdp: str) -> str:
        """The sender's description, as the receiver gets to see it."""
        host, port = _host_candidate(sdp)
        self._types = payload_types(sdp)
        for socket in (self._to_sender, self._to_receiver):
            await socket.open(host)
        self._to_sender.peer = (host, port)
        return _with_candidate(sdp, host, self._to_receiver.port)

    def answered(self, sdp: str) -> str:
        """The receiver's description, as the sender gets to see it."""
        host, port = _host_candidate(sdp)
        self._to_receiver.peer = (host, port)
        return _with_candidate(sdp, host, self._to_sender.port)

    def close(self) -> None:
        self._to_sender.transport.close()
        self._to_receiver.transport.close()

    def _forth(self, data: bytes) -> None:
        now = time.monotonic()
        if not self._lost(data, "forth", now):
            self._later(self._to_receiver, data)

    def _back(self, data: bytes) -> None:
        if not self._lost(data, "back", time.monotonic()):
            self._later(self._to_sender, data)

    def _later(self, socket: _Socket, data: bytes) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, socket.send, data)
        else:
            socket.send(data)

    def _lost(self, data: bytes, way: str, now: float) -> bool:
        if not 127 < data[0] < 192:  # STUN or DTLS
            return self._in_outage(self._seconds(now))
        kind, again = self._types.get(data[1] & 0x7F, ("", False))
        if way == "back" or not kind:  # RTCP
            return self._next_lost(way, now)
        passed = self.passed[kind]
        if again:
            passed.resent += 1
            return self._next_lost(f"{kind} again", now)
        self._began = self._began or now
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        number, fresh = passed.take(sequence, timestamp, now)
        if not fresh:
            return self._next_lost(f"{kind} again", now)
        seconds = passed.seconds(timestamp, CLOCKS[kind])
        lost = seconds >= SAFE and (self._fate(kind).lost(number) or self._in_outage(seconds))
        passed.lost += lost
        return lost

    def _next_lost(self, stream: str, now: float) -> bool:
        """Of a stream without numbers that mean the same for every receiver: they are counted."""
        number = self._counts[stream] = self._counts.get(stream, -1) + 1
        seconds = self._seconds(now)
        return seconds >= SAFE and (self._fate(stream).lost(number) or self._in_outage(seconds))

    def _seconds(self, now: float) -> float:
        """Since media began."""
        return now - self._began if self._began is not None else 0.0

    def _fate(self, stream: str) -> Fates:
        return self._fates.setdefault(stream, Fates(self._pattern, stream))

    def _in_outage(self, seconds: float) -> bool:
        return any(start <= seconds < stop for start, stop in self._pattern.outages)


class _Socket(asyncio.DatagramProtocol):
    """What comes is handed on; what is sent goes to `peer`."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.peer: tuple[str, int] | None = None
        self.transport: Any = None

    async def open(self, host: str) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(host, 0))

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data:
            self._take(data)

    def send(self, data: bytes) -> None:
        if self.peer is not None and not self.transport.is_closing():
            self.transport.sendto(data, self.peer)


def payload_types(sdp: str) -> dict[int, tuple[str, bool]]:
    """Payload type -> kind of media, whether it carries retransmissions (RFC 4588)."""
    found: dict[int, tuple[str, bool]] = {}
    kind = ""
    for line in sdp.splitlines():
        if line.startswith("m="):
            kind = line[2:].split()[0]
        elif line.startswith("a=rtpmap:") and kind in CLOCKS:
            number, name = line.removeprefix("a=rtpmap:").split()[:2]
            found[int(number)] = (kind, name.lower().startswith("rtx/"))
    return found


def _host_candidate(sdp: str) -> tuple[str, int]:
    """Where who made the description can be reached on this machine, by UDP and IPv4; loopback last."""
    found = []
    for line in sdp.splitlines():
        fields = line.removeprefix("a=candidate:").split()
        if line.startswith("a=candidate:") and fields[2].lower() == "udp" and fields[7] == "host" and "." in fields[4]:
            found.append((fields[4], int(fields[5])))
    if not found:
        raise RuntimeError(f"no host candidate in\n{sdp}")
    return min(found, key=lambda address: address[0].startswith("127."))


def _with_candidate(sdp: str, host: str, port: int) -> str:
    """The description with that one candidate instead of its own ones."""
    lines = [line for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    found = []
    for line in lines:
        found.append(line)
        if line.startswith("a=mid:"):
            found += [f"a=candidate:1 1 udp 2130706431 {host} {port} typ host", "a=end-of-candidates"]
    return "\r\n".join(found) + "\r\n"
