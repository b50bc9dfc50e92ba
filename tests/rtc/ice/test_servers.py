"""Server URLs: read as RFC 7064 and RFC 7065 write them, each once, and a sentence for what is none."""

from __future__ import annotations

import pytest

from peer.rtc.ice.servers import MAX_SERVER_URLS, UNREACHABLE, IceSettings, parse_server_url, server_urls
from signaling.messages import IceServer


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:stun.example.org", ("stun", "stun.example.org", 3478, "udp")),
        ("STUN:192.0.2.1:19302", ("stun", "192.0.2.1", 19302, "udp")),
        ("stun:[2001:db8::1]:5", ("stun", "2001:db8::1", 5, "udp")),
        ("turn:example.org", ("turn", "example.org", 3478, "udp")),
        ("turn:example.org?transport=udp", ("turn", "example.org", 3478, "udp")),
        ("turn:example.org:80?transport=tcp", ("turn", "example.org", 80, "tcp")),
        ("turns:example.org", ("turns", "example.org", 5349, "tls")),
        ("turns:[::1]:443?transport=tcp", ("turns", "::1", 443, "tls")),
    ],
)
def test_urls_that_are_used(url: str, expected: tuple[str, str, int, str]) -> None:
    parsed = parse_server_url(url, "user", "secret")
    assert (parsed.scheme, parsed.host, parsed.port, parsed.transport) == expected
    assert parsed.url == url and parsed.is_turn == expected[0].startswith("turn")
    assert "secret" not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("http://example.org", "no ICE server"),
        ("stun:", "no ICE server"),
        ("turn:user@example.org", "no ICE server"),
        ("stun:example.org:0", "port"),
        ("stun:example.org:65536", "port"),
        ("stun:example.org?transport=udp", "transport"),
        ("turn:example.org?transport=sctp", "transport"),
        ("turns:example.org?transport=udp", "DTLS"),
        ("stuns:example.org", "TLS"),
    ],
)
def test_urls_that_cannot_be_used_say_why(url: str, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        parse_server_url(url, "user", "secret")


def test_turn_needs_a_user() -> None:
    with pytest.raises(ValueError, match="password"):
        parse_server_url("turn:example.org", "user")


def test_every_url_of_every_server_once_and_an_error_for_the_rest() -> None:
    servers = [
        IceServer(["stun:a", "stun:a:3478", "stun:A"]),
        IceServer(["turn:a", "turn:a?transport=udp", "turn:a?transport=tcp"], "u", "p"),
        IceServer(["turn:a"], "another", "p"),
        IceServer(["turn:b", "nonsense"]),
    ]
    urls, errors = server_urls(servers)
    assert [(url.url, url.username) for url in urls] == [
        ("stun:a", None),
        ("turn:a", "u"),
        ("turn:a?transport=tcp", "u"),
        ("turn:a", "another"),
    ]
    assert [(error.url, error.error_code) for error in errors] == [("turn:b", UNREACHABLE), ("nonsense", UNREACHABLE)]


def test_too_many_servers_are_not_all_used() -> None:
    urls, errors = server_urls(IceServer([f"stun:server{number}"]) for number in range(MAX_SERVER_URLS + 3))
    assert len(urls) == MAX_SERVER_URLS and len(errors) == 3


def test_the_settings_have_the_deadlines_that_are_promised() -> None:
    settings = IceSettings()
    assert (settings.connect_timeout, settings.disconnected_after, settings.lost_after) == (15.0, 2.5, 30.0)
    assert settings.policy == "all" and settings.servers == ()
