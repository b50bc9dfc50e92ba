"""Which pages may connect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.origins import is_loopback, origin_allowed


@pytest.mark.parametrize(("origin", "host", "allowed"), [
    (None, "example.org", True),
    ("https://example.org", "example.org", True),
    ("https://example.org", "example.org:8080", True),
    ("http://EXAMPLE.org:99", "example.org", True),
    ("http://[2001:db8::1]:80", "[2001:db8::1]:8080", True),
    ("http://localhost:3000", "example.org", True),
    ("http://app.localhost", "example.org", True),
    ("http://127.0.0.5", "example.org", True),
    ("http://[::1]:80", "example.org", True),
    ("https://other.example", "example.org", False),
    ("https://example.org.evil.example", "example.org", False),
    ("https://evil.example/example.org", "example.org", False),
    ("https://localhost.evil.example", "example.org", False),
    ("null", "example.org", False),
    ("", "", False),
    ("http://[", "[", False),
    ("https://good.example", "example.org", True),
    ("https://good.example:444", "example.org", False),
])  # fmt: skip
def test_origins(origin: str | None, host: str, allowed: bool) -> None:
    assert origin_allowed(origin, host, ("https://good.example",)) is allowed


def test_all_may_be_allowed() -> None:
    assert origin_allowed("null", "example.org", ("*",))


@pytest.mark.parametrize(("name", "loopback"), [
    ("localhost", True), ("127.0.0.1", True), ("::1", True), ("[::1]", True),
    ("0.0.0.0", False), ("192.0.2.1", False), ("example.org", False), ("", False),
])  # fmt: skip
def test_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


@given(st.text(), st.text())
def test_strange_headers_do_no_harm(origin: str, host: str) -> None:
    assert origin_allowed(origin, host) in {True, False}
