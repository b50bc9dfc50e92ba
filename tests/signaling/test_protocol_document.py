"""docs/protocol.md tells the truth: its transcript parses, and its limits are the defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signaling.app import Limits
from signaling.messages import ACK_EVERY, encode, parse_client, parse_server

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SENT = [line[2:] for line in TEXT.splitlines() if line.startswith("> {")]
GOT = [line[2:] for line in TEXT.splitlines() if line.startswith("< {")]


def test_there_is_a_transcript() -> None:
    assert len(SENT) > 8
    assert len(GOT) > 10


@pytest.mark.parametrize("line", SENT)
def test_what_the_client_sends_parses(line: str) -> None:
    assert json.loads(encode(parse_client(line))) == json.loads(line)


@pytest.mark.parametrize("line", GOT)
def test_what_the_client_gets_parses(line: str) -> None:
    assert json.loads(encode(parse_server(line))) == json.loads(line)


def test_the_limits_are_the_defaults() -> None:
    limits = Limits()
    caller_joins, caller_offers, room_joins, room_offers = (
        f"{getattr(limits, name):g} a second, {getattr(limits, f'{name}_burst')} at once"
        for name in ("caller_joins", "caller_offers", "room_joins", "room_offers")
    )
    for row in (
        f"| members of a room | {limits.room_size} |",
        (
            f"| connections of a server; waiting HTTP offers, and sessions of WHIP and WHEP "
            f"| {limits.connections}; {limits.exchanges} |"
        ),
        f"| a message of a client, a body of HTTP | {limits.message_bytes // 1024} KiB |",
        f"| {limits.messages_per_second} a second on average, {limits.burst} at once |",
        f"HTTP offers | {limits.caller_connections}; {caller_joins}; {caller_offers} |",
        f"| of one room: joins; HTTP offers | {room_joins}; {room_offers} |",
        f"| {limits.outbox_bytes // 1024 // 1024} MiB |",
        f"| {limits.join_timeout:g} s; {limits.answer_timeout:g} s |",
        f"| a ping every {limits.heartbeat:g} s, lost after at most {2 * limits.heartbeat:g} s |",
        f"| {limits.grace:g} s; {limits.missed_messages} messages, {limits.missed_bytes // 1024} KiB |",
        f"up to {limits.missed_messages} messages and {limits.missed_bytes // 1024} KiB for each member",
        f"after every {ACK_EVERY} messages",
        f"| {limits.close_timeout:g} s, then the connection is cut |",
    ):
        assert row in TEXT
