"""The files of docs/deploy, as far as they can be checked without containers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from peer.cli.app import app, main
from tests.harness.tools import require

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
UNIT = (DEPLOY / "peer-signaling.service").read_text()
CONFIG = tomllib.loads((DEPLOY / "serve.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SECRETS = ("keys", "admin-secret", "turn-secret")
"""Files that the reader makes."""
NODES = {name: one for name, one in COMPOSE["services"].items() if name.startswith("signaling")}


def flags() -> set[str]:
    """Every flag of `peer serve`."""
    command: Any = typer.main.get_command(app)
    return {name for one in command.commands["serve"].params for name in one.opts}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_configuration_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DEPLOY / "serve.toml", tmp_path)
    for name in SECRETS:
        (tmp_path / name).write_text("correct horse battery staple and more\n")
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--config", str(tmp_path / "serve.toml"), "--check", "--port", "0", "--metrics-port", "0"])
    assert ended.value.code == 0, capsys.readouterr().out


def test_every_flag_and_variable_that_is_named_is_one() -> None:
    prose = (DEPLOY.parent / "deploy.md").read_text()
    commands = [line for line in (UNIT + prose).splitlines() if "peer serve" in line]
    named = {flag for line in commands for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", line)}
    named |= {f"--{key}" for key in CONFIG}
    named |= {f"--{name.lower().replace('_', '-')}" for name in re.findall(r"PEER_([A-Z_]+)=", UNIT)}
    named |= {f"--{name[5:].lower().replace('_', '-')}" for node in NODES.values() for name in node["environment"]}
    assert named - flags() == set()
    assert len(named) > 8


def test_nodes_end_within_the_time_they_are_given() -> None:
    assert {*NODES} == {"signaling-1", "signaling-2"}
    for node in NODES.values():
        assert seconds(node["stop_grace_period"]) >= CONFIG["drain"] + 5
    stop = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert stop is not None and float(stop[1]) >= CONFIG["drain"] + 5


def test_the_proxy_is_trusted_and_knows_the_nodes() -> None:
    (subnet,) = COMPOSE["networks"]["inside"]["ipam"]["config"]
    assert CONFIG["trust-proxy"] == [subnet["subnet"]]
    wanted = " ".join(f"{name}:{CONFIG['port']}" for name in NODES)
    assert COMPOSE["services"]["caddy"]["environment"]["NODES"] == wanted
    assert f"{{$NODES:{wanted}}}" in (DEPLOY / "Caddyfile").read_text()


def test_the_nodes_share_a_redis_that_keeps_its_data() -> None:
    redis = COMPOSE["services"]["redis"]
    assert {node["environment"]["PEER_REDIS"] for node in NODES.values()} == {"redis://redis:6379"}
    assert all("redis" in node["depends_on"] for node in NODES.values())
    assert redis["command"][-4:-2] == ["--appendonly", "yes"]
    assert [volume.partition(":")[2] for volume in redis["volumes"]] == ["/data"]
    assert "'.[redis]'" in (DEPLOY / "Dockerfile").read_text()


def test_only_the_proxy_has_ports_on_the_outside() -> None:
    assert {name for name, one in COMPOSE["services"].items() if "ports" in one} == {"caddy"}


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_files_that_are_mounted_and_built_are_there(service: str) -> None:
    one = COMPOSE["services"][service]
    for volume in one.get("volumes", []):
        path = volume.split(":")[0]
        assert not path.startswith("./") or path[2:] in SECRETS or (DEPLOY / path).is_file()
    if "build" in one:
        root = (DEPLOY / one["build"]["context"]).resolve()
        copied = re.findall(r"^COPY (?!--)(.+) \S+$", (root / one["build"]["dockerfile"]).read_text(), re.MULTILINE)
        assert copied
        assert all((root / path).exists() for line in copied for path in line.split())


def test_the_unit_is_one(tmp_path: Path) -> None:
    (analyze,) = require("systemd-analyze")
    unit = tmp_path / "peer-signaling.service"
    unit.write_text(UNIT.replace("/opt/peer/bin/peer", sys.executable))
    checked = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
