"""Text to speech: whatever a voice gives becomes something to play."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from os import PathLike

    from numpy.typing import NDArray

    Pcm = NDArray[Any] | tuple[NDArray[Any], int]
    Spoken = Pcm | AsyncIterator[Pcm] | str | PathLike[str]
    Voice = Callable[[str], Spoken | Awaitable[Spoken]]

T = TypeVar("T")


async def spoken(voice: Voice, text: str) -> Spoken:
    """What the voice makes of the text; a plain function does so on a thread, which nothing ends but its return."""
    made = voice(text) if _is_async(voice) else await on_thread(lambda: voice(text), "voice")
    return await made if inspect.isawaitable(made) else made


async def on_thread(work: Callable[[], T], name: str) -> T:
    """Run blocking work on a daemon thread of its own. When the wait is cancelled, what comes of it is dropped.

    No pool: its threads would have to end before the program can.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():  # the wait was cancelled
            if inspect.iscoroutine(value):
                value.close()  # it would complain that it was never awaited
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = work()
        except StopIteration as error:  # no future takes it
            failure = RuntimeError(f"{name} raised {error!r}")
            failure.__cause__ = error
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    threading.Thread(target=run, name=name, daemon=True).start()
    return await result


def _is_async(voice: Any) -> bool:
    calls = (voice, getattr(voice, "__call__", None))  # noqa: B004 an object with such a method is a voice too
    return any(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls)
