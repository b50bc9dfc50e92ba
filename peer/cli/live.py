"""A live line while something runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from peer.cli.output import REFRESH, live_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from peer.logs import LineHandler


@asynccontextmanager
async def live_while(handler: LineHandler, text: Callable[[], str], *, wanted: bool = True) -> AsyncIterator[None]:
    """Keep the line that `text` makes at the bottom of the terminal until the block is left."""
    async with drawn_while(live_line(handler, text, wanted=wanted)):
        yield


@asynccontextmanager
async def drawn_while(shown: AbstractContextManager[Callable[[], None]]) -> AsyncIterator[None]:
    """Draw what is `shown` (`live_line`, `live`) again and again until the block is left."""
    with shown as draw:
        drawing = asyncio.create_task(_draw(draw))
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])


async def _draw(draw: Callable[[], None]) -> None:
    while True:
        draw()
        await asyncio.sleep(REFRESH)
