"""One line in the log for each server that fails, however many calls notice it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from peer.rtc.ice.remedies import server_sentence

if TYPE_CHECKING:
    from peer.rtc.ice.lookup import ServerFailed

logger = logging.getLogger(__name__)

QUIET: Final = 60.0
"""Seconds in which the same failure of the same server is not logged again."""
MAX_REMEMBERED: Final = 256
"""Failures remembered for that; all are forgotten, and so logged again, when there are more."""

_logged: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], float]] = WeakKeyDictionary()


def complain(url: str, failure: ServerFailed) -> None:
    """Warns of the server: what happened, and what to do."""
    loop = asyncio.get_running_loop()
    logged = _logged.setdefault(loop, {})
    key = (url, failure.text)
    now = loop.time()
    quiet = now - logged.get(key, -QUIET) < QUIET
    if not quiet:
        if len(logged) >= MAX_REMEMBERED:
            logged.clear()
        logged[key] = now
    level = logging.DEBUG if quiet else logging.WARNING
    logger.log(level, "ICE server %s", server_sentence(url, failure.code, failure.text, failure.advice))
