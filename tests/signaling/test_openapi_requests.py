"""The server keeps to the description of its HTTP endpoints, whatever requests schemathesis makes of it."""

from __future__ import annotations

import asyncio
import json
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


async def answer_everybody(bot: Client) -> None:
    """Takes every call, until it is sent away."""
    async for frame in bot.ws:
        message = json.loads(frame.data)
        if message["type"] == "description":
            await bot.send(type="description", to=message["from"], session=message["session"], description=ANSWER)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_requests_of_all_kinds_are_answered_as_described(serve: Serve, join: Connect, tmp_path: Path) -> None:
    limits = Limits(answer_timeout=0.5, messages_per_second=1000)
    server = await serve(limits=limits, operation=Operation(admin_secret=SECRET))
    bot = await join(server, "bot")
    answering = asyncio.create_task(answer_everybody(bot))
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"]
    options = ["--exclude-path", "/metrics", "--header", f"Authorization: Bearer {SECRET}", "--checks", "all"]
    options += ["--max-examples", "15", "--seed", "1", "--no-color", "--warnings", "off"]
    process = await asyncio.create_subprocess_exec(
        *command, *options, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert process.returncode == 0, "\n".join(line[:300] for line in out.decode().splitlines())
    await asyncio.wait_for(answering, PATIENCE)  # the room was closed, or the bot sent away
    assert hub_of(server).counters.sent[DescriptionFrom] > 0
