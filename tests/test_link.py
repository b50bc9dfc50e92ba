"""Links: ours with ours, ours with stock aiortc in both roles, trickle, later offers, restarts, deadlines, ends."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCSessionDescription

from peer.errors import BadDescription, CallEnded, CallLost, IceFailed, UsageError
from peer.errors import Error as PeerError
from peer.link import Options
from peer.rtc import textchannel
from peer.rtc.awareness import announces_recording
from peer.rtc.ice import schedule
from peer.rtc.ice.bases import HostBase
from peer.rtc.ice.servers import IceSettings
from peer.rtc.stats import bitrate
from signaling.messages import IceCandidate, SessionDescription
from tests.harness.certificates import another_fingerprint
from tests.rtc.wires import PATIENCE, End, connect, end_and_stock, frames, keyframe, negotiate, two_ends

if TYPE_CHECKING:
    from peer.rtc.ice.transport import IceTransport

QUICK = Options(IceSettings(connect_timeout=0.4))
WAKEFUL = IceSettings(disconnected_after=1.3, lost_after=1.7)
"""Above the interval of consent checks: nothing else is heard of a connection without media."""

STATES = ("connected", "disconnected", "reconnected", "failed", "closed_by_remote")


def without_candidates(text: str) -> str:
    return re.sub(r"a=(candidate|end-of-candidates)[^\n]*\n", "", text)


def with_local_names(text: str) -> str:
    """As a browser writes candidates while nobody allowed it the camera."""
    return re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+", r"\1 3e2c5f3a-8975-4052-97fd-8cf301aa1989.local", text)


# Ours with ours


async def test_pictures_sound_and_messages_both_ways() -> None:
    async with two_ends() as (caller, callee):
        for end in (caller, callee):
            end.send_pictures()
            end.send_sound()
        await connect(caller, callee)
        for end, other in ((caller, callee), (callee, caller)):
            assert end.connection.state == "connected"
            first = await keyframe(end.track("video"))
            assert (first.codec.name, first.width, first.height) == ("VP8", 160, 120)
            assert len(await frames(end.track("audio"), 5)) == 5
            await end.connection.write("grüß dich")
            assert await other.watcher.heard("text") == "grüß dich"
            pair = end.connection.pair()
            assert pair is not None and pair.protocol == "udp" and "host" in str(pair)


@pytest.mark.parametrize("calling", [True, False])
async def test_a_silent_end_receives_and_sends_nothing(*, calling: bool) -> None:
    async with two_ends() as (listener, speaker):
        listener.connection.silent = True
        listener.connection.recording = True
        speaker.send_pictures()
        speaker.send_sound()
        caller, callee = (listener, speaker) if calling else (speaker, listener)
        offer = await caller.offer()
        answer = await callee.answer(offer)
        await caller.connection.take(answer)
        said, heard = (offer.sdp, answer.sdp) if calling else (answer.sdp, offer.sdp)
        assert re.findall(r"a=(sendrecv|sendonly|recvonly|inactive)", said) == ["recvonly", "recvonly"]
        assert announces_recording(said) and not announces_recording(heard)
        assert (await keyframe(listener.track("video"))).width == 160
        assert len(await frames(listener.track("audio"), 5)) == 5
        await speaker.watcher.heard("connected")
        assert speaker.connection.tracks == [] and (await listener.connection.stats()).outbound == ()
        await listener.connection.write("I only listen")
        assert await speaker.watcher.heard("text") == "I only listen"


@pytest.mark.parametrize("calling", [True, False])
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_silent_end_gets_the_codec_that_it_prefers(*, codec: str, calling: bool) -> None:
    async with two_ends() as (listener, speaker):
        listener.connection.silent = True
        listener.connection.video_codecs = (codec, "VP9")
        speaker.send_pictures()
        caller, callee = (listener, speaker) if calling else (speaker, listener)
        await caller.connection.take(await callee.answer(await caller.offer()))
        assert (await keyframe(listener.track("video"))).codec.name == codec


async def test_a_silent_end_that_begins_to_show_something_offers_it() -> None:
    async with two_ends() as (listener, speaker):
        listener.connection.silent = True
        await connect(listener, speaker)
        listener.send_pictures()
        listener.connection.provide("video")
        await listener.watcher.heard("negotiation_needed")
        await negotiate(listener, speaker)
        assert (await keyframe(speaker.track("video"))).width == 160


async def test_received_pictures_and_sound_can_be_decoded() -> None:
    async with two_ends() as (caller, callee):
        caller.send_pictures()
        caller.send_sound()
        await connect(caller, callee)
        pictures = callee.track("video").pictures()
        sound = callee.track("audio").sound(16000, 2)
        async with asyncio.timeout(PATIENCE):
            assert (await anext(pictures)).array.shape == (120, 160, 3)
            heard = await anext(sound)
        assert heard.rate == 16000 and heard.array.shape[1] == 2
        pictures.close()
        sound.close()


async def test_statistics_grow_with_what_flows() -> None:
    async with two_ends() as (caller, callee):
        caller.send_pictures()
        await connect(caller, callee)
        await keyframe(callee.track("video"))
        before = await callee.connection.stats()
        await frames(callee.track("video"), 5)
        after, sent = await callee.connection.stats(), await caller.connection.stats()
        received, video = after.received("video"), sent.sent("video")
        assert received is not None and video is not None
        assert received.active and received.codec == "VP8" and received.frame_width == 160
        assert received.frames_received >= 6 and received.packets_lost == 0
        assert video.packets_sent >= received.packets_received > 0
        assert bitrate(before, after)[0] > 0 and bitrate(before, after)[1] == 0


async def test_a_failing_taker_loses_its_frames_and_nothing_else() -> None:
    def broken(frame: object) -> None:
        raise RuntimeError("taker")

    async with two_ends() as (caller, callee):
        caller.send_pictures()
        await connect(caller, callee)
        callee.track("video").subscribe(broken)
        await frames(callee.track("video"), 5)
        assert callee.connection.state == "connected"


async def test_a_failing_message_handler_does_not_end_the_connection() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        told = callee.watcher.text_received
        broken = asyncio.Event()

        def fail(text: str | bytes) -> None:
            broken.set()
            raise RuntimeError("handler")

        callee.connection._text._received = fail
        await caller.connection.write("first")
        async with asyncio.timeout(PATIENCE):
            await broken.wait()
        callee.connection._text._received = told
        await caller.connection.write("second")
        assert await callee.watcher.heard("text") == "second"


async def test_messages_that_are_too_long_are_refused() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        with pytest.raises(UsageError, match="split it"):
            await caller.connection.write("ü" * 33_000)
        with pytest.raises(UsageError, match="Unicode"):
            await caller.connection.write("\ud800")
        await caller.connection.write("x" * 65536)
        assert await callee.watcher.heard("text") == "x" * 65536


async def test_bytes_are_a_binary_message() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        with pytest.raises(UsageError, match="split it"):
            await caller.connection.write(bytes(65537))
        await caller.connection.write(b'{"as": "PeerJS wants it"}')
        assert await callee.watcher.heard("text") == b'{"as": "PeerJS wants it"}'


async def test_many_messages_wait_for_room_and_arrive_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textchannel, "MAX_BUFFERED", 50_000)
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        for number in range(8):
            await caller.connection.write(f"{number:030000}")
        await callee.watcher.heard("text", 8)
        assert [int(text[-5:]) for text in callee.watcher.values("text")] == list(range(8))


async def test_whoever_waits_to_write_learns_of_the_end() -> None:
    async with two_ends() as (caller, _):
        await caller.offer()
        writing = asyncio.ensure_future(caller.connection.write("never"))
        await asyncio.sleep(0)
        await caller.connection.close()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(CallEnded):
                await writing


async def test_writing_without_a_channel_says_so() -> None:
    async with two_ends() as (caller, _):
        with pytest.raises(PeerError, match="no data channel"):
            await caller.connection.write("x")
        await caller.offer()
        with pytest.raises(PeerError, match="did not take the message within"):
            await caller.connection.write("x", timeout=0.01)


# Ours with stock


async def test_a_data_channel_that_was_closed_may_be_followed_by_another() -> None:
    async with end_and_stock() as (end, stock), asyncio.timeout(PATIENCE):
        stock.send("audio")
        stock.open_channel()
        await stock.offer_to(end)
        await end.watcher.heard("connected")
        await end.connection.write("first")
        assert await stock.messages.get() == "first"
        stock.channel.close()
        first = end.connection._text._channel
        while first is not None and first.readyState != "closed":  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        stock.open_channel()
        while end.connection._text._channel is first:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await end.connection.write("second")
        assert await stock.messages.get() == "second"


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_stock_calls_us(codec: str) -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio", "video", codec=codec)
        stock.open_channel()
        end.send_pictures()
        end.send_sound()
        await stock.offer_to(end)
        await end.watcher.heard("connected")
        frame = (await frames(end.track("video"), 3))[0]
        assert frame.codec.name.lower() == codec
        await frames(end.track("audio"), 3)
        assert (await stock.got("video")).width == 160
        assert (await stock.got("audio")).sample_rate == 48000
        await end.connection.write("hello")
        async with asyncio.timeout(PATIENCE):
            assert await stock.messages.get() == "hello"
        stock.channel.send("back")
        assert await end.watcher.heard("text") == "back"


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_we_call_stock(codec: str) -> None:
    async with end_and_stock() as (end, stock):
        end.send_pictures()
        end.send_sound()
        await stock.take_offer(end)
        for transceiver in stock.pc.getTransceivers():
            transceiver.direction = "sendrecv"
            if transceiver.kind == "video":
                known = [c for c in transceiver._codecs if c.mimeType.lower() in (f"video/{codec}", "video/rtx")]
                transceiver._codecs = [c for c in known if c.name.lower() == codec]
        await stock.pc.setLocalDescription(await stock.pc.createAnswer())
        await end.connection.take(SessionDescription("answer", stock.pc.localDescription.sdp))
        await end.watcher.heard("connected")
        assert (await stock.got("video")).width == 160
        assert (await stock.got("audio")).samples > 0
        sent = (await end.connection.stats()).sent("video")
        assert sent is not None and sent.codec.lower() == codec
        assert sent.source_frames > 0 and sent.frames_encoded > 0 and sent.frames_dropped >= 0
        await end.connection.write("hello")
        async with asyncio.timeout(PATIENCE):
            assert await stock.messages.get() == "hello"


async def test_nothing_is_sent_while_nothing_is_shown() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("video")
        await stock.offer_to(end)
        await frames((await _track(end, "video")), 5)
        sent = (await end.connection.stats()).sent("video")
        assert sent is not None and sent.packets_sent == 0
        end.send_pictures()
        assert (await stock.got("video")).width == 160


async def test_mono_and_stereo_may_take_turns() -> None:
    import numpy as np

    from peer.media import SoundSource

    async with end_and_stock() as (end, stock):
        stock.send("audio")
        await stock.offer_to(end)
        for channels in (1, 2, 1):
            source = SoundSource(channels=channels)
            source.push(np.full((9600, channels), 3000, np.int16))
            end.connection.sound.carry(source)
            assert (await stock.got("audio")).sample_rate == 48000
            while not stock.received["audio"].empty():
                stock.received["audio"].get_nowait()
            await source.close()
        assert end.connection.sound.readyState == "live"


async def _track(end: End, kind: str):  # type: ignore[no-untyped-def]
    await end.watcher.heard("connected")
    return end.track(kind)


# Later offers of the other side


async def test_a_second_video_comes_and_goes() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio", "video")
        await stock.offer_to(end)
        await frames(await _track(end, "video"), 2)
        stock.send("video")
        await stock.offer_to(end)
        assert end.watcher.values("track_added") == ["audio", "video", "video"]
        assert len({track.id for track in end.connection.tracks}) == 3
        second = end.connection.tracks[-1]
        await frames(second, 2)
        stock.pc.getTransceivers()[-1].direction = "inactive"
        await stock.offer_to(end)
        assert end.watcher.values("track_removed") == ["video"]
        assert second not in end.connection.tracks and len(end.connection.tracks) == 2
        await frames(end.track("video"), 3)


async def test_hold_and_resume() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio", "video")
        await stock.offer_to(end)
        video = await _track(end, "video")
        await frames(video, 2)
        for transceiver in stock.pc.getTransceivers():
            transceiver.direction = "inactive"
        await stock.offer_to(end)
        assert sorted(end.watcher.values("track_removed")) == ["audio", "video"]
        assert end.connection.tracks == []
        for transceiver in stock.pc.getTransceivers():
            transceiver.direction = "sendrecv"
        await stock.offer_to(end)
        assert end.watcher.values("track_added") == ["audio", "video"] * 2
        assert end.track("video") is video
        await frames(video, 3)
        await frames(end.track("audio"), 3)


async def test_an_rtcp_bye_ends_nothing() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("video")
        await stock.offer_to(end)
        video = await _track(end, "video")
        await frames(video, 2)
        sender = stock.pc.getSenders()[0]
        from aiortc.rtp import RtcpByePacket

        await sender.transport._send_rtp(bytes(RtcpByePacket(sources=[sender._ssrc])))
        await frames(video, 5)


async def test_an_offer_with_a_stopped_and_an_unknown_m_line_is_answered() -> None:
    def odd(text: str) -> str:
        first, second, third = (part for part in re.split(r"(?=m=)", text)[1:])
        head = text[: text.index("m=")]
        second = re.sub(r"m=video \d+", "m=video 0", second)
        return head.replace("BUNDLE 0 1 2", "BUNDLE 0 2") + first + second + third

    async with end_and_stock() as (end, stock):
        stock.send("audio", "video", "video")
        await stock.pc.setLocalDescription(await stock.pc.createOffer())
        answer = await end.answer(SessionDescription("offer", odd(stock.pc.localDescription.sdp)))
        ports = re.findall(r"m=\w+ (\d+)", answer.sdp)
        assert ports[1] == "0" and "0" not in (ports[0], ports[2])
        assert "a=group:BUNDLE 0 2" in answer.sdp
        assert end.watcher.values("track_added") == ["audio", "video"]


async def test_a_recycled_m_line_brings_a_new_track() -> None:
    def stopped(text: str) -> str:
        return re.sub(r"m=video \d+", "m=video 0", text.replace("BUNDLE 0 1", "BUNDLE 0"))

    def recycled(text: str) -> str:
        return text.replace("BUNDLE 0 1", "BUNDLE 0 7").replace("a=mid:1\r", "a=mid:7\r")

    async with end_and_stock() as (end, stock):
        stock.send("audio", "video")
        await stock.pc.setLocalDescription(await stock.pc.createOffer())
        text = stock.pc.localDescription.sdp
        await end.answer(SessionDescription("offer", text))
        before = end.track("video")
        with pytest.raises(BadDescription, match="without having been rejected"):
            await end.answer(SessionDescription("offer", recycled(text)))
        await end.answer(SessionDescription("offer", stopped(text)))
        assert end.watcher.values("track_removed") == ["video"] and before.ended
        answer = await end.answer(SessionDescription("offer", recycled(text)))
        assert "a=mid:7" in answer.sdp and "a=mid:1\r" not in answer.sdp
        assert end.track("video").id == "video-7" and end.track("video") is not before


# Answers


@pytest.mark.parametrize(("gone", "left"), [("audio", "video"), ("video", "audio"), ("application", "audio")])
async def test_an_answer_that_rejects_an_m_line(gone: str, left: str) -> None:
    def reject(text: str) -> str:
        head, *sections = re.split(r"(?=m=)", text)
        mids = [re.search(r"a=mid:(\S+)", section)[1] for section in sections]  # type: ignore[index]
        kept = [mid for mid, section in zip(mids, sections, strict=True) if not section.startswith(f"m={gone}")]
        head = re.sub(r"a=group:BUNDLE.*", f"a=group:BUNDLE {' '.join(kept)}", head)
        return head + "".join(
            f"m={gone} 0 {section.split(' ', 2)[2].splitlines()[0]}\r\na=mid:{mid}\r\na=inactive\r\n"
            if section.startswith(f"m={gone}")
            else section
            for mid, section in zip(mids, sections, strict=True)
        )

    async with end_and_stock() as (end, stock):
        end.send_pictures()
        end.send_sound()
        await stock.take_offer(end)
        for transceiver in stock.pc.getTransceivers():
            transceiver.direction = "sendrecv"
        stock.pc.addTrack(_silence())
        await stock.pc.setLocalDescription(await stock.pc.createAnswer())
        await end.connection.take(SessionDescription("answer", reject(stock.pc.localDescription.sdp)))
        await end.watcher.heard("connected")
        assert gone not in end.watcher.values("track_added")
        await stock.got(left)


def _silence():  # type: ignore[no-untyped-def]
    from aiortc.mediastreams import AudioStreamTrack

    return AudioStreamTrack()


async def test_descriptions_that_cannot_be_used_are_refused() -> None:
    async with two_ends() as (caller, callee):
        with pytest.raises(BadDescription, match="cannot be used"):
            await callee.answer(SessionDescription("offer", "v=0"))
        offer = await caller.offer()
        with pytest.raises(BadDescription):
            await caller.connection.take(SessionDescription("answer", "nonsense"))
        with pytest.raises(BadDescription):  # an offer is no answer: its a=setup says actpass
            await caller.connection.take(SessionDescription("answer", offer.sdp))
        answer = await callee.answer(offer)
        await caller.connection.take(answer)
        with pytest.raises(BadDescription, match="now"):
            await caller.connection.take(answer)


# Both may offer, at any time


async def test_offers_that_cross_before_anything_was_agreed() -> None:
    async with two_ends() as (impolite, polite):
        for end in (impolite, polite):
            end.send_sound()
        theirs, ours = await polite.offer(), await impolite.offer()
        assert polite.connection.crossing and theirs.sdp != ours.sdp
        await impolite.connection.take(await polite.answer(ours))  # and `theirs` is passed over
        assert not polite.connection.crossing
        for end in (impolite, polite):
            await end.watcher.heard("connected")
            await frames(end.track("audio"), 3)
        await impolite.connection.write("one channel")
        assert await polite.watcher.heard("text") == "one channel"
        await polite.connection.write("for both")
        assert await impolite.watcher.heard("text") == "for both"


async def test_an_offer_of_ours_can_be_taken_back() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        caller.connection.restart()
        assert await caller.connection.offer() is not None
        assert await caller.connection.offer() is None, "one is on its way"
        await caller.connection.take_back()
        await caller.connection.take_back()
        await callee.connection.write("as before")
        assert await caller.watcher.heard("text") == "as before"
        assert caller.connection.restarts == 0
        assert await caller.connection.offer() is not None


@pytest.mark.parametrize("restarting", [(True, False), (False, True), (True, True)], ids=["ours", "theirs", "both"])
async def test_another_path_is_found_without_a_pause(restarting: tuple[bool, bool]) -> None:
    async with two_ends() as (impolite, polite):
        for end in (impolite, polite):
            end.send_sound()
        await connect(impolite, polite)
        ends = [end for end, one in zip((impolite, polite), restarting, strict=True) if one]
        before = [str(end.connection.pair()) for end in (impolite, polite)]
        for end in ends:
            end.connection.restart()
            await end.watcher.heard("negotiation_needed")
        offers = {end: await end.offer() for end in ends}
        first = ends[0]
        other = polite if first is impolite else impolite
        await first.connection.take(await other.answer(offers[first]))
        for end, was in zip((impolite, polite), before, strict=True):
            async with asyncio.timeout(PATIENCE):
                while str(end.connection.pair()) == was:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            await frames(end.track("audio"), 5)
            assert end.connection.restarts + other.connection.restarts >= 1
            assert [what for what, _ in end.watcher.told if what in STATES] == ["connected"]


async def test_whoever_was_called_for_nothing_can_begin_to_show_something() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio")
        await stock.offer_to(end)
        await end.watcher.heard("connected")
        assert end.watcher.values("negotiation_needed") == []
        end.send_pictures()
        end.connection.provide("audio")
        end.connection.provide("video")
        await end.watcher.heard("negotiation_needed")
        await stock.answer_to(end)
        assert (await stock.got("video")).width == 160
        assert end.watcher.values("negotiation_needed") == [None]


# Candidates and deadlines


@pytest.mark.parametrize("ours_offers", [True, False])
async def test_names_that_nobody_knows_keep_nothing_from_connecting(ours_offers: bool) -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio")
        await (stock.answer_to if ours_offers else stock.offer_to)(end, with_local_names)
        await end.watcher.heard("connected")
        pair = end.connection.pair()
        assert pair is not None and pair.remote_type == "prflx"


async def test_candidates_may_come_later() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio")
        await stock.pc.setLocalDescription(await stock.pc.createOffer())
        text = stock.pc.localDescription.sdp
        await end.answer(SessionDescription("offer", without_candidates(text)))
        answer = await end.connection.gathered()
        await stock.pc.setRemoteDescription(RTCSessionDescription(without_candidates(answer.sdp), "answer"))
        await end.connection.add_candidate(None)  # too early, as some write it
        for line in re.findall(r"a=(candidate:.*)\r", text):
            await end.connection.add_candidate(IceCandidate(line, "0", 0))
        await end.watcher.heard("connected")


@pytest.mark.parametrize(
    "candidate",
    ["", "candidate:", "x", "candidate:1 1 udp 1 192.0.2.1 99999 typ host", "candidate:1 1 tcp 1 192.0.2.1 9 typ host"],
)
async def test_candidates_that_cannot_be_used_are_passed_over(candidate: str) -> None:
    async with two_ends() as (caller, callee):
        await callee.answer(await caller.offer())
        await callee.connection.add_candidate(IceCandidate(candidate))
        await callee.connection.add_candidate(IceCandidate(candidate, "0", 0))


async def test_candidates_come_after_the_description_and_then_their_end() -> None:
    async with two_ends() as (caller, callee):
        offer = await caller.offer()
        assert caller.watcher.values("candidate") == []
        answer = await callee.answer(offer)
        assert callee.watcher.values("candidate") == []
        for end, said in ((caller, offer), (callee, answer)):
            async with asyncio.timeout(PATIENCE):
                while None not in end.watcher.values("candidate"):
                    await end.watcher.heard("candidate", len(end.watcher.values("candidate")) + 1)
            *found, last = end.watcher.values("candidate")
            fragment = re.search(r"a=ice-ufrag:(\S+)", said.sdp)[1]  # type: ignore[index]
            assert last is None and None not in found
            assert {each.username_fragment for each in found} <= {fragment}
            told = [*re.findall(r"a=(candidate:.*)\r", said.sdp), *(each.candidate for each in found)]
            whole = await end.connection.gathered()
            assert set(told) == set(re.findall(r"a=(candidate:.*)\r", whole.sdp)) != set()
        await caller.connection.take(answer)
        await caller.watcher.heard("connected")


async def test_a_flood_of_candidates_is_bounded() -> None:
    async with two_ends() as (caller, callee):
        await callee.answer(await caller.offer())
        for port in range(1, 400):
            await callee.connection.add_candidate(IceCandidate(f"candidate:1 1 udp 1 127.0.0.1 {port} typ host", "0"))
        assert len(callee.connection._pc.ice.remote_candidates) <= 100


async def test_without_a_path_the_deadline_says_how_far_it_came() -> None:
    async with two_ends(QUICK, QUICK, trickle=False) as (caller, callee):
        await caller.offer()
        offer = await caller.connection.gathered()
        await callee.answer(SessionDescription("offer", without_candidates(offer.sdp)))
        answer = await callee.connection.gathered()
        text = re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:" + "0" * 22, answer.sdp)
        await caller.connection.take(SessionDescription("answer", text))
        for end, tried in ((caller, "without an answer"), (callee, "the other side named no address")):
            error = await end.watcher.heard("failed")
            assert isinstance(error, IceFailed) and error.stage == "ice"
            assert tried in str(error) and "add a TURN server" in str(error)
            assert end.watcher.values("connected") == []


async def test_a_wrong_fingerprint_fails_in_the_handshake() -> None:
    async with two_ends() as (caller, callee):
        offer = await caller.offer()
        answer = await callee.answer(SessionDescription("offer", another_fingerprint(offer.sdp)))
        await caller.connection.take(answer)
        error = await callee.watcher.heard("failed")
        assert isinstance(error, IceFailed) and error.stage == "dtls"
        assert len(callee.watcher.values("failed")) == 1
        assert callee.watcher.values("connected") == []


# The end


async def test_close_is_idempotent_and_may_overlap() -> None:
    async with two_ends() as (caller, callee):
        caller.send_pictures()
        await connect(caller, callee)
        await asyncio.gather(*(caller.connection.close() for _ in range(3)))
        await caller.connection.close()
        assert caller.connection.state == "closed"
        assert caller.watcher.values("closed_by_remote") == []


async def test_the_other_side_notices_a_close() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        await caller.connection.close()
        await callee.watcher.heard("closed_by_remote")
        assert callee.watcher.values("failed") == []


async def test_the_takers_end_with_the_connection() -> None:
    async with two_ends() as (caller, callee):
        caller.send_pictures()
        await connect(caller, callee)
        track = callee.track("video")
        takers = [track.encoded(), track.pictures()]
        await callee.connection.close()
        for taker in takers:
            async with asyncio.timeout(PATIENCE):
                async for _ in taker:
                    pass
        with pytest.raises(StopAsyncIteration):
            await anext(track.encoded())


@pytest.mark.parametrize("stage", ["new", "offered", "negotiated"])
async def test_close_before_it_is_connected(stage: str) -> None:
    async with two_ends() as (caller, callee):
        if stage == "offered":
            await caller.offer()
        elif stage == "negotiated":
            await negotiate(caller, callee)
        await caller.connection.close()
        assert caller.watcher.values("failed") == []


async def test_a_close_that_is_cancelled_goes_on() -> None:
    async with two_ends() as (caller, callee):
        await connect(caller, callee)
        closing = asyncio.ensure_future(caller.connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        await callee.watcher.heard("closed_by_remote")


# A silent other side


class Cut:
    """Drops everything that one end sends, as a network that fails does."""

    def __init__(self, end: End, monkeypatch: pytest.MonkeyPatch) -> None:
        self._dropping = False
        ports = {candidate.port for candidate in end.connection._pc.ice.candidates}
        send = HostBase.send_all  # all that leaves goes through it

        def through(base: HostBase, packets: list[bytes], address: tuple[str, int]) -> None:
            if not (self._dropping and base.candidate.port in ports):
                send(base, packets, address)

        monkeypatch.setattr(HostBase, "send_all", through)

    def drop(self) -> None:
        self._dropping = True

    def mend(self) -> None:
        self._dropping = False


async def test_a_silence_is_told_and_its_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_ends(second=Options(replace(WAKEFUL, lost_after=30))) as (caller, callee):
        caller.send_sound()
        await connect(caller, callee)
        await frames(callee.track("audio"), 3)
        cut = Cut(caller, monkeypatch)
        cut.drop()
        silence = await callee.watcher.heard("disconnected")
        assert silence >= WAKEFUL.disconnected_after
        assert callee.connection.state == "disconnected"
        cut.mend()
        assert await callee.watcher.heard("reconnected") >= WAKEFUL.disconnected_after
        assert callee.connection.state == "connected"
        await frames(callee.track("audio"), 3)
        assert [what for what, _ in callee.watcher.told if what in ("failed", "closed_by_remote")] == []


async def test_a_side_that_stays_silent_is_lost_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_ends(second=Options(WAKEFUL)) as (caller, callee):
        await connect(caller, callee)
        Cut(caller, monkeypatch).drop()
        error = await callee.watcher.heard("failed")
        assert isinstance(error, CallLost) and "nothing was heard" in str(error)
        assert [what for what, _ in callee.watcher.told if what in STATES] == ["connected", "disconnected", "failed"]
        assert caller.connection.state == "connected", "it heard the other side all the time"


async def test_the_checks_alone_keep_a_connection_without_media(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "CONSENT", 0.2)
    options = Options(IceSettings(disconnected_after=2.5, lost_after=5))
    async with two_ends(options, options) as (caller, callee):
        await connect(caller, callee)
        ice = caller.connection._pc.ice
        answered = _answered(ice)
        async with asyncio.timeout(PATIENCE):
            while _answered(ice) < answered + 3:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        pair = caller.connection.pair()
        assert pair is not None and pair.round_trip_time is not None and 0 < pair.round_trip_time < 1
        assert [what for what, _ in caller.watcher.told if what in STATES] == ["connected"]


def _answered(ice: IceTransport) -> int:
    """Checks of ours that the other side answered."""
    return ice.selected_pair.responses_received if ice.selected_pair else 0


async def test_what_was_sent_is_still_known_when_the_other_side_closed() -> None:
    async with end_and_stock() as (end, stock):
        stock.send("audio", "video")
        end.send_pictures()
        end.send_sound()
        await stock.offer_to(end)
        await stock.got("video")
        await stock.got("audio")
        await stock.pc.close()
        await end.watcher.heard("closed_by_remote")
        stats = await end.connection.stats()
    for kind in ("audio", "video"):
        sent = stats.sent(kind)
        assert (
            sent is not None and sent.frames_sent > 0 and sent.packets_sent > 0 and sent.bytes_sent > 0 and sent.codec
        )
