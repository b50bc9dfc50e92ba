"""Calls over a narrow link, in virtual time: our sending side, an encoder that keeps its rate, a receiver's feedback.

A link takes one packet after the other, at a rate that may change, with a queue that drops what does not fit.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from peer.rtc.header import NUMBER_AT, Format
from peer.rtc.outbound import OutboundRtp
from peer.rtc.outgoing import WIRE, Outgoing
from peer.rtc.pacer import AGAIN, PICTURE, SOUND
from peer.rtc.packet import RtpPacket
from peer.rtc.transportwide import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBER_ID, TIME_ID = 5, 3
VIDEO = Format(96, 90000, 97, mid="1", mid_id=1, abs_send_time_id=TIME_ID, transport_wide_id=NUMBER_ID)
AUDIO = Format(111, 48000, mid="0", mid_id=1, transport_wide_id=NUMBER_ID)
FPS = 30
MTU = 1200


def numbered(data: bytes, number: int | None) -> bytes:
    """The packet with that transport-wide number, as a transport sends it."""
    return data if number is None else data[:NUMBER_AT] + number.to_bytes(2, "big") + data[NUMBER_AT + 2 :]


def all_numbered(packets: list[bytes], first: int | None) -> list[bytes]:
    """Those that leave together."""
    return [numbered(data, None if first is None else first + at & 0xFFFF) for at, data in enumerate(packets)]


class World:
    """What happens, in the order of its time."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 100.0
        self.random = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def at(self, time: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(time, self.now), next(self._number), what))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, what = heapq.heappop(self._due)
            what()
        self.now = end


@dataclass
class Link:
    """One way. `rates`: from which second on it takes how many bits per second."""

    world: World
    rates: Sequence[tuple[float, float]]
    delay: float = 0.03
    queue: float = 0.5
    """Seconds of what it takes that may wait."""
    loss: float = 0.0
    jitter: float = 0.0
    dropped: int = 0
    _free: float = 0.0
    _last: float = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.world.now

    def rate(self) -> float:
        elapsed = self.world.now - self.began
        return [rate for since, rate in self.rates if since <= elapsed][-1]

    def carry(self, size: int, come: Callable[[float], None]) -> None:
        """`come` is called when it does, with the seconds that it waited."""
        world = self.world
        now = world.now
        waited = max(self._free - now, 0.0)
        if waited > self.queue or world.random.random() < self.loss:
            self.dropped += 1
            return
        self._free = max(self._free, now) + 8 * size / self.rate()
        at = self._free + self.delay + world.random.random() * self.jitter
        self._last = max(self._last, at)  # a queue does not reorder
        world.at(self._last, lambda: come(waited))


@dataclass
class Sample:
    """Each tenth of a second."""

    time: float
    estimate: float
    target: float
    received: int
    """Bytes since the last one."""
    waited: float
    """Seconds, the longest in it."""
    pacing: int
    """Bytes that wait for the pacer."""


