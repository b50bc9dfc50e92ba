"""Keys that are pressed during a call, as events among the packets of its sound (RFC 4733). Pure.

A key goes out as packets of one timestamp, each of which says for how long it has been pressed. It comes in as one key,
whichever of them were lost.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import Final, NamedTuple

from peer.errors import UsageError
from peer.rtc.rtp import signed_difference

KEYS: Final = "0123456789*#ABCD"
"""By number of the event (RFC 4733 section 3.2)."""
PAUSE: Final = ","
PAUSE_SECONDS: Final = 2.0
INTERVAL: Final = 0.020
"""Seconds from one packet of a key to the next: as sound has it mostly."""
ENDS: Final = 3
"""How often the end of a key is sent (RFC 4733 section 2.5.1.4)."""
PATIENCE: Final = 0.250
"""Seconds without a packet after which a key whose end did not come counts as released."""
LATE: Final = 480_000
"""Units by which a packet may be older than the newest key, and still is one of a key that was told."""

_EVENT: Final = Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 10
"""Decibels below the reference level at which who plays the key is to do so; browsers say the same."""
_LONGEST: Final = 0xFFFF
"""Units that one packet can tell of; a key pressed for longer is told in segments (section 2.5.1.3)."""
_NEXT_SEGMENT: Final = range(_LONGEST - 4800, _LONGEST + 4801)
"""By how much the next segment may be later; libwebrtc lets it begin with the packet after."""


def keys(text: str) -> str:
    """The keys in `text`, letters as capitals. Raises UsageError where one of them is none."""
    for given in text:
        if given.upper() not in (*KEYS, PAUSE):
            raise UsageError(f"{given!r} is no key; use digits, *, #, A to D, and a comma for a pause of two seconds")
    return text.upper()


# What goes out


class EventPacket(NamedTuple):
    """One packet of a key."""

    payload: bytes
    timestamp: int
    marker: bool


def moments(seconds: float, gap: float) -> list[float]:
    """When to send the packets of a key that is pressed for so long, in seconds since then.

    The last ENDS are its end, with the next key `gap` seconds after the first of them.
    """
    updates = math.ceil(seconds / INTERVAL - 0.05)  # none within a millisecond of the end
    again = min(INTERVAL, gap / (ENDS - 1))
    return [*(INTERVAL * number for number in range(1, updates)), *(seconds + again * number for number in range(ENDS))]


class Tone:
    """One key, as it is sent; `length` and `timestamp` in units of the clock of its stream."""

    def __init__(self, key: str, length: int, timestamp: int) -> None:
        self._event = KEYS.index(key)
        self._length = length
        self._segment = timestamp
        self._before = 0
        """Units of the segments before."""
        self._first = True

    def packets(self, pressed: int) -> list[EventPacket]:
        """What to send when it has been pressed for so many units: two packets where another segment begins.

        The end of a segment is told once: the next one begins there, so nothing is lost with it.
        """
        pressed = min(pressed, self._length)
        found = []
        while pressed - self._before > _LONGEST:
            found.append(self._packet(_LONGEST, 0))
            self._segment, self._before = (self._segment + _LONGEST) & 0xFFFFFFFF, self._before + _LONGEST
        found.append(self._packet(pressed - self._before, _END if pressed == self._length else 0))
        return found

    def _packet(self, duration: int, end: int) -> EventPacket:
        marker, self._first = self._first, False
        return EventPacket(_EVENT.pack(self._event, end | _VOLUME, duration), self._segment, marker)


# What comes in


class Key(NamedTuple):
    """One key that was pressed, and for how many units of the clock."""

    key: str
    duration: int


class EventReader:
    """Reads keys out of the packets of one stream at a time: each once, when its end is known."""

    def __init__(self) -> None:
        self._ssrc = -1
        self._segment: int | None = None
        """Timestamp of the newest key, or of the newest segment of it."""
        self._pressed: Key | None = None
        """That key, without this segment, while its end is not known."""
        self._duration = 0
        """Of this segment, as far as is known."""
        self._at = 0.0
        """When it grew last."""

    @property
    def due(self) -> float | None:
        """When `release` has to be called, None where no key is pressed."""
        return None if self._pressed is None else self._at + PATIENCE

    def take(self, ssrc: int, timestamp: int, payload: bytes, now: float, *, marker: bool) -> list[Key]:
        """The keys that are released with a packet. What is no event of a key is passed over."""
        if ssrc != self._ssrc:
            released = self.release()
            self._ssrc, self._segment = ssrc, None
        else:
            released = []
        event, flags, duration = _EVENT.unpack_from(payload) if len(payload) >= _EVENT.size else (len(KEYS), 0, 0)
        if event >= len(KEYS):
            return released
        key = KEYS[event]
        if timestamp != self._segment:
            ahead = LATE if self._segment is None else signed_difference(timestamp, self._segment, 32)
            if -LATE < ahead < 0:
                return released
            pressed = self._pressed
            if pressed is not None and pressed.key == key and not marker and ahead in _NEXT_SEGMENT:
                self._pressed = Key(key, pressed.duration + ahead)
            else:
                released += self.release()
                self._pressed = Key(key, 0)
            self._segment, self._duration, self._at = timestamp, 0, now
        if self._pressed is None or self._pressed.key != key:
            return released  # its end once more
        if duration > self._duration:
            self._duration, self._at = duration, now
        return [*released, *self.release()] if flags & _END else released

    def release(self) -> list[Key]:
        """The key that is pressed counts as released; none if there is none."""
        pressed, self._pressed = self._pressed, None
        return [] if pressed is None else [Key(pressed.key, pressed.duration + self._duration)]

    def moment(self, timestamp: int, now: float, clock_rate: int) -> int:
        """When a packet that came now was made, as a timestamp: its own is that of the beginning of its key."""
        if timestamp != self._segment:
            return timestamp
        since = round((now - self._at) * clock_rate) if self._pressed is None else 0
        return (self._segment + self._duration + since) & 0xFFFFFFFF
