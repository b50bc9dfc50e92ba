"""Who was sent away stays away for a while, and the memory of it is bounded."""

from __future__ import annotations

import pytest

from signaling.bans import Ban, Bans
from signaling.codes import Code, ProtocolError


def test_a_name_is_kept_out_of_its_room_for_a_while() -> None:
    bans = Bans()
    bans.add(Ban("lab", 60.0, "eve"))
    with pytest.raises(ProtocolError) as caught:
        bans.check("lab", "eve", None, 59.5)
    assert (caught.value.code, caught.value.retry_after) == (Code.KICKED, 1)
    bans.check("lab", "alice", None, 59.5)
    bans.check("lobby", "eve", None, 59.5)
    bans.check("lab", "eve", None, 60.0)
    assert len(bans) == 0


def test_a_room_is_closed_to_everybody_for_a_while() -> None:
    bans = Bans()
    bans.add(Ban("lab", 60.0, None))
    bans.add(Ban("lab", 90.0, "eve"))
    with pytest.raises(ProtocolError) as caught:
        bans.check("lab", "alice", None, 0.0)
    assert (caught.value.code, caught.value.retry_after) == (Code.ROOM_CLOSED, 60)
    bans.check("lobby", "alice", None, 0.0)
    bans.check("lab", "alice", None, 60.0)
    with pytest.raises(ProtocolError):
        bans.check("lab", "eve", None, 60.0)


def test_the_oldest_are_forgotten() -> None:
    bans = Bans(size=2)
    for name in ("a", "b", "a", "c"):
        bans.add(Ban("lab", 60.0, name))
    bans.check("lab", "b", None, 0.0)
    assert len(bans) == 2
    for name in ("a", "c"):
        with pytest.raises(ProtocolError):
            bans.check("lab", name, None, 0.0)
