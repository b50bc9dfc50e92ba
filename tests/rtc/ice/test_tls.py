"""Why a connection to a TURN server failed, in words that tell what to do."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

import pytest

from peer.rtc.ice import tls
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.tls import MAX_CONTEXTS, connection_failed, tls_context
from tests.harness.certificates import make_certificate

if TYPE_CHECKING:
    from pathlib import Path


def certificate_error(code: int, message: str = "why") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "words", "advice"),
    [
        (certificate_error(62), "for another name", "name"),
        (certificate_error(64), "for another name", "name"),
        (certificate_error(10), "expired", "renew"),
        (certificate_error(20), r"not trusted \(why\)", "CA file"),
        (ssl.SSLError(1, "wrong version number"), "does not speak TLS", "turn:"),
        (ConnectionRefusedError(), "connection refused", "port"),
        (ConnectionResetError(), "closed the connection", "TURN"),
        (TimeoutError(), "no connection in time", "firewall"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route", "network"),
        (OSError(errno.EMFILE, "Too many open files"), r"no connection \(Too many open files\)", "server"),
        (RuntimeError("secret"), r"no connection \(RuntimeError\)", "server"),
    ],
)
def test_each_cause_has_its_words(error: Exception, words: str, advice: str) -> None:
    with pytest.raises(ServerFailed, match=words) as caught:
        raise connection_failed(error)
    assert caught.value.code == 701
    assert advice in caught.value.advice
    assert "secret" not in caught.value.text


async def test_the_context_is_made_once_and_trusts_both(tmp_path: Path) -> None:
    authority = str(make_certificate(tmp_path, "turn.example").authority)
    context = await tls_context(authority)
    assert context is await tls_context(authority)
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    plain = await tls_context(None)
    mine = {str(each["subject"]) for each in context.get_ca_certs()}
    assert mine == {str(each["subject"]) for each in plain.get_ca_certs()} | {
        str(((("commonName", "test authority"),),))
    }


async def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises(ServerFailed, match="empty.pem cannot be read") as caught:
        await tls_context(str(empty))
    assert "PEM" in caught.value.advice


async def test_contexts_are_not_kept_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_make_context", lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    monkeypatch.setattr(tls, "_contexts", {})
    for number in range(3 * MAX_CONTEXTS):
        await tls_context(f"{number}.pem")
    assert len(tls._contexts) <= MAX_CONTEXTS
