"""Which addresses of the host a call uses."""

from __future__ import annotations

import ifaddr
import pytest

from peer.errors import UsageError
from peer.rtc.ice import interfaces
from peer.rtc.ice.interfaces import MAX_ADDRESSES, LocalAddress, select
from peer.rtc.ice.servers import IceSettings

LOOPBACK = [LocalAddress("lo", 1, "127.0.0.1"), LocalAddress("lo", 1, "::1")]
WIRE = [LocalAddress("eth0", 2, "192.0.2.10"), LocalAddress("eth0", 2, "2001:db8::10")]
CONTAINERS = [LocalAddress("docker0", 3, "172.17.0.1"), LocalAddress("eth0:1", 2, "198.51.100.4")]
ALL = [*LOOPBACK, *CONTAINERS, *WIRE]


def chosen(**settings: object) -> list[str]:
    found = select(ALL, IceSettings(**settings), preferred=("192.0.2.10", "2001:db8::10"))  # type: ignore[arg-type]
    return [local.address for local in found]


def test_the_families_take_turns_and_the_way_out_comes_first() -> None:
    assert chosen() == ["2001:db8::10", "192.0.2.10", "172.17.0.1", "198.51.100.4"]


def test_loopback_serves_only_where_nothing_else_is() -> None:
    assert select(LOOPBACK, IceSettings()) == [LOOPBACK[1], LOOPBACK[0]]
    assert [local.address for local in select(LOOPBACK, IceSettings(ipv6=False))] == ["127.0.0.1"]
    assert select([], IceSettings()) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("eth0",), ["2001:db8::10", "192.0.2.10", "198.51.100.4"]),
        (("docker0", "2001:db8::/32"), ["2001:db8::10", "172.17.0.1"]),
        (("192.0.2.10",), ["192.0.2.10"]),
        (("192.0.2.1/24",), ["192.0.2.10"]),
        (("lo",), ["::1", "127.0.0.1"]),
        (("127.0.0.0/8", "eth0"), ["2001:db8::10", "192.0.2.10", "127.0.0.1", "198.51.100.4"]),
        (("0.0.0.0/0",), ["192.0.2.10", "172.17.0.1", "198.51.100.4"]),
        (("wlan7",), []),
    ],
)
def test_a_filter_takes_names_addresses_and_networks(filters: tuple[str, ...], expected: list[str]) -> None:
    assert chosen(interfaces=filters) == expected


def test_a_network_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match=r"'10\.0\.0\.0/99'"):
        chosen(interfaces=("10.0.0.0/99",))


def test_a_family_can_be_switched_off() -> None:
    assert chosen(ipv4=False) == ["2001:db8::10"]
    assert "2001:db8::10" not in chosen(ipv6=False)


def test_a_host_with_very_many_addresses_uses_some() -> None:
    many = [LocalAddress("eth0", 2, f"10.0.0.{number}") for number in range(1, 100)]
    assert select(many, IceSettings()) == many[:MAX_ADDRESSES]


def test_what_cannot_be_used_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ips = [ifaddr.IP(ip, 24, "lo") for ip in ("127.0.0.1", "198.51.100.99", "224.0.0.5", ("fe80::1", 0, 1), "0.0.0.0")]
    down = [ifaddr.IP("127.0.0.2", 24, "down0")]
    monkeypatch.setattr(
        interfaces.ifaddr,
        "get_adapters",
        lambda: [ifaddr.Adapter("lo", "lo", ips, 1), ifaddr.Adapter("down0", "down0", down)],
    )
    monkeypatch.setattr(interfaces, "is_running", lambda name: name != "down0")
    # 198.51.100.99 is not of this host: the kernel does not let it be bound.
    assert interfaces.all_addresses(fresh=True) == [LocalAddress("lo", 1, "127.0.0.1")]


def test_the_host_itself() -> None:
    found = interfaces.all_addresses(fresh=True)
    assert "127.0.0.1" in {local.address for local in found}
    assert interfaces.is_running("lo")
    assert interfaces.is_running("no such interface")
    for version in (4, 6):
        address = interfaces.outgoing(version)
        assert address is None or address in {local.address for local in found}


@pytest.mark.parametrize(("text", "expected"), [("192.0.2.1", True), ("::1", True), ("localhost", False), ("", False)])
def test_addresses_are_told_from_names(text: str, expected: bool) -> None:
    assert interfaces.is_ip(text) is expected
