"""What a script waits for in a call: each wait has an end, and says what did not come."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from peer.errors import CallEnded, TimedOut, UsageError
from peer.maintrack import MainTrack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peer.call import Call
    from peer.listening import Speech, Taken
    from peer.media.picture import Picture

KINDS: Final = ("audio", "video")


@contextmanager
def _until(call: Call, timeout: float | None, what: str, missing: Callable[[], str]) -> Iterator[None]:
    """Time that is over, and a call that is, become errors; `what` was waited for, `missing()` says how it failed."""
    try:
        yield
    except TimeoutError:
        raise TimedOut(missing().replace("WITHIN", f"within {timeout:g} s")) from None
    except StopAsyncIteration:
        raise CallEnded(f"the call with {call.name} ended before {what} came; call again") from None


async def flowing(call: Call, kinds: Sequence[str], timeout: float | None) -> None:
    """Wait until frames of each kind come."""
    kinds = kinds or KINDS
    if not set(kinds) <= set(KINDS):
        raise UsageError(f"{' and '.join(kinds)} cannot flow; wait for 'audio', 'video' or both")
    lacking = list(kinds)
    with _until(call, timeout, " and ".join(kinds), lambda: _not_flowing(call, lacking[0])):
        async with asyncio.timeout(timeout):
            while lacking:
                frames = MainTrack(call, lacking[0], lambda track: track.encoded(1))
                try:
                    await anext(frames)
                finally:
                    frames.close()
                del lacking[0]


def _not_flowing(call: Call, kind: str) -> str:
    if any(track.kind == kind for track in call.remote.tracks):
        return f"no {kind} came from {call.name} WITHIN, though it says that it sends some; see whether it is muted"
    return f"{call.name} did not begin to send {kind} WITHIN; see whether it shares any"


async def picture(call: Call, timeout: float | None) -> Picture:
    """The next picture that comes."""
    pictures = call.pictures()
    try:
        with _until(call, timeout, "a picture", lambda: _not_flowing(call, "video")):
            async with asyncio.timeout(timeout):
                return await anext(pictures)
    finally:
        pictures.close()


async def speaking(call: Call, speech: Taken[Speech], timeout: float | None) -> Speech:
    """The next speech that begins."""
    try:
        with _until(call, timeout, "speech", lambda: f"{call.name} said nothing WITHIN; ask again, or wait longer"):
            async with asyncio.timeout(timeout):
                return await anext(speech)
    except BaseException:
        speech.close()  # otherwise what was said can still be asked for
        raise


async def silent(call: Call, seconds: float, below: float, timeout: float | None) -> None:
    """Wait until nothing louder than `below` has come for `seconds`; sound that does not come at all is silent too."""
    sound = call.sound(16_000)
    limit = 32768 * 10 ** (below / 20)
    quiet = 0.0
    try:
        with _until(
            call, timeout, "silence", lambda: f"{call.name} was never silent for {seconds:g} s WITHIN; wait longer"
        ):
            async with asyncio.timeout(timeout):
                while quiet < seconds:
                    try:
                        async with asyncio.timeout(seconds - quiet):
                            heard = await anext(sound)
                    except TimeoutError:
                        return
                    level = np.sqrt(np.mean(np.square(heard.array.astype(np.float64))))
                    quiet = 0.0 if level > limit else quiet + len(heard.array) / heard.rate
    finally:
        sound.close()
