"""What leaves is numbered and timed as it leaves; what the path takes is shared out."""

from __future__ import annotations

import random

import pytest

from peer.rtc.header import Format
from peer.rtc.outbound import OutboundRtp
from peer.rtc.outgoing import AGAIN_SHARE, LEAST, Outgoing
from peer.rtc.pacer import PICTURE, SOUND, TICK
from peer.rtc.packet import RtpPacket
from peer.rtc.transportwide import Arrivals
from tests.rtc.bottleneck import all_numbered

NUMBER, TIME = 5, 3


class Sender:
    def __init__(self, kind: str = "video", *, ssrc: int = 5, number: int = NUMBER) -> None:
        self.kind, self.active = kind, True
        self.stream = OutboundRtp(ssrc, ssrc + 1, random.Random(1))
        self.stream.configure(Format(96, 90000, 97, abs_send_time_id=TIME, transport_wide_id=number))
        self.limits: list[int] = []
        self.lasting: list[int] = []

    def limit(self, bitrate: int, lasting: int) -> None:
        self.limits.append(bitrate)
        self.lasting.append(lasting)

    def frame(self, count: int, now: float) -> list[bytes]:
        return self.stream.frame([bytes(1000)] * count, 0, now, taken=now)


class Line:
    """A transport, and the other side."""

    def __init__(self, *senders: Sender) -> None:
        self.sent: list[RtpPacket] = []
        self.alarms: list[float] = []
        self.outgoing = Outgoing(self._leave, self.alarms.append)
        self.outgoing.extensions(NUMBER, TIME)
        self.arrivals = Arrivals()
        self.now = 10.0
        for each in senders:
            self.outgoing.add(each)

    def _leave(self, packets: list[bytes], number: int | None) -> None:
        self.sent += [RtpPacket(data) for data in all_numbered(packets, number)]
        for index in range(len(packets) if number is not None else 0):
            assert number is not None
            self.arrivals.add((number + index) & 0xFFFF, self.now + 500)

    def send(self, sender: Sender, count: int) -> None:
        urgency = SOUND if sender.kind == "audio" else PICTURE
        self.outgoing.send(sender.frame(count, self.now), urgency, self.now)

    def tell(self) -> None:
        for report in self.arrivals.take(1, 2, self.now):
            self.outgoing.feedback(report, self.now)

    def wait(self, seconds: float) -> None:
        """What is asked for in that time is done."""
        until = self.now + seconds
        while self.alarms and self.alarms[-1] <= until:
            self.now = self.alarms.pop()
            self.outgoing.wake(self.now)
        self.now = until

    def numbers(self) -> list[int]:
        return [int.from_bytes(packet.extension(NUMBER) or b"", "big") for packet in self.sent]


def test_packets_of_all_streams_are_numbered_in_the_order_in_which_they_leave() -> None:
    pictures, sound = Sender(), Sender("audio", ssrc=7)
    line = Line(pictures, sound)
    line.send(pictures, 2)
    line.send(sound, 1)
    line.send(pictures, 40)
    assert len(line.sent) < 20
    line.send(sound, 1)
    assert line.sent[-1].ssrc == 7, "past the pictures that wait"
    line.wait(2)
    assert len(line.sent) == 44
    assert line.numbers() == list(range(44))


def test_what_waited_says_when_it_left() -> None:
    sender = Sender()
    line = Line(sender)
    line.send(sender, 40)
    first, began = len(line.sent), line.now
    line.wait(TICK)
    late = line.sent[first]
    assert int.from_bytes(late.extension(TIME) or b"", "big") == int((began + TICK) * 2**18) & 0xFFFFFF


def test_a_timer_runs_only_while_something_waits() -> None:
    sender = Sender()
    line = Line(sender)
    line.send(sender, 2)
    assert line.alarms == []
    line.now += 1
    line.send(sender, 30)
    assert len(line.alarms) == 1
    line.wait(2)
    assert line.alarms == []


def test_without_the_extension_nothing_is_numbered() -> None:
    sender = Sender(number=0)
    line = Line(sender)
    line.send(sender, 3)
    assert [packet.extension(NUMBER) for packet in line.sent] == [None] * 3
    assert len(line.outgoing.congestion.sent) == 0


def test_nothing_is_said_before_anything_is_known() -> None:
    sender = Sender()
    line = Line(sender)
    line.send(sender, 3)
    line.outgoing.tick(line.now)
    line.outgoing.told_loss(0.0, line.now)
    assert (sender.limits, line.outgoing.estimate, sender.stream.again_limit) == ([], None, None)
    line.outgoing.told_loss(0.5, line.now)
    assert line.outgoing.estimate == 600_000 and len(sender.limits) == 1


def test_who_is_told_nothing_holds_nothing_up() -> None:
    sender = Sender()
    line = Line(sender)
    line.send(sender, 40)
    assert len(line.sent) < 40, "at first it is not known yet"
    line.wait(1)
    line.outgoing.tick(line.now)
    line.send(sender, 40)
    assert len(line.sent) == 80


def test_pictures_get_what_the_rest_leaves() -> None:
    pictures, sound = Sender(), Sender("audio", ssrc=7)
    line = Line(pictures, sound)
    for _ in range(100):  # 160 kbit/s of sound, 8 of pictures
        line.send(sound, 1)
        if line.now % 1 < 0.05:
            line.send(pictures, 1)
        line.now += 0.05
        line.outgoing.remb(500_000, line.now)
    assert line.outgoing.estimate == 500_000
    assert pictures.limits[-1] == pytest.approx(500_000 - 170_000, rel=0.05)
    assert sound.limits == []
    assert pictures.stream.again_limit == AGAIN_SHARE * 500_000 / 8
    line.outgoing.remb(120_000, line.now)
    assert pictures.limits[-1] == LEAST * 120_000


def test_several_pictures_share_and_who_rests_gets_nothing() -> None:
    one, two, three = Sender(), Sender(ssrc=7), Sender(ssrc=9)
    three.active = False
    line = Line(one, two, three)
    line.outgoing.remb(1_000_000, line.now)
    assert (one.limits, two.limits, three.limits) == ([500_000], [500_000], [])
    line.outgoing.remove(two)
    line.outgoing.remb(1_001_000, line.now)
    assert one.limits == [500_000, 1_001_000]
    line.outgoing.remb(1_002_000, line.now)
    assert len(one.limits) == 2, "it is not told of trifles"


def test_an_encoder_that_is_ahead_of_the_pacer_is_told() -> None:
    sender = Sender()
    line = Line(sender)
    line.outgoing.remb(300_000, line.now)
    line.send(sender, 60)
    line.outgoing.remb(300_000, line.now)
    assert sender.limits == [300_000, 150_000]
    assert sender.lasting == [300_000, 300_000], "the path is no narrower for it"


def test_a_probe_is_made_of_what_was_sent() -> None:
    sender = Sender()
    line = Line(sender)
    for _ in range(100):
        line.send(sender, 3)
        line.wait(0.03)
        line.tell()
        if sender.stream.counts.probes:
            break
    line.wait(0.1)
    probes = [packet for packet in line.sent if packet.ssrc == 6]
    assert len(probes) == sender.stream.counts.probes >= 5
    assert {packet.payload_type for packet in probes} == {97}
    line.tell()
    assert line.outgoing.congestion.estimate > 1_000_000


def test_the_path_went_away() -> None:
    sender = Sender()
    line = Line(sender)
    line.send(sender, 60)
    before = len(line.sent)
    line.outgoing.clear()
    line.wait(1)
    assert len(line.sent) == before and line.alarms == []


def test_feedback_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        Line().outgoing.feedback(b"", 1.0)
