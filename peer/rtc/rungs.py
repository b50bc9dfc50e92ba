"""One encoding of a source's pictures, and those who take it: made here (`EncoderRung`), or as the file has it.

Who comes onto a rung does so with a keyframe: the last one, with what came after, if that is not long ago; or the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from peer.media.encoder import VideoEncoder
from peer.rtc.encoded import LIVE, Encoded
from peer.rtc.payload.packetise import packetiser_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.media.encoder import EncoderSettings
    from peer.media.picture import Picture
    from peer.rtc.codecs import Codec
    from peer.rtc.picturesubscription import PictureSubscription

AT_ONCE: Final = 4
"""Takers that are given a frame in one turn of the loop."""
BEHIND: Final = 8
"""Frames, a quarter of a second of them, that may wait to be given to all: so a keyframe for many holds up nothing."""
KEYFRAME_GAP: Final = 0.25
"""Seconds from one keyframe that was asked for to the next: who asks meanwhile gets that one."""
MAX_GROUP: Final = 200_000
"""Bytes of a keyframe and what came after it that who joins is sent at once ..."""
GROUP_AGE: Final = 2.0
"""... and the seconds that these may span: longer ago, a new keyframe is there sooner than they are decoded."""


class Rung:
    """Hands each frame to all who are on it."""

    encodes = False
    """Whether its frames are made here."""

    def __init__(self, codec: Codec) -> None:
        self.codec: Final = codec
        self.takers: dict[PictureSubscription, None] = {}
        """Those who are on it, or come onto it with the next keyframe."""
        self._group: list[Encoded] = []
        """The last keyframe, and what came after it; empty when that is too much."""
        self._size = 0
        self._waiting: deque[tuple[Encoded, Sequence[PictureSubscription]]] = deque()
        """The newest frames, and those who have to be given them yet."""
        self._next: asyncio.Handle | None = None

    @property
    def group_age(self) -> float:
        """Seconds that the last keyframe may be old to be sent again."""
        return GROUP_AGE

    def group(self, now: float) -> list[Encoded]:
        """The last keyframe and what came after it, for who joins now; empty: it has to wait for another."""
        return self._group if self._group and now - self._group[0].taken <= self.group_age else []

    def deliver(self, frame: Encoded) -> None:
        """A frame, to all who can decode it: to a few in each turn of the loop, which has other things to do, too.

        Where the loop is so late that BEHIND frames wait, the oldest are given at once: they do not pile up.
        """
        self._keep(frame)
        takers = tuple(self.takers)
        while len(self._waiting) * AT_ONCE > BEHIND * len(takers):
            self._give(*self._waiting.popleft())
        self._waiting += [(frame, takers[at : at + AT_ONCE]) for at in range(0, len(takers), AT_ONCE)]
        if self._next is None:
            self._give_next()

    def _give_next(self) -> None:
        self._next = None
        if self._waiting:
            self._give(*self._waiting.popleft())
        if self._waiting:
            self._next = asyncio.get_running_loop().call_soon(self._give_next)

    def _give(self, frame: Encoded, takers: Sequence[PictureSubscription]) -> None:
        for each in takers:
            if each.arrives(self, keyframe=frame.keyframe):
                each.taker.take(frame)

    def _keep(self, frame: Encoded) -> None:
        if frame.keyframe:
            self._group, self._size = [frame], frame.size
        elif self._group:
            self._size += frame.size
            self._group.append(frame)
            if self._size > MAX_GROUP or frame.taken - self._group[0].taken > self.group_age:
                self._group = []


class EncoderRung(Rung):
    """An encoder, and those for whom it encodes."""

    encodes = True

    def __init__(self, name: str, place: int, settings: EncoderSettings) -> None:
        """`name`: of the codec, in upper case; `place`: on the ladder."""
        super().__init__(LIVE[name])
        self.place = place
        self.keyframe_wanted = False
        self.encoder = VideoEncoder(name, settings)
        self._packetise = packetiser_of(name)
        self._keyframe_at = float("-inf")

    @property
    def group_age(self) -> float:
        return KEYFRAME_GAP

    def takes_keyframe(self, now: float) -> bool:
        """Whether the next picture is to be one."""
        return self.keyframe_wanted and now - self._keyframe_at >= KEYFRAME_GAP

    def encode(self, picture: Picture, timestamp: int, keyframe: bool) -> tuple[list[bytes], bool] | None:
        """Its payloads, and whether it is a keyframe; None when the encoder gave nothing for it. For a thread."""
        encoded = self.encoder.encode(picture.frame(), timestamp, keyframe=keyframe)
        return None if encoded is None else (self._packetise(encoded.data), encoded.keyframe)

    def encoding(self, now: float) -> bool:
        """The next picture goes into the encoder; returns whether as a keyframe."""
        if not self.takes_keyframe(now):
            return False
        self.keyframe_wanted, self._keyframe_at = False, now
        return True

    def encoded(self, frame: Encoded) -> None:
        """What came out."""
        if frame.keyframe:
            self._keyframe_at = max(self._keyframe_at, frame.taken)
        self.deliver(frame)
