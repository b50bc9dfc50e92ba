"""Events to handlers that may raise: an error of the application is logged, and breaks nothing of the connection."""

from __future__ import annotations

import logging
from typing import Any

from pyee.asyncio import AsyncIOEventEmitter

logger = logging.getLogger(__name__)


class Emitter(AsyncIOEventEmitter):
    """aiortc's kind of emitter, which is not ended by a handler that raises: the others are called all the same."""

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        # pyee emits `error` when a handler, or the coroutine that it gave, raised; without a handler for that it
        # raises here, in the middle of whatever told the event.
        if event == "error" and not self.listeners("error"):
            log_error(*args)
            return False
        return super().emit(event, *args, **kwargs)


def log_error(error: Any = None, *_: Any) -> None:
    """A handler for `error`, for emitters that are not ours."""
    logger.error("a handler raised", exc_info=error if isinstance(error, BaseException) else None)
