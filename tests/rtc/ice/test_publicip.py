"""NAT 1:1: the private address of a cloud host is announced as its public one."""

from __future__ import annotations

import pytest

from peer.errors import UsageError
from peer.rtc.ice.bases import host_candidate
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.publicip import announced, public_addresses

LOCAL = [
    LocalAddress("eth0", 2, "2001:db8::10"),
    LocalAddress("eth0", 2, "10.0.0.10"),
    LocalAddress("eth1", 3, "10.1.0.10"),
]


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ((), {}),
        (("203.0.113.5",), {"10.0.0.10": "203.0.113.5"}),
        (("203.0.113.5", "203.0.113.6", "203.0.113.7"), {"10.0.0.10": "203.0.113.5", "10.1.0.10": "203.0.113.6"}),
        (("2001:DB8:0::99",), {"2001:db8::10": "2001:db8::99"}),
    ],
)
def test_each_public_address_stands_for_one_of_its_family(public: tuple[str, ...], expected: dict[str, str]) -> None:
    assert public_addresses(LOCAL, public) == expected


def test_what_is_no_address_is_told() -> None:
    with pytest.raises(UsageError, match="'public.example.org'"):
        public_addresses(LOCAL, ("public.example.org",))


def test_only_the_address_of_the_candidate_changes() -> None:
    candidate = host_candidate(("10.0.0.10", 5000), 65535, "frag")
    told = announced(candidate, {"10.0.0.10": "203.0.113.5"})
    assert (told.address, told.port, told.priority) == ("203.0.113.5", 5000, candidate.priority)
    assert announced(candidate, {}) is candidate
