"""A failing server is told once in a while, with what to do."""

from __future__ import annotations

import asyncio
import logging

import pytest

from peer.rtc.ice.complaints import MAX_REMEMBERED, QUIET, complain
from peer.rtc.ice.lookup import ServerFailed


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.virtual_time
async def test_the_same_failure_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    failure = ServerFailed(486, "allocation quota reached", "end other calls")
    for _ in range(3):
        complain("turn:one", failure)
    assert warnings(caplog) == ["ICE server turn:one: allocation quota reached (486); end other calls"]
    complain("turn:one", ServerFailed(401, "wrong user or password"))
    complain("turn:two", failure)
    assert len(warnings(caplog)) == 3
    await asyncio.sleep(QUIET)
    complain("turn:one", failure)
    assert len(warnings(caplog)) == 4


@pytest.mark.virtual_time
async def test_what_is_remembered_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MAX_REMEMBERED):
        complain(f"turn:{number}", ServerFailed(701, "no answer"))
    complain("turn:one more", ServerFailed(701, "no answer"))
    complain("turn:0", ServerFailed(701, "no answer"))
    assert len(warnings(caplog)) == MAX_REMEMBERED + 2
