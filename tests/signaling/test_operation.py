"""What an operation may be, and what runs beside a server: it leaves nothing behind, however it begins or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signaling.app import PortTaken, Server, Settings
from signaling.operation import Operation, TlsFiles
from tests.harness.certificates import make_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.signaling.conftest import Serve


@pytest.mark.parametrize(("arguments", "sentence"), [
    ({"metrics": ("127.0.0.1", 65536)}, "65536 is no port"),
    ({"admin_secret": "short"}, "use 16 characters or more"),
])  # fmt: skip
def test_what_cannot_be(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Operation(**arguments)  # type: ignore[arg-type]


def test_secrets_are_not_shown() -> None:
    assert "horse" not in repr(Settings(operation=Operation(admin_secret="correct horse battery")))


@pytest.mark.may_block("a certificate is made while the loop waits")
async def test_a_taken_port_for_figures_leaves_nothing_behind(serve: Serve, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    tls = TlsFiles(certificate=made.certificate, key=made.key)
    taken = (await serve()).port
    server = Server(Settings(port=0, operation=Operation(metrics=("127.0.0.1", taken), tls=tls)))
    with pytest.raises(PortTaken, match=f"port {taken} is taken.*; use --metrics-port "):
        await server.start()
    await server.close()


async def test_closing_twice_is_harmless(serve: Serve) -> None:
    server = await serve(operation=Operation(metrics=("127.0.0.1", 0)))
    await server.close()
    await server.close()
