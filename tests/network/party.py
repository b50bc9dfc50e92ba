"""One party of a row: `ip netns exec NAME python -m tests.network.party ENGINE`, told what to do in JSON lines.

In: {"do": "start", ...options}, {"signal": ...} from the other party, {"do": "restart" | "look" | "stop"}.
Out: what happens, {"signal": ...} for the other party, and an {"event": "look"} for each look. Ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import traceback
from typing import Any

from tests.network.agents import Agent, Options, agent, load

CLOSE_SECONDS = 5.0


class Party:
    def __init__(self) -> None:
        self._agent: Agent | None = None

    def write(self, message: dict[str, Any]) -> None:
        os.write(1, json.dumps(message).encode() + b"\n")

    async def run(self) -> None:
        reader = asyncio.StreamReader(limit=2**20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        loop.set_exception_handler(lambda _, context: self._unhandled(context))
        self.write({"event": "ready"})
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if message.get("do") == "stop":
                    break
                try:
                    await self._obey(message)
                except Exception:
                    self.write({"event": "error", "text": traceback.format_exc()})
        finally:
            began = time.monotonic()
            if self._agent is not None:
                await asyncio.wait_for(self._agent.close(), CLOSE_SECONDS)
            self.write({"event": "closed", "seconds": time.monotonic() - began})

    def _unhandled(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        told = "".join(traceback.format_exception(error)) if error else ""
        self.write({"event": "error", "text": f"{context.get('message')}\n{told}"})

    async def _obey(self, message: dict[str, Any]) -> None:
        if message.get("do") == "start":
            options = {**message["options"]}
            options["servers"] = tuple(options.get("servers", ()))
            self.write({"event": "start", "at": time.monotonic()})
            self._agent = agent(Options(**options), self.write)
            await self._agent.start()
            return
        if self._agent is None:
            raise RuntimeError(f"not started: {message}")
        if "signal" in message:
            await self._agent.signal(message["signal"])
        elif message["do"] == "restart":
            await self._agent.restart()
        elif message["do"] == "look":
            seen = {"arrivals": self._agent.arrivals, "texts": self._agent.texts, "pair": await self._agent.pair()}
            self.write({"event": "look", **seen})


if __name__ == "__main__":
    level = os.environ.get("PEER_LOG")
    logging.basicConfig(
        level=getattr(logging, level or "WARNING"), stream=sys.stderr, format="%(relativeCreated)d %(name)s %(message)s"
    )
    load(sys.argv[1])
    asyncio.run(Party().run())
