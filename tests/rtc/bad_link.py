"""Streams for the jitter buffer: packets made by hand, and a simulated call over a bad link in virtual time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peer.rtc.frames import Codec
from peer.rtc.jitter import Feedback, JitterBuffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.jitter import AssembledFrame

VP8 = Codec("VP8", 90000)
OPUS = Codec("opus", 48000, 2)
KEYFRAME = b"\x10\x00\x00\x9d\x01\x2a" + (640).to_bytes(2, "little") + (360).to_bytes(2, "little")
DELTA = b"\x11\x00\x00"


@dataclass(frozen=True)
class Packet:
    number: int
    timestamp: int
    payload: bytes
    marker: bool = False


def vp8_frame(number: int, timestamp: int, packets: int = 1, *, keyframe: bool = False) -> list[Packet]:
    """The packets of one frame; their bodies say which frame and packet they are."""
    result = []
    for index in range(packets):
        head = b"\x10" + (KEYFRAME if keyframe else DELTA) if index == 0 else b"\x00"
        body = b"%d/%d;" % (timestamp, index)
        sequence = (number + index) & 0xFFFF
        result.append(Packet(sequence, timestamp & 0xFFFFFFFF, head + body, index == packets - 1))
    return result


QUIET = Feedback([], False)


def video(*, hand_out_broken: bool = False) -> JitterBuffer:
    buffer = JitterBuffer(VP8, hand_out_broken=hand_out_broken)
    buffer.set_rtt(0.05)
    return buffer


def put(buffer: JitterBuffer, packet: Packet, now: float) -> list[int]:
    """Add one packet; the timestamps of the frames that come out."""
    buffer.add(packet.number, packet.timestamp, packet.payload, now, marker=packet.marker)
    return [frame.timestamp for frame in buffer.frames(now)]


def put_all(buffer: JitterBuffer, packets: list[Packet], now: float) -> list[int]:
    return [timestamp for packet in packets for timestamp in put(buffer, packet, now)]


def started(*, hand_out_broken: bool = False) -> JitterBuffer:
    """A buffer that has had the keyframe 0 (timestamp 0) and asks for nothing."""
    buffer = video(hand_out_broken=hand_out_broken)
    assert put_all(buffer, vp8_frame(0, 0, keyframe=True), 0.0) == [0]
    assert buffer.feedback(0.0) == QUIET
    assert buffer.next_wakeup(0.0) is None
    return buffer


@dataclass
class Link:
    """What happens to packets on their way; `broken` are stretches of seconds in which nothing passes."""

    rtt: float = 0.05
    loss: float = 0.0
    jitter: float = 0.0
    duplicates: float = 0.0
    broken: tuple[tuple[float, float], ...] = ()
    feedback_loss: float = 0.0
    seed: int = 1


@dataclass
class Handed:
    frame: AssembledFrame
    sent: float
    at: float

    @property
    def latency(self) -> float:
        return self.at - self.sent


@dataclass
class Call:
    """Runs a stream through a link into a jitter buffer and keeps what comes out."""

    link: Link
    buffer: JitterBuffer
    frame_interval: float = 1 / 30
    packets_per_frame: int = 4
    seconds: float = 10.0
    answers_nack: bool = True
    first_number: int = 65000
    handed: list[Handed] = field(default_factory=list)
    nacks: list[tuple[float, int]] = field(default_factory=list)
    plis: list[float] = field(default_factory=list)
    sent_frames: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.link.seed)
        self._events: list[tuple[float, int, Callable[..., None], Any]] = []
        self._order = 0
        self._history: dict[int, Packet] = {}
        self._sent_at: dict[int, float] = {}
        self._number = self.first_number
        self._keyframe_wanted = True
        self._wakeup: float | None = None

    def run(self) -> Call:
        self._at(0.0, self._send_frame, 0)
        while self._events:
            now, _, action, argument = heapq.heappop(self._events)
            if now > self.seconds + 2:
                break
            action(now, argument)
        return self

    def _at(self, when: float, action: Callable[..., None], argument: Any) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, action, argument))

    def _send_frame(self, now: float, index: int) -> None:
        if now >= self.seconds:
            return
        self.sent_frames += 1
        if self.buffer.video:
            timestamp = index * 3000
            packets = vp8_frame(self._number, timestamp, self.packets_per_frame, keyframe=self._keyframe_wanted)
            self._keyframe_wanted = False
        else:
            timestamp = index * 960
            packets = [Packet(self._number & 0xFFFF, timestamp, b"sound%d" % index)]
        self._sent_at[timestamp] = now
        self._number += len(packets)
        for position, packet in enumerate(packets):
            self._history[packet.number] = packet
            self._pass(now + position * 0.0005, packet)
        self._at((index + 1) * self.frame_interval, self._send_frame, index + 1)

    def _pass(self, now: float, packet: Packet) -> None:
        if any(start <= now < stop for start, stop in self.link.broken) or self._random.random() < self.link.loss:
            return
        for _ in range(2 if self._random.random() < self.link.duplicates else 1):
            delay = self.link.rtt / 2 + self._random.uniform(0, self.link.jitter)
            self._at(now + delay, self._arrive, packet)

    def _arrive(self, now: float, packet: Packet) -> None:
        self.buffer.add(packet.number, packet.timestamp, packet.payload, now, marker=packet.marker)
        self._drain(now)

    def _wake(self, now: float, _: None) -> None:
        if self._wakeup == now:
            self._wakeup = None
            self._drain(now)

    def _drain(self, now: float) -> None:
        for frame in self.buffer.frames(now):
            self.handed.append(Handed(frame, self._sent_at[frame.timestamp], now))
        feedback = self.buffer.feedback(now)
        broken = any(start <= now < stop for start, stop in self.link.broken)
        for number in feedback.nack:
            self.nacks.append((now, number))
            if self.answers_nack and not broken and self._random.random() >= self.link.feedback_loss:
                self._at(now + self.link.rtt / 2, self._answer, number)
        if feedback.pli:
            self.plis.append(now)
            if not broken and self._random.random() >= self.link.feedback_loss:
                self._at(now + self.link.rtt / 2, self._want_keyframe, None)
        wakeup = self.buffer.next_wakeup(now)
        if wakeup is not None and wakeup <= now:
            wakeup = now + 0.001
        if wakeup is not None and wakeup != self._wakeup:
            self._at(wakeup, self._wake, None)
        self._wakeup = wakeup

    def _answer(self, now: float, number: int) -> None:
        self._pass(now, self._history[number])

    def _want_keyframe(self, now: float, _: None) -> None:
        self._keyframe_wanted = True

    def longest_gap(self) -> float:
        """Seconds between two frames handed out, at most."""
        times = [handed.at for handed in self.handed]
        return max((later - earlier for earlier, later in zip(times, times[1:], strict=False)), default=0.0)

    def latency(self, start: float, stop: float) -> float:
        """The highest latency of frames sent in that stretch, in seconds."""
        return max(handed.latency for handed in self.handed if start <= handed.sent < stop)
