"""The server keeps to the description of its HTTP endpoints, whatever requests schemathesis makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signaling.app import Limits
from signaling.messages import DescriptionFrom
from signaling.operation import Operation
from tests.signaling.helpers import ANSWER, Client, hub_of

if TYPE_CHECKING:
    from tests.signaling.conftest import Connect, Serve

SECRET = "correct horse battery"
PATIENCE = 100.0
HOOKS = """
import schemathesis
@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_it_is(context, value):
    return str(value).encode(errors="replace")
"""


async def answer_everybody(bot: Client) -> None:
    """Takes every call, until it is sent away."""
    async for frame in bot.ws:
        message = json.loads(frame.data)
        if message["type"] == "description":
            await bot.send(type="description", to=message["from"], session=message["session"], description=ANSWER)


GATEWAY = "^/wh[ie]p/"
NO_SCHEMA = "negative_data_rejection,positive_data_acceptance"
"""Whether a body is SDP no schema says, and what is only asked, such as by OPTIONS, is answered for any name."""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [
    ["--exclude-path", "/metrics", "--exclude-path-regex", GATEWAY],
    ["--include-path-regex", GATEWAY, "--exclude-checks", NO_SCHEMA],
], ids=["own", "gateway"])  # fmt: skip
async def test_requests_of_all_kinds_are_answered_as_described(
    serve: Serve, join: Connect, tmp_path: Path, options: list[str]
) -> None:
    limits = Limits(answer_timeout=0.5, messages_per_second=1000)
    server = await serve(limits=limits, operation=Operation(admin_secret=SECRET))
    bot = await join(server, "bot")
    answering = asyncio.create_task(answer_everybody(bot))
    (tmp_path / "hooks.py").write_text(HOOKS)
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", *options]
    command += ["--header", f"Authorization: Bearer {SECRET}", "--checks", "all", "--max-examples", "15", "--seed", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, "--no-color", "--warnings", "off", cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert process.returncode == 0, "\n".join(line[:300] for line in out.decode().splitlines())
    await bot.close()  # it may have been sent away before
    await asyncio.wait_for(answering, PATIENCE)
    assert hub_of(server).counters.sent[DescriptionFrom] > 0 or "--include-path-regex" in options
