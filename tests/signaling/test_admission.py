"""Who is let in: connections, joins and offers of one address, one token and one room."""

from __future__ import annotations

import pytest

from signaling.admission import Admission, Caller
from signaling.codes import Code, ProtocolError
from signaling.settings import Limits

ALICE = Caller.of("203.0.113.7", "alice")


def admission() -> Admission:
    return Admission(
        Limits(
            caller_connections=2,
            caller_joins=1,
            caller_joins_burst=2,
            caller_offers=0.1,
            caller_offers_burst=1,
            room_joins=1,
            room_joins_burst=3,
            room_offers=1,
            room_offers_burst=1,
        )
    )


def test_whom_limits_are_counted_by() -> None:
    assert ALICE.keys == ("address 203.0.113.7", "subject alice")
    assert Caller.of("2001:db8::1").keys == ("address 2001:db8::/64",)
    assert Caller.of("unknown").keys == ("address unknown",)
    assert [Caller.of(address).keys for address in ("127.0.0.1", "::1", "")] == [(), (), ()]


def test_connections_at_a_time() -> None:
    one = admission()
    for caller in (ALICE, ALICE):
        one.connect(caller)
    for caller in (ALICE, Caller.of("203.0.113.7"), Caller.of("198.51.100.1", "alice")):
        with pytest.raises(ProtocolError) as caught:
            one.connect(caller)
        assert (caught.value.code, caught.value.retry_after) == (Code.TOO_MANY, 10)
    one.connect(Caller.of("198.51.100.1"))  # the refusal above took nothing of this address
    one.connect(Caller.of("198.51.100.1"))
    one.disconnect(ALICE)
    one.connect(ALICE)


def test_who_is_local_has_no_limit_of_address() -> None:
    one = admission()
    for _ in range(100):
        one.connect(Caller.of("127.0.0.1"))


def refused(one: Admission, what: str, caller: Caller, room: str, now: float) -> int | None:
    """After how many seconds it may be tried again; None: it was not refused."""
    try:
        getattr(one, what)(caller, room, now)
    except ProtocolError as error:
        assert error.code is Code.RATE_LIMITED
        return error.retry_after
    return None


def test_joins() -> None:
    one = admission()
    assert [refused(one, "join", ALICE, room, 0.0) for room in "abc"] == [None, None, 1]
    assert refused(one, "join", ALICE, "c", 1.0) is None
    others = [Caller.of(f"198.51.100.{number}") for number in range(4)]
    assert [refused(one, "join", other, "d", 2.0) for other in others] == [None, None, None, 1]


def test_offers() -> None:
    one = admission()
    assert [refused(one, "offer", ALICE, room, 0.0) for room in "ab"] == [None, 10]
    assert refused(one, "offer", Caller.of("198.51.100.1"), "a", 0.0) == 1
    assert refused(one, "offer", Caller(), "b", 0.0) is None
