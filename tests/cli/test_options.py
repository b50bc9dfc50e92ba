"""ICE servers as flags, in a file and in the environment; the flags about the network."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from peer.cli import call, options
from peer.cli.options import MAX_FILE, entries, ice_servers
from peer.errors import UsageError
from peer.rtc.ice.servers import IceSettings

OUTPUT = ("json", "quiet", "verbose")


def test_urls_between_spaces_commas_and_lines() -> None:
    assert entries(" stun:a, stun:b\n# stun:c\n\tturn:u:p@d stun:e\n") == ["stun:a", "stun:b", "turn:u:p@d", "stun:e"]
    assert entries("") == []


def test_json_stays_whole() -> None:
    assert entries(' [{"urls": "stun:a b"}]\n') == ['[{"urls": "stun:a b"}]']


def test_a_flag_stands_above_a_file_and_that_above_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ice"
    file.write_text("stun:file")
    monkeypatch.setenv("PEER_ICE_SERVERS", "stun:environment")
    assert ice_servers(["stun:flag"], file) == (["stun:flag"], "--ice-server")
    assert ice_servers([], file) == (["stun:file"], f"--ice-servers-file {file}")
    assert ice_servers(None) == (["stun:environment"], "PEER_ICE_SERVERS")
    monkeypatch.delenv("PEER_ICE_SERVERS")
    assert ice_servers(None) == ([], "default")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (MAX_FILE + 1)])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ice"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="correct --ice-servers-file|shorten it"):
        ice_servers(None, file)


def test_a_command_has_the_network_flags_in_the_place_of_what_they_say() -> None:
    said: list[IceSettings] = []

    @options.with_network("udp_ports", "relay")
    def command(*, network: IceSettings) -> int:
        """What it does."""
        said.append(network)
        return 4

    assert command.__doc__ == "What it does." and list(signature(command).parameters) == ["udp_ports", "relay"]
    app = typer.Typer()
    app.command()(command)
    flags = ["--udp-ports", "50000-50100", "--relay"]
    assert typer.main.get_command(app).main(flags, standalone_mode=False) == 4
    assert said == [IceSettings(policy="relay", udp_ports=(50000, 50100))]
    assert list(signature(call.call).parameters)[-11:] == [*signature(options.network).parameters, *OUTPUT]


def test_the_network_flags_become_settings() -> None:
    settings = options.network(
        udp_ports="50000-50100",
        tcp_port=443,
        public_ip=["203.0.113.7", "2001:DB8::7"],
        interface=["eth0"],
        ipv6=False,
        relay=True,
        ca_file=Path("ca.pem"),
    )
    assert settings.udp_ports == (50000, 50100) and settings.tcp_port == 443
    assert settings.public_ips == ("203.0.113.7", "2001:db8::7")
    assert settings.interfaces == ("eth0",) and settings.ipv6 is False
    assert settings.policy == "relay" and settings.ca_file == "ca.pem"
    assert options.network() == IceSettings()


@pytest.mark.parametrize("text", ["", "50000", "50100-50000", "0-10", "1-70000", "a-b"])
def test_what_is_no_range_of_ports_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="50000-50100"):
        options.network(udp_ports=text)


def test_flags_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        options.network(udp_port=50000, udp_ports="50000-50100")
    with pytest.raises(UsageError, match="no IP address"):
        options.network(public_ip=["router.example"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("600", 600), ("90s", 90), ("10m", 600), (" 1h ", 3600), ("0.5H", 1800), ("2 m", 120)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert options.seconds_of(text, "--segment") == seconds


@given(st.text(max_size=12) | st.sampled_from(["0", "0s", "-1", "10d", "m", "1e3", "inf", "nan", "1:30", "1" * 400]))
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    try:
        assert 0 < options.seconds_of(text, "--segment") < 1e13
    except UsageError as error:
        assert "write it like 600, 90s, 10m or 1h" in str(error)


@pytest.mark.parametrize("text", ["0", "-1", "10d", "m", "1e3", "inf", "nan", ""])
def test_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError):
        options.seconds_of(text, "--segment")
