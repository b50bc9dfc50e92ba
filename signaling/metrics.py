"""`/metrics` in the text format of Prometheus, on a listener of its own: figures are for the operator only.

Nothing is counted here: a collector reads the plain counters of `counters.py` when somebody asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from signaling.hub import Hub

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "peer_signaling_"


class ServerCollector(Collector):
    """The figures of one server. No label ever holds anything that a client made up."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        hub, counters = self._hub, self._hub.counters
        yield _gauge("rooms", "Rooms with somebody in them.", hub.rooms.room_count)
        yield _gauge("participants", "Members of all rooms.", hub.rooms.member_count)
        yield _gauge("connections", "Open WebSockets.", hub.connection_count)
        yield _gauge("exchanges", "Offers over HTTP that wait for their answer.", hub.rooms.guest_count)
        trouble = int(hub.trouble is not None)
        yield _gauge("degraded", "1 while this node cannot reach what it shares with others (Redis).", trouble)
        yield _gauge("draining", "1 while the server sends its clients elsewhere.", int(hub.draining))
        messages = CounterMetricFamily(
            f"{_PREFIX}messages", "Messages by direction and type.", labels=["direction", "type"]
        )
        for direction, counts in (("received", counters.received), ("sent", counters.sent)):
            for kind, count in counts.copy().items():
                messages.add_metric([direction, str(kind.__struct_config__.tag)], count)
        yield messages
        refused = CounterMetricFamily(f"{_PREFIX}refusals", "Refusals by error code.", labels=["code"])
        for code, count in counters.refused.copy().items():
            refused.add_metric([code.value], count)
        yield refused
        yield HistogramMetricFamily(
            f"{_PREFIX}relay_latency_seconds",
            "From the arrival of a message until it is handed to the receiver's socket.",
            buckets=counters.relayed.cumulated(),
            sum_value=counters.relayed.sum,
        )
        yield CounterMetricFamily(
            f"{_PREFIX}outbox_drops",
            "Messages for which there was no room, as their client did not read.",
            value=counters.dropped,
        )
        for name, (meaning, read) in counters.states.items():
            yield _gauge(name, meaning, read())


def registry_of(hub: Hub) -> CollectorRegistry:
    """What `/metrics` shows of a server: its own figures, those of the process and of Python."""
    registry = CollectorRegistry()
    for collector in (ServerCollector(hub), ProcessCollector(registry=None), PlatformCollector(registry=None)):
        registry.register(collector)
    return registry


def metrics_app(hub: Hub) -> web.Application:
    """The application of the listener: `/metrics` and nothing else."""
    registry = registry_of(hub)

    async def get_metrics(request: web.Request) -> web.Response:
        # On a thread: the figures of the process are files of /proc.
        body = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", get_metrics, name="metrics")
    return app


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, meaning, value=value)
