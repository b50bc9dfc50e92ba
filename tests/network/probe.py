"""Plain UDP and TCP through the laboratory, without any engine: what a network does, measured as RFC 5780 does it."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.network.namespaces import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.network.lab import Lab, Site

Address = tuple[str, int]

ARRIVES_SECONDS = 3.0
"""Longer than any packet is on its way; only a failing test waits that long."""


def bound(namespace: str, address: str, port: int = 0) -> socket.socket:
    """A UDP socket that lives in the namespace."""

    def make() -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        created = socket.socket(family, socket.SOCK_DGRAM)
        created.bind((address, port))
        return created

    return inside(namespace, make)


def receive(sock: socket.socket, seconds: float = ARRIVES_SECONDS) -> tuple[bytes, Address]:
    """The next packet and where it came from. Raises TimeoutError."""
    sock.settimeout(seconds)
    data, address = sock.recvfrom(2048)
    return data, (address[0], address[1])


@dataclass
class Reflectors:
    """Sockets in public: two addresses with two ports each, so that each can be seen to make a difference."""

    first: socket.socket
    other_port: socket.socket
    other_address: socket.socket

    @classmethod
    @contextlib.contextmanager
    def open(cls, lab: Lab) -> Iterator[Reflectors]:
        addresses = (("203.0.113.10", 7001), ("203.0.113.10", 7002), ("203.0.113.11", 7001))
        opened = cls(*(bound(lab.public, *address) for address in addresses))
        with opened.first, opened.other_port, opened.other_address:
            yield opened


def mapped(inner: socket.socket, reflector: socket.socket) -> Address:
    """How the reflector sees the inner socket."""
    inner.sendto(b"who am I", reflector.getsockname()[:2])
    return receive(reflector)[1]


def lets_in(inner: socket.socket, outer: socket.socket, opened: socket.socket, to: Address) -> bool:
    """Whether a packet from `outer` to the mapping `to` arrives; `opened` is who may send there in any case.

    Packets on one link stay in order: when the one that may come is there, the other one would have been.
    """
    outer.sendto(b"stranger", to)
    opened.sendto(b"friend", to)
    heard = {receive(inner)[0]}
    if b"stranger" in heard:
        assert receive(inner)[0] == b"friend"
    return b"stranger" in heard


def punch(first: Site, second: Site, reflector: socket.socket, seconds: float = 1.0) -> bool:
    """Whether two hosts that know each other's mapping get packets through to each other, both ways.

    They do what ICE does: send to the mapping that a STUN server saw, and to wherever a packet came from.
    """
    with bound(first.host, "0.0.0.0") as one, bound(second.host, "0.0.0.0") as two:
        targets = {one: {mapped(two, reflector)}, two: {mapped(one, reflector)}}
        answered: set[socket.socket] = set()
        deadline = time.monotonic() + seconds
        while len(answered) < 2 and time.monotonic() < deadline:
            for sock in (one, two):
                for target in targets[sock]:
                    sock.sendto(b"check", target)
            for sock in select.select([one, two], [], [], 0.05)[0]:
                data, source = receive(sock)
                targets[sock].add(source)
                if data == b"answer":
                    answered.add(sock)
                else:
                    sock.sendto(b"answer", source)
        return len(answered) == 2


def connects(site: Site, address: Address, lab: Lab) -> bool:
    """Whether a TCP connection gets out to an address of the public part."""

    def listen() -> socket.socket:
        return socket.create_server(address)

    def connect() -> bool:
        try:
            with socket.create_connection(address, timeout=0.5):
                return True
        except OSError:
            return False

    with inside(lab.public, listen):
        return inside(site.host, connect)
