"""Keys that come in among the sound of a track: their packets are taken out of it, and each key is told once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from peer.rtc.dtmf import EventReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peer.rtc.codecs import Codec
    from peer.rtc.dtmf import Key
    from peer.rtc.packet import RtpPacket

logger = logging.getLogger(__name__)


class KeyPresses:
    """Of one m-line; whoever made it calls `close`."""

    def __init__(self) -> None:
        self.on_key: Callable[[str, float], None] = _nothing
        """Called with each key, and the seconds for which it was pressed, once it is released."""
        self.payload_types: Final[set[int]] = set()
        self._reader = EventReader()
        self._clock_rate = 8000
        self._timer: asyncio.TimerHandle | None = None

    def configure(self, codecs: Iterable[Codec]) -> None:
        """What was agreed: the clock of keys is that of the first codec, whatever their own format says.

        RFC 4733 section 2.1 has both the same. Browsers send keys as `telephone-event/8000` among Opus, on its clock.
        """
        self.payload_types.clear()
        self.payload_types.update(each.payload_type for each in codecs if each.is_event)
        self._clock_rate = next((each.clock_rate for each in codecs if each.is_main), 8000)

    def take(self, packet: RtpPacket, now: float) -> RtpPacket:
        """Read a packet of one of these payload types; returns what to take in its place: sound that is empty."""
        found = self._reader.take(packet.ssrc, packet.timestamp, packet.payload, now, marker=packet.marker > 0)
        self._tell(found)
        due = self._reader.due
        if self._timer is None and due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._look)
        packet.timestamp, packet.payload = self._reader.moment(packet.timestamp, now, self._clock_rate), b""
        return packet

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """No end may have come of the key that is pressed."""
        self._timer, loop, due = None, asyncio.get_running_loop(), self._reader.due
        if due is not None and due <= loop.time():
            self._tell(self._reader.release())
        elif due is not None:
            self._timer = loop.call_at(due, self._look)

    def _tell(self, released: list[Key]) -> None:
        for key, duration in released:
            try:
                self.on_key(key, duration / self._clock_rate)
            except Exception:  # the packet it came with still has to take its place among the sound
                logger.exception("who was told of a key failed")


def _nothing(key: str, seconds: float) -> None:
    pass
