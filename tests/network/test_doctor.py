"""`peer doctor` in every network of the laboratory: it finds the NAT that is there, and says what that means."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.network.lab import ROOT, Lab
from tests.network.nat import FILTERING, MAPPING, UDP_NATS, Kind
from tests.network.servers import PASSWORD, SIGNALING, USER, Servers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(240)]

AT_ONCE = 3
BEHAVIOUR_PORT = 3480
"""Of a coturn with two addresses, which does RFC 5780."""
TURN = f"turn:{USER}:{PASSWORD}@turn.lab:3478"
TCP, TLS = f"{TURN}?transport=tcp", f"turns:{USER}:{PASSWORD}@turn.lab:443"
ASKED = ("stun:stun.lab:3478", "stun:rest.lab:3478", f"stun:203.0.113.10:{BEHAVIOUR_PORT}", TURN, TCP, TLS)
KINDS = (Kind.PUBLIC, *UDP_NATS, Kind.UDP_BLOCKED, Kind.TCP_443, Kind.BROKEN_IPV6, Kind.ONE_TO_ONE)


@pytest.fixture(scope="module")
def told(laboratory: None, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, dict[str, Any]]:
    """What it says in each network, as JSON."""
    return asyncio.run(_examine_all(tmp_path_factory.mktemp("doctor")))


async def _examine_all(folder: Path) -> dict[Kind, dict[str, Any]]:
    turns = asyncio.Semaphore(AT_ONCE)
    async with Lab(link_seconds=0) as lab:
        servers = Servers(lab)
        behaviour = await _behaviour_server(lab, folder)
        try:
            await servers.start()

            async def one(kind: Kind) -> dict[str, Any]:
                async with turns:
                    return await _examine(lab, kind, servers.ca_file)

            return dict(zip(KINDS, await asyncio.gather(*map(one, KINDS)), strict=True))
        finally:
            behaviour.kill()
            await behaviour.wait()
            await servers.close()


async def _behaviour_server(lab: Lab, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", lab.public, "setpriv", "--pdeathsig", "KILL", "turnserver", "-n", "--no-auth"),
        *("--listening-ip=203.0.113.10", "--listening-ip=203.0.113.11", f"--listening-port={BEHAVIOUR_PORT}"),
        *("--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout"),
        *(f"--userdb={folder}/db", f"--pidfile={folder}/pid"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _examine(lab: Lab, kind: Kind, ca_file: Path) -> dict[str, Any]:
    site = await lab.site(kind)
    try:
        program = "import sys; from peer.cli import main; sys.exit(main())"
        flags = [flag for url in ASKED for flag in ("--ice-server", url)]
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", site.host, sys.executable, "-c", program, "doctor"),
            *(f"http://{SIGNALING[0]}:{SIGNALING[1]}", "--json", "--ca-file", str(ca_file), *flags),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        out, _ = await process.communicate()
        result: dict[str, Any] = json.loads(out)
        assert process.returncode == result["exitCode"]
        return result
    finally:
        await lab.remove(site)


def of_ipv4(told: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in told["nat"] if not each["local"].startswith("[")]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", UDP_NATS)
def test_a_nat_is_known_for_what_it_is(told: dict[Kind, dict[str, Any]], kind: Kind) -> None:
    found = of_ipv4(told[kind])
    expected = {"mapping": MAPPING[kind], "filtering": FILTERING[kind]}
    assert {key: found[key] for key in expected} == {
        key: value.replace("address and port", "address-and-port") for key, value in expected.items()
    }
    assert found["source"] == "RFC 5780"
    assert any("symmetric" in note for note in told[kind]["notes"]) is (kind is Kind.SYMMETRIC)
    assert told[kind]["problems"] == []


def test_a_public_host_has_no_nat(told: dict[Kind, dict[str, Any]]) -> None:
    found = of_ipv4(told[Kind.PUBLIC])
    assert (found["mapping"], found["filtering"]) == ("none", "endpoint-independent")
    assert told[Kind.PUBLIC]["problems"] == []
    # Each name has an address of each family, and each was asked at both.
    assert sum(server["address"].startswith("[") for server in told[Kind.PUBLIC]["servers"]) == 5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Kind.BROKEN_IPV6])
def test_calls_work_through_each_relay_that_is_reached(told: dict[Kind, dict[str, Any]], kind: Kind) -> None:
    by_path = {call["url"] or call["path"]: call for call in told[kind]["calls"] if call["path"] != "public address"}
    reached = {server["url"] for server in told[kind]["servers"] if server["good"] and "turn" in server["url"]}
    assert set(by_path) == {"direct", *reached}
    assert {path: call["error"] for path, call in by_path.items()} == dict.fromkeys(by_path)
    assert all(by_path[url]["local"].startswith("relay ") for url in reached)


@pytest.mark.parametrize(
    ("kind", "ways", "through"),
    [
        (Kind.UDP_BLOCKED, {"udp": False, "tcp": True, "tls": True}, "turn:turn.lab:3478?transport=tcp"),
        (Kind.TCP_443, {"udp": False, "tcp": False, "tls": True}, "turns:turn.lab:443"),
    ],
)
def test_blocked_udp_is_told_once_with_the_way_out(
    told: dict[Kind, dict[str, Any]], kind: Kind, ways: dict[str, bool], through: str
) -> None:
    assert told[kind]["reached"] == ways
    assert told[kind]["exitCode"] == 8
    blocked = [text for text in told[kind]["problems"] if "UDP does not get out" in text]
    assert len(blocked) == 1
    assert f"calls go through {through}, which works" in blocked[0]
    assert not any(text.startswith("stun:") for text in told[kind]["problems"])


def test_broken_ipv6_is_told_once(told: dict[Kind, dict[str, Any]]) -> None:
    (problem,) = told[Kind.BROKEN_IPV6]["problems"]
    assert problem.startswith("IPv6 does not get out of this network")
    assert all(call["error"] is None for call in told[Kind.BROKEN_IPV6]["calls"] if call["path"] == "relay")
