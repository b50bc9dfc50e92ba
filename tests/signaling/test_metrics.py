"""`/metrics`: what happened is in the figures, and nothing that a client made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from signaling.operation import Operation
from tests.signaling.helpers import hears, hub_of

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve

Sample = tuple[str, frozenset[tuple[str, str]]]


async def figures(server: Server, session: ClientSession) -> tuple[str, dict[Sample, float]]:
    """The text, and the value of each sample by its name and labels."""
    async with session.get(f"http://127.0.0.1:{server.metrics_port}/metrics") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        text = await response.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return text, {(one.name, frozenset(one.labels.items())): one.value for one in samples}


def value(found: dict[Sample, float], name: str, **labels: Any) -> float:
    return found[f"peer_signaling_{name}", frozenset(labels.items())]


async def test_figures_of_what_happened(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(operation=Operation(metrics=("127.0.0.1", 0)))
    hub_of(server).counters.state("redis_up", "Whether Redis answers.", lambda: 1.0)
    alice, bob = await join(server, "alice in chains"), await join(server, "bob")
    await alice.next("joined")
    await hears(alice, bob)
    await bob.text("{")
    assert await bob.error() == "bad-json"
    text, found = await figures(server, session)
    assert [value(found, name) for name in ("rooms", "participants", "connections", "exchanges")] == [1, 2, 2, 0]
    assert value(found, "draining") == 0
    assert value(found, "redis_up") == 1
    assert value(found, "messages_total", direction="received", type="join") == 2
    assert value(found, "messages_total", direction="received", type="message") == 1
    assert value(found, "messages_total", direction="sent", type="welcome") == 2
    assert value(found, "refusals_total", code="bad-json") == 1
    assert value(found, "refusals_total", code="slow-client") == 0
    assert value(found, "relay_latency_seconds_count") >= 4  # two welcomes, joined, the message
    assert 0 < value(found, "relay_latency_seconds_sum") < 60
    assert value(found, "relay_latency_seconds_bucket", le="+Inf") == value(found, "relay_latency_seconds_count")
    assert found["process_resident_memory_bytes", frozenset()] > 0
    assert "alice in chains" not in text and "lab" not in text.replace("label", "").replace("unavailable", "")


async def test_refusals_over_http_and_drops_are_counted(serve: Serve, session: ClientSession) -> None:
    server = await serve(operation=Operation(metrics=("127.0.0.1", 0)))
    async with session.post(f"{server.url}/rooms/lab/participants/bot/offer", data="x") as response:
        assert response.status == 415
    found = (await figures(server, session))[1]
    assert value(found, "refusals_total", code="bad-content-type") == 1
    assert value(found, "outbox_drops_total") == 0


async def test_there_are_no_figures_on_the_port_of_clients(serve: Serve, session: ClientSession) -> None:
    server = await serve(operation=Operation(metrics=("127.0.0.1", 0)))
    async with session.get(f"{server.url}/metrics") as response:
        assert response.status == 404
    assert (await serve()).metrics_port is None