class Call:
    """Sound and pictures over a link, and feedback back."""

    def __init__(
        self,
        world: World,
        link: Link,
        *,
        most: float = 2_500_000,
        uses: float = 1.0,
        feedback: float = 0.05,
        back: Link | None = None,
        sound: bool = True,
        keyframes: bool = True,
        repairs: bool = True,
    ) -> None:
        """`most`: bits per second that pictures take at most; `uses`: part of its rate that the encoder needs."""
        self.world, self.link = world, link
        self.back = back or Link(world, [(0, 1e9)], delay=link.delay)
        self._most, self._uses, self._every, self._keyframes, self._repairs = most, uses, feedback, keyframes, repairs
        self.outgoing = Outgoing(self._leave, self._alarm)
        self.outgoing.extensions(NUMBER_ID, TIME_ID)
        self.kind, self.active = "video", True
        self.stream = OutboundRtp(5, 6, random.Random(1))
        self.stream.configure(VIDEO)
        self._audio = OutboundRtp(7, 8, random.Random(2))
        self._audio.configure(AUDIO)
        self.outgoing.add(self)
        self.bitrate = 800_000.0
        self._made_for = 0.0
        self.arrivals = Arrivals()
        self.received = self._in_sample = 0
        self._waited = 0.0
        self.waits: list[float] = []
        self.sound_waits: list[float] = []
        self.samples: list[Sample] = []
        self.frames = 0
        self._expected: int | None = None
        self._alarm_number = 0
        self.tells = True
        for what in (self._picture, self._tell, self._tick, *([self._sound] if sound else [])):
            world.at(world.now + world.random.random() * 0.02, what)

    # As a sender

    def limit(self, bitrate: int, lasting: int) -> None:
        self.bitrate = bitrate

    def _picture(self) -> None:
        world = self.world
        world.at(world.now + 1 / FPS, self._picture)
        size = self._size()
        count = -(-size // MTU)
        payloads = [bytes(size // count)] * count
        self.frames += 1
        packets = self.stream.frame(payloads, 3000 * self.frames, world.now, taken=world.now)
        self.outgoing.send(packets, PICTURE, world.now)

    def _size(self) -> int:
        """Bytes of the next picture."""
        bitrate = min(self.bitrate, self._most)
        key = self._keyframes and not 0.85 < bitrate / (self._made_for or 1) < 3
        if key:
            self._made_for = bitrate
        return int(bitrate * self._uses / 8 / FPS * (4 if key else self.world.random.uniform(0.7, 1.3)))

    def _sound(self) -> None:
        world = self.world
        world.at(world.now + 0.02, self._sound)
        packets = self._audio.frame([bytes(80)], int(48000 * world.now), world.now, taken=world.now, level=20)
        self.outgoing.send(packets, SOUND, world.now)

    def _tick(self) -> None:
        world = self.world
        world.at(world.now + 0.1, self._tick)
        self.outgoing.tick(world.now)
        congestion = self.outgoing.congestion
        self.samples.append(
            Sample(
                world.now - self.link.began,
                congestion.estimate,
                congestion.target,
                self._in_sample,
                self._waited,
                self.outgoing.waiting,
            )
        )
        self._in_sample, self._waited = 0, 0.0

    # The transport

    def _alarm(self, at: float) -> None:
        self._alarm_number += 1
        self.world.at(at, lambda: self.outgoing.wake(self.world.now))

    def _leave(self, packets: list[bytes], number: int | None) -> None:
        for made in all_numbered(packets, number):
            self.link.carry(len(made) + WIRE, partial(self._come, made))

    # As a receiver

    def _come(self, data: bytes, waited: float) -> None:
        packet = RtpPacket(data)
        number = packet.extension(NUMBER_ID)
        assert number is not None
        self.arrivals.add(int.from_bytes(number, "big"), self.world.now)
        self.received += len(data) + WIRE
        self._in_sample += len(data) + WIRE
        self._waited = max(self._waited, waited)
        self.waits.append(waited)
        if packet.ssrc == 7:
            self.sound_waits.append(waited)
        if packet.ssrc == 5 and self._repairs:
            self._miss(packet.sequence_number)

    def _miss(self, number: int) -> None:
        expected, self._expected = self._expected, (number + 1) & 0xFFFF
        if expected is not None and 0 < (number - expected) & 0xFFFF < 1000:
            lost = [(expected + each) & 0xFFFF for each in range((number - expected) & 0xFFFF)]
            self.back.carry(60, lambda _: self._again(lost))

    def _again(self, lost: list[int]) -> None:
        self.outgoing.send(self.stream.again(lost, self.world.now), AGAIN, self.world.now)

    def _tell(self) -> None:
        world = self.world
        world.at(world.now + self._every, self._tell)
        for report in self.arrivals.take(1, 5, world.now):
            if self.tells:
                self.back.carry(len(report), lambda _, report=report: self.outgoing.feedback(report, world.now))  # type: ignore[misc]

    # What came of it

    def between(self, start: float, stop: float) -> list[Sample]:
        return [each for each in self.samples if start <= each.time < stop]

    def rate(self, start: float, stop: float) -> float:
        """Bits per second that came."""
        found = self.between(start, stop)
        return 80 * sum(each.received for each in found) / len(found)

    def reaches(self, bitrate: float, since: float) -> float:
        """Seconds from `since` until so much came within a second."""
        for sample in self.samples:
            if sample.time >= since + 0.5 and self.rate(sample.time - 0.5, sample.time + 0.5) >= bitrate:
                return sample.time - since
        return float("inf")

    def waits_between(self, start: float, stop: float, share: float = 0.95) -> float:
        found = sorted(each.waited for each in self.between(start, stop))
        return found[int(share * len(found))]


class FileCall(Call):
    """Sends what a file has, with a keyframe each second, whatever the path takes."""

    def __init__(self, world: World, link: Link, *, bitrate: float, keyframes: float) -> None:
        """`keyframes`: their part of the bits."""
        super().__init__(world, link)
        self._second, self._part = bitrate / 8, keyframes

    def _size(self) -> int:
        if self.frames % FPS == 0:
            return int(self._second * self._part)
        return int(self._second * (1 - self._part) / (FPS - 1) * self.world.random.uniform(0.7, 1.3))
