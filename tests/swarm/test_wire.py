"""What the swarm and its processes say to each other survives the pipe, one line each."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from msgspec import DecodeError

from peer.rtc.ice.servers import IceSettings
from peer.swarm.plan import Plan, seats
from peer.swarm.wire import Command, Go, News, Ready, Refused, Stop, Work, command, line, news
from tests.swarm.samples import URL, bot, told

WORK = Work(
    url=URL,
    video="test",
    audio="none",
    receive_only=False,
    script=None,
    timeout=20.0,
    ice_servers=("stun:a\nb",),
    network=asdict(IceSettings(udp_ports=(1, 2))),
    seats=tuple(seats(Plan(url=URL, bots=2))),
)


@pytest.mark.parametrize("message", [Go(1.5), Stop(1.0)])
def test_commands(message: Command) -> None:
    assert command(line(message)) == message


def test_work() -> None:
    data = line(WORK)
    found = command(data)
    assert data.count(b"\n") == 1 and data.endswith(b"\n")
    assert isinstance(found, Work) and (found.seats, found.ice_servers) == (WORK.seats, WORK.ice_servers)


@pytest.mark.parametrize("message", [Ready(), Refused(7, "no such file"), told(bot(), last=True)])
def test_news(message: News) -> None:
    assert news(line(message)) == message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"type":"Nobody"}', b'{"type":"Go","at":"now"}'])
def test_what_makes_no_sense(data: bytes) -> None:
    for read in (command, news):
        with pytest.raises(DecodeError):
            read(data)
