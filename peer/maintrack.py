"""The main track of a kind, for as long as the call lasts: it may not be there yet, and another may take its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.receiver import RemoteTrack
    from peer.taker import Taker

T = TypeVar("T")


class CallWithTracks(Protocol):
    """What is needed of a call."""

    @property
    def over(self) -> bool: ...
    async def main_track(self, kind: str) -> RemoteTrack | None: ...


class MainTrack(Generic[T]):
    """Iterates over what comes of it. Cancelling a wait loses nothing."""

    def __init__(self, call: CallWithTracks, kind: str, take: Callable[[RemoteTrack], Taker[T]]) -> None:
        self._call = call
        self._kind = kind
        self._take = take
        self._taker: Taker[T] | None = None
        self._dropped_before = 0
        self._closed = False

    def __aiter__(self) -> MainTrack[T]:
        return self

    @property
    def dropped(self) -> int:
        """How many items went because nobody took them in time."""
        return self._dropped_before + (self._taker.dropped if self._taker is not None else 0)

    async def __anext__(self) -> T:
        while True:
            if self._closed:
                raise StopAsyncIteration
            if self._taker is None:
                track = await self._call.main_track(self._kind)
                if track is None:
                    raise StopAsyncIteration
                self._taker = self._take(track)
            try:
                return await self._taker.__anext__()
            except StopAsyncIteration:
                if self._call.over:
                    raise
                # The track was stopped for good; another may take its place.
                self._dropped_before, self._taker = self.dropped, None

    def close(self) -> None:
        """Take no more; what is not taken is not decoded."""
        self._closed = True
        if self._taker is not None:
            self._taker.close()
