"""Calls between two rooms: how they come about, what goes through them, how they end, and who is told what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from peer import events as happened
from peer.channel import MemoryHub
from peer.errors import (
    CallEnded,
    CallError,
    CallLost,
    DeviceError,
    IceFailed,
    NoAnswer,
    NotHere,
    Rejected,
    UsageError,
)
from peer.media import PictureSource
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    IceCandidate,
    MessageTo,
    SessionDescription,
)
from tests.rooms import PATIENCE, SMALL, connect, rooms, soon, until

if TYPE_CHECKING:
    from pathlib import Path

    from peer.call import Call
    from peer.channel import SignalingChannel
    from peer.rtc.receiver import RemoteTrack


class Byes:
    """A member who speaks the protocol by hand."""

    def __init__(self, channel: SignalingChannel) -> None:
        self.channel = channel

    @classmethod
    async def joined(cls, hub: MemoryHub, name: str) -> Byes:
        return cls(await hub.connect("lab", name))

    async def next(self, kind: type) -> Any:
        async with asyncio.timeout(PATIENCE):
            while not isinstance(message := await self.channel.receive(), kind):
                pass
        return message


async def test_a_call_from_ring_to_hang_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        happenings = alice.events()
        calling, answered = await connect(alice, bob, video=SMALL, audio="test")
        assert (calling.name, answered.name) == ("bob", "alice")
        assert calling.open and answered.open and not calling.over
        assert alice.calls == [calling] and bob.calls == [answered]
        async with asyncio.timeout(PATIENCE):
            pictures, sound = answered.pictures(), answered.sound(16000)
            picture, heard = await anext(pictures), await anext(sound)
        pictures.close()
        sound.close()
        assert picture.array.shape == (120, 160, 3) and picture.array.dtype == np.uint8
        assert heard.rate == 16000 and heard.array.dtype == np.int16
        await calling.write("hello")
        assert await soon(anext(answered.messages())) == "hello"
        stats = await answered.stats()
        assert stats.received("video") is not None and stats.pair is not None
        await calling.hang_up(text="bye bye")
        ended = await soon(answered.ended())
        assert (ended.by, ended.reason, ended.text) == ("alice", "hung up", "bye bye")
        assert 0 < ended.seconds < PATIENCE
        mine = await calling.ended()
        assert (mine.by, mine.reason) == ("alice", "hung up")
        assert (await until(happenings, happened.CallStarted)).outgoing
        assert (await until(happenings, happened.CallFinished)).ended == mine
        assert not calling.open and calling.over and alice.calls == []


async def test_the_callee_may_hang_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        await answered.hang_up()
        ended = await soon(calling.ended())
        assert (ended.by, ended.reason, ended.text) == ("bob", "hung up", "")


async def test_both_may_hang_up_at_once_and_more_than_once() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calls = await connect(alice, bob)
        await soon(asyncio.gather(*(call.hang_up() for call in calls * 2)))
        for call in calls:
            assert (await call.ended()).reason == "hung up"
            await call.hang_up()


async def test_leaving_the_with_hangs_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()

        async def answer() -> Call:
            return await (await anext(rings)).accept()

        answering = asyncio.ensure_future(answer())
        async with alice.call("bob") as call:
            answered = await soon(answering)
            assert call.open
        assert (await soon(answered.ended())).reason == "hung up"


async def test_an_exception_in_the_with_is_told_to_the_other_side() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        with pytest.raises(ZeroDivisionError):
            async with calling:
                1 / 0  # noqa: B018
        ended = await soon(answered.ended())
        assert (ended.by, ended.reason) == ("alice", "error")
        assert ended.text == "ZeroDivisionError: division by zero"


async def test_what_happens_is_told_in_order() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        told = calling.events()
        await answered.hang_up()
        async with asyncio.timeout(PATIENCE):
            names = [type(event).__name__ async for event in told]
        assert names[0] in ("TrackAdded", "Connected") and names[-1] == "Ended"
        assert names.count("TrackAdded") == 2 and names.count("Connected") == 1


# Calls that do not come about


async def test_nobody_there() -> None:
    async with rooms("alice") as (alice,):
        with pytest.raises(NotHere, match="bob is not in room lab"):
            await alice.call("bob")


@pytest.mark.parametrize("reason", ["declined", "busy"])
async def test_a_call_is_rejected_with_a_reason(reason: str) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        assert ring.caller == "alice" and not ring.over
        await ring.reject(reason, "in a meeting")
        assert ring.over
        await ring.reject("busy")
        with pytest.raises(Rejected, match="in a meeting") as caught:
            await soon(dialling)
        assert (caught.value.reason, caught.value.text) == (reason, "in a meeting")
        with pytest.raises(CallEnded):
            await ring.accept()


async def test_what_the_other_side_writes_is_one_legible_line() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        await (await soon(anext(rings))).reject("busy", "\x1b]0;mine\x07later\n12:00:00 error")
        with pytest.raises(Rejected) as caught:
            await soon(dialling)
        assert caught.value.text == "]0;mine later 12:00:00 error" and caught.value.text in str(caught.value)


async def test_a_reason_to_reject_that_the_protocol_does_not_know_is_refused() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        with pytest.raises(UsageError, match="declined or busy"):
            await ring.reject("in a meeting")
        assert not ring.over
        await ring.reject()
        with pytest.raises(Rejected):
            await soon(dialling)


@pytest.mark.virtual_time
async def test_nobody_answers_in_time() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        with pytest.raises(NoAnswer, match="within 5 s"):
            await alice.call("bob", timeout=5)
        ring = await anext(rings)
        assert ring.over and not bob.ringing
        with pytest.raises(CallEnded):
            await ring.accept()


@pytest.mark.virtual_time
async def test_a_ring_that_nobody_answers_ends_by_itself() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer, match="nobody answered at bob"):
            await alice.call("bob", timeout=100)
        assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=1)
        assert not bob.ringing and bob.calls == []


async def test_the_caller_gives_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings, told = bob.rings(), bob.events()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        dialling.cancel()
        ended = (await until(told, happened.CallFinished)).ended
        assert (ended.by, ended.reason) == ("alice", "cancelled")
        assert ring.over
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert alice.calls == []


async def test_the_callee_leaves_while_it_rings() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        await soon(anext(rings))
        await bob.leave()
        with pytest.raises(CallEnded):
            await soon(dialling)


async def test_the_callee_vanishes_while_it_rings() -> None:
    hub = MemoryHub()
    other = await Byes.joined(hub, "bob")
    async with rooms("alice", hub=hub) as (alice,):
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        await other.next(DescriptionFrom)
        other.channel.abort()  # type: ignore[attr-defined]
        with pytest.raises(CallLost, match="before the call came about"):
            await soon(dialling)


async def test_the_callee_answers_nonsense() -> None:
    hub = MemoryHub()
    other = await Byes.joined(hub, "bob")
    async with rooms("alice", hub=hub) as (alice,):
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        offer = await other.next(DescriptionFrom)
        answer = DescriptionTo(offer.sender, offer.session, SessionDescription("answer", "v=0\r\nm=nonsense"))
        await other.channel.send(answer)
        with pytest.raises(CallError, match="cannot be used"):
            await soon(dialling)
        bye = await other.next(ByeFrom)
        assert bye.reason == "failed"
    await other.channel.close()


async def test_a_bad_offer_is_told_to_the_caller() -> None:
    hub = MemoryHub()
    other = await Byes.joined(hub, "bob")
    async with rooms("alice", hub=hub) as (alice,):
        rings = alice.rings()
        own = other.channel.welcome.members
        assert own == []
        joined = await other.channel.receive()
        to = joined.member.id  # type: ignore[union-attr]
        await other.channel.send(DescriptionTo(to, "s1", SessionDescription("offer", "v=0")))
        ring = await soon(anext(rings))
        with pytest.raises(CallError, match="cannot be used"):
            await soon(ring.accept())
        assert (await other.next(ByeFrom)).reason == "failed"
    await other.channel.close()


async def test_a_failed_callee_is_no_hang_up() -> None:
    hub = MemoryHub()
    other = await Byes.joined(hub, "bob")
    async with rooms("alice", hub=hub) as (alice,):
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        offer = await other.next(DescriptionFrom)
        await other.channel.send(ByeTo(offer.sender, offer.session, "failed", "no camera"))
        with pytest.raises(CallError, match="could not take the call: no camera"):
            await soon(dialling)
    await other.channel.close()


async def test_no_path_fails_with_the_stage() -> None:
    hub = MemoryHub()
    other = await Byes.joined(hub, "bob")
    async with rooms("alice", hub=hub, connect_timeout=0.3) as (alice,):
        told = alice.events()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        offer = await other.next(DescriptionFrom)
        await other.channel.send(DescriptionTo(offer.sender, offer.session, await _dead_answer(offer.description)))
        with pytest.raises(IceFailed) as caught:
            await soon(dialling)
        assert caught.value.stage == "ice"
        assert (await until(told, happened.CallFinished)).ended.reason == "failed"
    await other.channel.close()


async def _dead_answer(offer: SessionDescription) -> SessionDescription:
    """An answer of somebody who is gone when it arrives."""
    from tests.rtc.wires import End

    end = End()
    answer = await end.answer(offer)
    await end.close()
    return answer


@pytest.mark.parametrize(("source", "error"), [("nonsense", UsageError), ("file:/nowhere.webm", DeviceError)])
async def test_a_source_that_cannot_be_opened_ends_the_call_at_both_ends(source: str, error: type[Exception]) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        with pytest.raises(error):
            await alice.call("bob", video=source)
        assert alice.calls == []
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        with pytest.raises(error):
            await ring.accept(video=source)
        with pytest.raises(CallError):
            await soon(dialling)
        assert bob.calls == [] and alice.calls == []


async def test_a_caller_who_gives_up_while_its_sources_are_switched_on_leaves_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rooms("alice", "bob") as (alice, _):
        began = asyncio.Event()

        async def never(self: Call, source: Any, settings: Any) -> None:
            began.set()
            await asyncio.Event().wait()

        monkeypatch.setattr("peer.call.Call._show", never)
        dialling = asyncio.ensure_future(_dial(alice, "bob", video=SMALL))
        await soon(began.wait())
        dialling.cancel()
        await asyncio.wait([dialling])
        assert dialling.cancelled() and alice.calls == []


# Calls that cross


@pytest.mark.parametrize("first", ["alice", "bob"])
@pytest.mark.parametrize("polite", ["alice", "bob"])
async def test_calls_that_cross_become_one(first: str, polite: str) -> None:
    names = ("alice", "bob") if polite == "bob" else ("bob", "alice")  # the one who joins later gives way
    async with rooms(*names) as members:
        by_name = {room.name: room for room in members}
        order = ["alice", "bob"] if first == "alice" else ["bob", "alice"]
        dials = [_dial(by_name[name], "bob" if name == "alice" else "alice", video=SMALL) for name in order]
        calls = await soon(asyncio.gather(*dials))
        assert all(len(room.calls) == 1 and not room.ringing for room in members)
        assert calls[0].session == calls[1].session
        for call in calls:
            async with asyncio.timeout(PATIENCE):
                pictures = call.pictures()
                assert (await anext(pictures)).array.shape == (120, 160, 3)
                pictures.close()
        await calls[0].hang_up()
        assert (await soon(calls[1].ended())).reason == "hung up"


async def test_calling_somebody_who_rings_answers() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        back = await soon(_dial(bob, "alice"))
        assert (await soon(dialling)).session == back.session
        assert ring.over


# What a hostile member can do


async def test_nobody_else_may_speak_in_a_call() -> None:
    hub = MemoryHub()
    mallory = await Byes.joined(hub, "mallory")
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob)
        for target in (calling, answered):
            to = "m0002" if target is calling else "m0003"
            await mallory.channel.send(ByeTo(to, target.session, "hung-up"))
            await mallory.channel.send(CandidateTo(to, target.session, IceCandidate("x")))
        await calling.write("still here")
        assert await soon(anext(answered.messages())) == "still here"
        assert calling.open and answered.open
    await mallory.channel.close()


async def test_strange_messages_harm_nobody() -> None:
    hub = MemoryHub()
    mallory = await Byes.joined(hub, "mallory")
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob)
        for session in ("", "unknown", "x" * 64):
            await mallory.channel.send(ByeTo("m0002", session, "busy"))
            await mallory.channel.send(CandidateTo("m0002", session, None))
            await mallory.channel.send(DescriptionTo("m0002", session, SessionDescription("answer", "v=0")))
        await mallory.channel.send(MessageTo("m0002", {"any": ["thing"]}))
        message = await until(alice.events(), happened.MemberMessage)
        assert (message.name, message.data) == ("mallory", {"any": ["thing"]})
        assert calling.open and answered.open
    await mallory.channel.close()


async def test_a_flood_of_signaling_in_a_call_ends_that_call() -> None:
    hub = MemoryHub()
    mallory = await Byes.joined(hub, "mallory")
    async with rooms("alice", hub=hub) as (alice,):
        told = alice.events()
        await mallory.channel.send(DescriptionTo("m0002", "flood", SessionDescription("offer", "v=0")))
        for _ in range(600):
            await mallory.channel.send(CandidateTo("m0002", "flood", None))
        ended = (await until(told, happened.CallFinished)).ended
        assert ended.reason == "failed" and "too many" in ended.text
    await mallory.channel.close()


async def test_more_callers_than_can_ring_are_told_that_we_are_busy() -> None:
    hub = MemoryHub()
    mallory = await Byes.joined(hub, "mallory")
    async with rooms("alice", hub=hub) as (alice,):
        for number in range(101):
            await mallory.channel.send(DescriptionTo("m0002", f"s{number}", SessionDescription("offer", "v=0")))
        bye = await mallory.next(ByeFrom)
        assert (bye.session, bye.reason) == ("s100", "busy")
        assert len(alice.ringing) == 100
    await mallory.channel.close()


# What goes out


async def test_what_is_shown_may_change_at_any_time() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        pictures = answered.pictures()
        await calling.show(SMALL)
        assert (await soon(anext(pictures))).array.shape == (120, 160, 3)
        source = PictureSource()
        source.push(np.full((96, 128, 3), 200, np.uint8))
        await calling.show(source)
        async with asyncio.timeout(PATIENCE):
            async for picture in pictures:
                if picture.array.shape == (96, 128, 3):
                    break
        await calling.show(None)
        assert not calling._connection.pictures.showing
        await calling.show("none")
        pictures.close()
        with pytest.raises(UsageError):
            await calling.show("nonsense")
        with pytest.raises(UsageError):
            await calling.carry("camera")
        assert calling.open
        await source.close()


async def test_the_last_thing_asked_for_is_what_is_shown() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, _ = await connect(alice, bob)
        for last in (None, SMALL):
            shown = [calling.show(choice) for choice in (SMALL, None, SMALL, None, last)]
            await soon(asyncio.gather(*shown))
            assert calling._connection.pictures.showing == (last is not None)


async def test_one_source_serves_several_calls_and_outlives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.rtc.picturefeed.REPEAT", 0.2)
    async with rooms("alice", "bob", "carol") as (alice, bob, carol):
        source = PictureSource()
        source.push(np.full((96, 128, 3), 90, np.uint8))
        calls = [await connect(alice, other, video=source) for other in (bob, carol)]
        for _, answered in calls:
            pictures = answered.pictures()
            assert (await soon(anext(pictures))).array.shape == (96, 128, 3)
            pictures.close()
        await calls[0][0].hang_up()
        source.push(np.full((64, 64, 3), 90, np.uint8))
        pictures = calls[1][1].pictures()
        async with asyncio.timeout(PATIENCE):
            async for picture in pictures:
                if picture.array.shape == (64, 64, 3):
                    break
        pictures.close()
        await source.close()


async def test_encoded_frames_without_decoding() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        _, answered = await connect(alice, bob, video=SMALL, audio="test")
        for kind, codec in (("video", "VP8"), ("audio", "opus")):
            track = next(t for t in answered.remote.tracks if t.kind == kind)
            taker = track.encoded()
            assert (await soon(anext(taker))).codec.name == codec
            taker.close()
        stats = await answered.stats()
        assert stats.received("video").frames_decoded == 0  # type: ignore[union-attr]


async def test_a_file_plays_its_picture_and_its_sound(tmp_path: Path) -> None:
    from tests.media.clips import webm

    clip = f"file:{await asyncio.to_thread(webm, tmp_path / 'clip.webm', 25)},loop"
    async with rooms("alice", "bob") as (alice, bob):
        _, answered = await connect(alice, bob, video=clip, audio=clip)
        pictures, sound = answered.pictures(), answered.sound()
        assert (await soon(anext(pictures))).array.shape == (240, 320, 3)
        assert len((await soon(anext(sound))).array) > 0
        pictures.close()
        sound.close()


# After the end


async def test_a_call_that_is_over_says_so(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, _ = await connect(alice, bob)
        pictures, sound, messages = calling.pictures(), calling.sound(), calling.messages()
        await calling.hang_up()
        for act in (
            lambda: calling.show(SMALL),
            lambda: calling.carry("test"),
            lambda: calling.play(np.zeros(10, np.int16)),
            lambda: calling.record(tmp_path),
        ):
            with pytest.raises(CallEnded, match="call again"):
                act()
        with pytest.raises(CallEnded):
            await calling.write("x")
        for stream in (pictures, sound, messages, calling.messages(), calling.pictures()):
            async with asyncio.timeout(PATIENCE):
                assert [item async for item in stream] == []
        assert (await calling.stats()).state == "closed"


async def test_iterations_end_with_the_call() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)

        async def count() -> int:
            return len([picture async for picture in answered.pictures()])

        counting = asyncio.ensure_future(count())
        pictures = answered.pictures()
        await soon(anext(pictures))
        await calling.hang_up()
        assert await soon(counting) >= 0
        pictures.close()


async def test_a_source_that_opens_after_the_end_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from peer.media import opening

    async with rooms("alice", "bob") as (alice, bob):
        calling, _ = await connect(alice, bob)
        go, began = asyncio.Event(), asyncio.Event()
        real = opening.open_pictures

        async def slowly(choice: Any) -> Any:
            began.set()
            await go.wait()
            return await real(choice)

        monkeypatch.setattr("peer.media.open_pictures", slowly)
        showing = calling.show(SMALL)
        await soon(began.wait())
        await calling.hang_up()
        go.set()
        await soon(showing)
        assert alice._shelf._entries == {}


async def _dial(room: Any, name: str, **options: Any) -> Call:
    call: Call = await room.call(name, **options)
    return call


async def test_a_later_offer_that_cannot_be_used_ends_nothing() -> None:
    async with rooms("alice", "bob", video=SMALL, audio="test") as (alice, bob):
        _, answered = await connect(alice, bob)
        nonsense = SessionDescription("offer", "v=0\r\nnonsense")
        answered.deliver(DescriptionFrom(answered.remote.member, answered.session, nonsense))
        pictures = answered.pictures()
        for _ in range(5):
            await soon(anext(pictures))
        assert answered.open and not answered._inbox.qsize()


async def test_pictures_go_on_with_the_track_that_takes_the_place_of_one_that_was_stopped() -> None:
    async with rooms("alice", "bob", video=SMALL) as (alice, bob):
        _, answered = await connect(alice, bob)
        pictures = answered.pictures()
        await soon(anext(pictures))
        (first,) = [track for track in answered.remote.tracks if track.kind == "video"]
        while not (missed := pictures.dropped):  # nobody takes them: the newest wins
            await soon(_another(first))
        following = asyncio.ensure_future(_last(pictures))
        first.end()
        await asyncio.sleep(0)
        assert not following.done()  # it waits for another
        assert pictures.dropped >= missed
        await answered.hang_up()
        await soon(following)


async def _another(track: RemoteTrack) -> None:
    frames = track.encoded()
    await anext(frames)
    frames.close()


async def _last(pictures: Any) -> None:
    async for _ in pictures:
        pass
