"""The one table of codes: complete, with codes that exist, and the same as in docs/protocol.md."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from signaling.codes import EFFECTS, Code, ProtocolError, effect

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_every_code_has_an_effect() -> None:
    assert set(EFFECTS) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_the_numbers_exist(code: Code) -> None:
    one = effect(code)
    assert one.http_status in set(HTTPStatus)
    # RFC 6455, section 7.4: 1001, 1009, 1011 and 1013 may be sent by a server, 4000 to 4999 are for private use.
    assert one.close_code in {None, 1001, 1009, 1011, 1013} or 4000 <= (one.close_code or 0) < 5000
    if one.close_code is not None and one.close_code >= 4000:
        assert one.close_code == 4000 + one.http_status


def test_the_document_has_the_same_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+|stays open|-) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    documented = {code: (int(status), int(close) if close.isdigit() else None) for code, status, close in rows}
    assert documented == {code.value: (one.http_status, one.close_code) for code, one in EFFECTS.items()}


def test_an_error_carries_what_is_known() -> None:
    error = ProtocolError(Code.BAD_JSON, "No.", to="a", session="s")
    assert (error.code, error.message, str(error), error.to, error.session) == (Code.BAD_JSON, "No.", "No.", "a", "s")
