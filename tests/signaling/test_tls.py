"""TLS: a pair that does not work is refused with a sentence, and a running server keeps the one that does."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from signaling.operation import Operation, TlsFiles
from signaling.tls import BadCertificate, Certificates, load
from tests.harness.certificates import make_certificate
from tests.signaling.helpers import hub_of

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.signaling.conftest import Serve


def pair(folder: Path, *, days: int = 1) -> TlsFiles:
    folder.mkdir(exist_ok=True)
    made = make_certificate(folder, "localhost", "127.0.0.1", days=days)
    return TlsFiles(certificate=made.certificate, key=made.key)


def replace(files: TlsFiles, new: TlsFiles) -> None:
    """As certbot and Kubernetes do it: another file under the same name."""
    for old, other in ((files.certificate, new.certificate), (files.key, new.key)):
        os.replace(shutil.copy(other, f"{old}.new"), old)


def test_a_pair_that_works_says_until_when(tmp_path: Path) -> None:
    assert load(pair(tmp_path, days=3)).expires == pytest.approx(time.time() + 3 * 86400, abs=60)


def test_an_expired_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCertificate, match="certificate has expired"):
        load(pair(tmp_path, days=-1))


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = pair(tmp_path / "a"), pair(tmp_path / "b")
    with pytest.raises(BadCertificate, match="no certificate with its key.*KEY_VALUES_MISMATCH"):
        load(TlsFiles(certificate=one.certificate, key=other.key))


def test_what_is_no_certificate_or_not_there_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path)
    with pytest.raises(BadCertificate, match="no certificate with its key"):
        load(TlsFiles(certificate=files.key, key=files.key))
    with pytest.raises(BadCertificate, match="absent cannot be read"):
        load(TlsFiles(certificate=files.certificate, key=tmp_path / "absent"))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    files = pair(tmp_path)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(pem, form, locked))
    with pytest.raises(BadCertificate, match="wants a password"):
        load(files)


@pytest.mark.may_block("files are made while the loop waits")
async def test_a_change_is_taken_once_it_is_whole_and_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files, new = pair(tmp_path / "used"), pair(tmp_path / "new", days=9)
    certificates = Certificates(files)
    first = certificates.expires
    shutil.copy(new.certificate, files.certificate)
    await certificates.look()
    assert caplog.text == ""  # maybe the key comes next
    await certificates.look()
    assert certificates.expires == first
    assert "the old one stays" in caplog.text and "KEY_VALUES_MISMATCH" in caplog.text
    caplog.clear()
    await certificates.look()
    assert caplog.text == ""  # said once
    shutil.copy(new.key, files.key)
    await certificates.look()
    await certificates.look()
    assert certificates.expires > first + 86400
    files.key.unlink()
    await certificates.look()
    await certificates.look()
    assert certificates.expires > first + 86400
    assert "cannot be read" in caplog.text


async def serial(port: int, authority: Path) -> int:
    """The serial number of the certificate that a server shows, checked against its authority."""
    context = ssl.create_default_context(cafile=authority)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return int(found, 16)


@pytest.mark.may_block("files are made while the loop waits")
async def test_a_server_speaks_tls_and_shows_the_new_certificate(
    tmp_path: Path, serve: Serve, session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.tls.POLL", 0.01)
    files = pair(tmp_path / "used")
    server = await serve(operation=Operation(tls=files))
    assert server.url == f"https://127.0.0.1:{server.port}"
    context = ssl.create_default_context(cafile=tmp_path / "used" / "authority.pem")
    ws = await session.ws_connect(f"{server.url}/ws", ssl=context)
    await ws.send_str('{"type":"join","version":1,"room":"lab","name":"alice"}')
    assert (await ws.receive_json())["type"] == "welcome"
    first = await serial(server.port, tmp_path / "used" / "authority.pem")
    new = pair(tmp_path / "new", days=5)
    expires = hub_of(server).counters.states["certificate_expires"][1]
    before = expires()
    replace(files, new)
    async with asyncio.timeout(10):
        while expires() == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await serial(server.port, tmp_path / "new" / "authority.pem") != first
    await ws.send_str('{"type":"leave"}')  # connections that were there before go on
    await ws.close()
    assert ws.close_code == 1000


async def test_a_server_with_a_bad_pair_does_not_start(tmp_path: Path, serve: Serve) -> None:
    files = TlsFiles(certificate=tmp_path / "absent", key=tmp_path / "absent")
    with pytest.raises(BadCertificate):
        await serve(operation=Operation(tls=files))
