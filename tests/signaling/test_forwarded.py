"""Who asks: what trusted proxies say counts, what the client says of itself does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.forwarded import MAX_HOPS, Asker, asker, limited_as, network

TRUSTED = (network("10.0.0.0/8"), network("::1"))
PROXY = Asker("10.0.0.1", "http", "inner:8080")


def seen(*headers: tuple[str, str], direct: Asker = PROXY) -> tuple[str, str, str]:
    found = asker(direct, headers, TRUSTED)
    return found.address, found.scheme, found.host


def test_without_a_trusted_proxy_headers_say_nothing() -> None:
    direct = Asker("192.0.2.1", "http", "example.org")
    headers = [("X-Forwarded-For", "10.0.0.9"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=10.0.0.9;host=x")]
    assert asker(direct, headers, TRUSTED) == direct
    assert asker(PROXY, headers, ()) == PROXY
    assert asker(Asker("", "http", "x"), headers, TRUSTED) == Asker("", "http", "x")


def test_a_proxy_without_headers_is_itself() -> None:
    assert asker(PROXY, [("Accept", "*/*")], TRUSTED) == PROXY


def test_x_forwarded() -> None:
    headers = [
        ("x-forwarded-for", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "example.org:8443"),
    ]
    assert seen(*headers) == ("203.0.113.7", "https", "example.org:8443")
    assert seen(*headers, ("Forwarded", "for=198.51.100.1")) == ("203.0.113.7", "https", "example.org:8443")


@pytest.mark.parametrize(("text", "address"), [
    ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
    ("1.1.1.1, 203.0.113.7, 10.3.4.5", "203.0.113.7"),
    ("10.3.4.5", "10.3.4.5"),
    ("203.0.113.7:4711", "203.0.113.7"),
    ("[2001:db8::7]:4711", "2001:db8::7"),
    ("2001:db8::7", "2001:db8::7"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
    ("203.0.113.7, unknown", "unknown"),
    ("203.0.113.7, 10.0.0.2, <script>", "unknown"),
])  # fmt: skip
def test_the_client_is_the_nearest_that_is_not_trusted(text: str, address: str) -> None:
    assert seen(("X-Forwarded-For", text))[0] == address


@pytest.mark.parametrize(("text", "found"), [
    ("for=203.0.113.7", ("203.0.113.7", "http", "inner:8080")),
    ('For="[2001:db8:cafe::17]:4711";Proto=https;Host=a.example', ("2001:db8:cafe::17", "https", "a.example")),
    ("for=1.1.1.1;proto=http;host=evil, for=203.0.113.7;proto=https;host=a.example, for=10.0.0.2;proto=http;host=b",
     ("203.0.113.7", "https", "a.example")),
    ('for="1.1.1.1, for=203.0.113.7;host=a.example', ("203.0.113.7", "http", "a.example")),
    ("for=_hidden", ("unknown", "http", "inner:8080")),
    (";;=,", ("unknown", "http", "inner:8080")),
])  # fmt: skip
def test_forwarded(text: str, found: tuple[str, str, str]) -> None:
    assert seen(("Forwarded", text)) == found


def test_several_lines_are_one_list() -> None:
    lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "10.0.0.2")]
    assert seen(*lines)[0] == "203.0.113.7"


@pytest.mark.parametrize("host", ["a b", "a/b", "user@a", "a" * 256, "[::1", ""])
def test_odd_hosts_and_schemes_do_not_count(host: str) -> None:
    headers = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", host), ("X-Forwarded-Proto", "gopher")]
    assert seen(*headers) == ("203.0.113.7", "http", "inner:8080")


def test_no_more_hops_than_sense_makes() -> None:
    text = ", ".join(["203.0.113.7", *["10.0.0.2"] * (MAX_HOPS + 5)])
    assert seen(("X-Forwarded-For", text))[0] == "10.0.0.2"


@given(
    st.lists(st.tuples(st.sampled_from(["X-Forwarded-For", "Forwarded", "X-Forwarded-Host"]), st.text()), max_size=4)
)
def test_whatever_comes_is_an_address_or_unknown(headers: list[tuple[str, str]]) -> None:
    address = asker(PROXY, headers, TRUSTED).address
    assert address == "unknown" or network(address)


def test_limits_take_the_network_that_one_ipv6_client_has() -> None:
    assert limited_as("2001:db8:1:2:3:4:5:6") == limited_as("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert limited_as("203.0.113.7") == "203.0.113.7"
    assert limited_as("unknown") == "unknown"


def test_a_network_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="write one like"):
        network("10.0.0.1/8")
