"""What runs beside the application while a server is up: the watch over its certificate, the listener for figures."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from signaling.ports import listen
from signaling.tls import Certificates

if TYPE_CHECKING:
    import ssl

    from signaling.hub import Hub
    from signaling.operation import Operation


class Operating:
    """Belongs to one Server, which calls `load`, `start` and `close` in this order."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._certificates: Certificates | None = None
        self._watch: asyncio.Task[None] | None = None
        self._metrics: web.AppRunner | None = None
        self.metrics_port: int | None = None

    @property
    def ssl(self) -> ssl.SSLContext | None:
        """What to listen with; None: without TLS."""
        return self._certificates.context if self._certificates is not None else None

    async def load(self) -> None:
        """Reads what has to be there before anything is bound. Raises BadCertificate."""
        if self._operation.tls is not None:
            self._certificates = await asyncio.to_thread(Certificates, self._operation.tls)

    async def start(self, hub: Hub) -> None:
        """Raises CannotListen or PortTaken for the port of the figures."""
        if self._certificates is not None:
            certificates = self._certificates
            meaning = "When the certificate in use expires, in Unix time."
            hub.counters.state("certificate_expires", meaning, lambda: certificates.expires)
            self._watch = asyncio.create_task(certificates.watch(), name="certificate")
        if self._operation.metrics is not None:
            from signaling.metrics import metrics_app  # not above: prometheus-client takes a while to load

            sockets = await asyncio.to_thread(listen, *self._operation.metrics, flags="--metrics-")
            self._metrics = web.AppRunner(metrics_app(hub), access_log=None, shutdown_timeout=0.3)
            try:
                await self._metrics.setup()
                while sockets:
                    await web.SockSite(self._metrics, sockets[-1]).start()
                    self.metrics_port = sockets.pop().getsockname()[1]
            finally:
                for one in sockets:
                    one.close()

    async def close(self) -> None:
        """Ends it all. Twice is harmless."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._metrics is not None:
            await self._metrics.cleanup()
