"""Keys are pressed in their order and time, in the place of sound; W3C's `RTCDTMFSender`, and what calls do with it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from aiortc.exceptions import InvalidStateError
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from peer.errors import Error, UsageError
from peer.rtc.dtmf import KEYS
from peer.rtc.dtmfsender import AGREEMENT, DtmfSender
from peer.rtc.header import Format
from peer.rtc.sending import MediaSender, SendParameters
from tests.rtc.test_sending import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.rtc.packet import RtpPacket

EVENT = 110
OPUS = SendParameters(
    RTCRtpCodecParameters("audio/opus", 48000, 2, 111), Format(111, 48000, event_payload_type=EVENT), "name"
)
BARE = SendParameters(RTCRtpCodecParameters("audio/opus", 48000, 2, 111), Format(111, 48000), "name")


class Sending:
    """A sender of sound over a line that keeps what is sent, and when."""

    def __init__(self) -> None:
        self.line = Line()
        self.media = MediaSender("audio", self.line, 5, 6)
        self.dtmf = DtmfSender(self.media)
        self.told: list[tuple[str, float]] = []
        self._began = asyncio.get_running_loop().time()
        self.dtmf.on("tonechange", lambda tone: self.told.append((tone, self.now)))

    @property
    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._began, 3)

    def agree(self, parameters: SendParameters = OPUS, *, sending: bool = True) -> None:
        self.media.enabled = sending
        self.media.configure(parameters)
        self.dtmf.agreed(sending=sending)

    @property
    def keys(self) -> str:
        """What was sent, by the timestamps."""
        events = [each for each in self.line.rtp if each.payload_type == EVENT]
        return "".join(KEYS[next(its).payload[0]] for _, its in itertools.groupby(events, lambda each: each.timestamp))


@pytest.fixture
async def sending() -> AsyncIterator[Sending]:
    made = Sending()
    yield made
    await made.dtmf.stop()
    await made.media.stop()


def ends(packet: RtpPacket) -> bool:
    return packet.payload_type == EVENT and packet.payload[1] > 0x7F


@pytest.mark.virtual_time
async def test_keys_and_pauses_take_their_time(sending: Sending) -> None:
    sending.agree()
    sending.dtmf.insertDTMF("1a,#", 100, 70)
    assert sending.dtmf.toneBuffer == "1A,#"
    await asyncio.sleep(0)
    assert sending.dtmf.toneBuffer == "A,#"
    await asyncio.sleep(4)
    assert sending.told == [("1", 0.0), ("A", 0.17), (",", 0.34), ("#", 2.34), ("", 2.51)]
    assert sending.keys == "1A#" and sending.dtmf.toneBuffer == ""


@pytest.mark.virtual_time
async def test_a_key_without_any_sound(sending: Sending) -> None:
    sending.agree()
    await sending.dtmf.press("5", 0.1, 0.07)
    assert [each.marker for each in sending.line.rtp] == [1, *(0,) * 6]
    assert [ends(each) for each in sending.line.rtp] == [*(False,) * 4, *(True,) * 3]
    numbers = [each.sequence_number for each in sending.line.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 7))
    assert {(each.payload_type, each.ssrc) for each in sending.line.rtp} == {(EVENT, 5)}
    assert sending.now == 0.17


@pytest.mark.virtual_time
async def test_times_are_brought_within_bounds(sending: Sending) -> None:
    sending.agree()
    sending.dtmf.insertDTMF("1", 1, 1)
    await asyncio.sleep(1)
    sending.dtmf.insertDTMF("1", 99999, 99999)
    await asyncio.sleep(20)
    assert sending.told == [("1", 0.0), ("", 0.07), ("1", 1.0), ("", 13.0)]


@pytest.mark.virtual_time
async def test_other_keys_take_the_place_of_those_that_wait(sending: Sending) -> None:
    sending.agree()
    sending.dtmf.insertDTMF("123")
    await asyncio.sleep(0.05)
    sending.dtmf.insertDTMF("9")
    await asyncio.sleep(1)
    assert sending.keys == "19"
    sending.dtmf.insertDTMF("123")
    await asyncio.sleep(0.05)
    sending.dtmf.insertDTMF("")
    await asyncio.sleep(1)
    assert sending.keys == "191" and sending.told[-1][0] == ""


@pytest.mark.virtual_time
async def test_who_hears_the_end_may_press_more(sending: Sending) -> None:
    sending.agree()
    more = iter(["2", "3"])

    def go_on(tone: str) -> None:
        if not tone and (key := next(more, "")):
            sending.dtmf.insertDTMF(key)

    sending.dtmf.on("tonechange", go_on)
    sending.dtmf.insertDTMF("1")
    await asyncio.sleep(2)
    assert sending.keys == "123"


async def test_keys_cannot_be_sent_before_it_is_agreed_or_to_who_takes_none(sending: Sending) -> None:
    for agree in (lambda: None, lambda: sending.agree(BARE), lambda: sending.agree(sending=False)):
        agree()
        assert not sending.dtmf.canInsertDTMF
        with pytest.raises(InvalidStateError, match="canInsertDTMF"):
            sending.dtmf.insertDTMF("1")
    sending.agree()
    assert sending.dtmf.canInsertDTMF
    with pytest.raises(ValueError, match="'x' is no key"):
        sending.dtmf.insertDTMF("1x")
    await sending.dtmf.stop()
    assert not sending.dtmf.canInsertDTMF


async def test_what_cannot_be_pressed_says_why(sending: Sending) -> None:
    for text, duration, gap in (("1+", 0.1, 0.07), ("1", 0.03, 0.07), ("1", 7, 0.07), ("1", 0.1, 0.0)):
        with pytest.raises(UsageError, match=r"use (digits|0\.0[34] to 6 s)"):
            await sending.dtmf.press(text, duration, gap)
    sending.agree(BARE)
    with pytest.raises(Error, match="takes no keys"):
        await sending.dtmf.press("1", 0.1, 0.07)
    sending.agree()
    await sending.dtmf.press("", 0.1, 0.07)
    assert sending.line.rtp == []


@pytest.mark.virtual_time
async def test_it_waits_until_sound_is_agreed(sending: Sending) -> None:
    waiting = asyncio.ensure_future(sending.dtmf.press("1", 0.1, 0.07))
    await asyncio.sleep(AGREEMENT / 2)
    sending.agree()
    await waiting
    assert sending.keys == "1"
    sending.agree(sending=False)
    with pytest.raises(Error, match="no sound is sent"):
        await sending.dtmf.press("1", 0.1, 0.07)


@pytest.mark.virtual_time
async def test_those_who_press_at_once_take_turns(sending: Sending) -> None:
    sending.agree()
    await asyncio.gather(*(sending.dtmf.press(text, 0.1, 0.07) for text in ("123", "456", "78")))
    assert sending.keys == "12345678"


@pytest.mark.virtual_time
async def test_cancelled_it_stops_after_the_present_key(sending: Sending) -> None:
    sending.agree()
    pressing = asyncio.ensure_future(sending.dtmf.press("123", 0.1, 0.07))
    await asyncio.sleep(0.2)
    pressing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pressing
    await asyncio.sleep(1)
    assert sending.keys == "12"
    assert [ends(each) for each in sending.line.rtp[-3:]] == [True] * 3
    await sending.dtmf.press("4", 0.1, 0.07)
    assert sending.keys == "124"


@pytest.mark.virtual_time
@pytest.mark.parametrize("closes", [True, False], ids=["it is closed", "held"])
async def test_keys_that_cannot_be_sent_any_more_are_an_error(sending: Sending, closes: bool) -> None:
    sending.agree()
    pressing = asyncio.ensure_future(sending.dtmf.press("123", 0.1, 0.07))
    await asyncio.sleep(0.05)
    if closes:
        await sending.dtmf.stop()
    else:
        sending.agree(sending=False)
    with pytest.raises(Error, match="not every key"):
        await pressing
    assert len(sending.line.rtp) == 2 and not sending.media.event_on


@pytest.mark.virtual_time
async def test_a_key_that_ends_the_call_is_no_error(sending: Sending) -> None:
    sending.agree()
    pressing = asyncio.ensure_future(sending.dtmf.press("12", 0.1, 0.07))
    await asyncio.sleep(0.28)
    await sending.dtmf.stop()
    await pressing
    assert sending.keys == "12"


async def test_while_a_key_is_pressed_no_sound_leaves(sending: Sending) -> None:
    """And after it the sound is where it would have been."""
    line = sending.line
    sending.media.replace_track(AudioStreamTrack())
    sending.agree()
    await line.until(lambda: len(line.rtp) >= 3)
    await sending.dtmf.press("12", 0.1, 0.07)
    before = len(line.rtp)
    await line.until(lambda: len(line.rtp) > before + 2)
    numbers = [each.sequence_number for each in line.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first = [
        next(n for n, each in enumerate(line.rtp) if each.payload[:1] == bytes([key]) and each.payload_type == EVENT)
        for key in (1, 2)
    ]
    for start in first:
        end = next(n for n, each in enumerate(line.rtp) if n >= start and ends(each))
        assert {each.payload_type for each in line.rtp[start : end + 1]} == {EVENT}
    sound = [each for each in line.rtp if each.payload_type == 111]
    steps = [(after.timestamp - one.timestamp) & 0xFFFFFFFF for one, after in itertools.pairwise(sound)]
    assert all(step % 960 == 0 for step in steps), "on its own timeline"
    assert sum(step > 4 * 960 for step in steps) == 2
    event = line.rtp[first[0]]
    last = line.rtp[first[0] - 1]
    assert last.payload_type == 111 and 0 <= (event.timestamp - last.timestamp) & 0xFFFFFFFF < 4800


async def test_a_key_after_another_codec_was_agreed_is_on_its_clock(sending: Sending) -> None:
    """Though no sound was sent since."""
    sending.agree()
    await sending.dtmf.press("1", 0.04, 0.03)
    pcmu = SendParameters(RTCRtpCodecParameters("audio/PCMU", 8000, 1, 0), Format(0, 8000, event_payload_type=126), "n")
    sending.agree(pcmu)
    await sending.dtmf.press("2", 0.04, 0.03)
    last = sending.line.rtp[-1]
    assert (last.payload_type, int.from_bytes(last.payload[2:], "big")) == (126, 320)


async def test_stopping_ends_its_task(sending: Sending) -> None:
    sending.agree()
    sending.dtmf.insertDTMF("1,2")
    await asyncio.sleep(0)
    await sending.dtmf.stop()
    assert sending.dtmf.toneBuffer == "" and len(asyncio.all_tasks()) == 1
    with pytest.raises(InvalidStateError):
        sending.dtmf.insertDTMF("3")
