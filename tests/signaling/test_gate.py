"""The token of a request: only that of the header counts, and a server without keys wants none."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from signaling.codes import Code, ProtocolError
from signaling.gate import Gate, bearer
from signaling.keyring import Keyring
from signaling.settings import Access
from tests.signaling.tokens import SECRET, token


@pytest.mark.parametrize(("header", "expected"), [
    (None, None),
    ("", None),
    ("Bearer", ""),
    ("Bearer abc", "abc"),
    ("bearer   abc ", "abc"),
    ("Basic abc", None),
    ("Bearerabc", None),
])  # fmt: skip
def test_the_header(header: str | None, expected: str | None) -> None:
    headers = {"Authorization": header} if header is not None else {}
    assert bearer(make_mocked_request("GET", "/ws?access_token=x", headers=headers)) == expected


def test_a_gate_without_keys_is_open() -> None:
    gate = Gate(None)
    assert gate.open
    assert gate.grants(None) is None
    assert gate.grants("anything") is None


def test_a_gate_with_keys() -> None:
    keyring = Keyring(Access(secrets=(SECRET,)))
    keyring.load()
    gate = Gate(keyring)
    assert not gate.open
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {token(room='team-*')}"})
    grants = gate.grants_of(request)
    assert grants is not None and grants.room == "team-*"
    for bad, code in ((None, Code.TOKEN_MISSING), ("", Code.TOKEN_INVALID), (token(ttl=-40), Code.TOKEN_EXPIRED)):
        with pytest.raises(ProtocolError) as caught:
            gate.grants(bad)
        assert caught.value.code is code
