"""A recorder among others: it calls who does not call, answers who does, and takes a no for a no."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from peer import attendance
from peer import events as happened
from peer.attending import NOT_WANTED, Attending
from peer.channel import MemoryHub
from peer.errors import Error, Rejected
from peer.joining import join
from peer.link import Link
from peer.recording.group import Recorder
from peer.recording.writer import Options
from tests.rooms import PATIENCE, SMALL, rooms, soon, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from peer.call import Call
    from peer.room import Room
    from signaling.messages import SessionDescription


QUICK = Options(patience=0.2, flush_interval=0.1)
"""No file waits long for sound or pictures that do not come."""


class Audience:
    """Writes down what it is told, and can be waited on."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.failures: list[tuple[str, Error]] = []
        self._news = asyncio.Event()

    def began(self, call: Call, *, outgoing: bool) -> None:
        self.calls.append(call)
        self._news.set()

    def failed(self, name: str, error: Error, *, outgoing: bool) -> None:
        self.failures.append((name, error))
        self._news.set()

    async def heard(self, *, calls: int = 0, failures: int = 0) -> None:
        while len(self.calls) < calls or len(self.failures) < failures:
            self._news.clear()
            await soon(self._news.wait())


@contextlib.asynccontextmanager
async def attended(room: Room, **options: Any) -> AsyncIterator[Audience]:
    """A recorder's part in `room`, until the block is left."""
    audience, closing = Audience(), asyncio.Event()
    running = asyncio.create_task(Attending(room, audience=audience, **options).run(closing))
    try:
        yield audience
    finally:
        closing.set()
        await soon(running)


async def answered(room: Room) -> Call:
    """The next call that comes in, accepted."""
    ring = await soon(anext(room.rings()))
    call: Call = await soon(ring.accept())
    return call


async def when(true: Callable[[], object]) -> None:
    """Returns when something is so of which nothing tells."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def written(recorder: Recorder, files: int = 1, size: int = 500) -> None:
    """Returns when that many files of `recorder` have so many bytes."""
    await when(lambda: len([file for file in recorder.files if file.bytes > size]) == files)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is given time to call by itself."""
    monkeypatch.setitem(attendance.Attendance.came.__kwdefaults__, "grace", 0.0)
    monkeypatch.setattr(attendance, "DELAYS", (0.0, 0.0))


async def test_who_is_there_and_who_comes_is_called_and_recorded(tmp_path: Path, at_once: None) -> None:
    hub = MemoryHub()
    async with rooms("alice", "recorder", hub=hub, video=SMALL, audio="test") as (alice, recording):
        recorder = recording.record(Recorder(tmp_path, options=QUICK))
        first = await answered(alice)
        assert first.remote.recording, "nobody is recorded without being told"
        assert first.remote.tracks == []
        async with join(hub.connect, room="lab", name="bob", video=SMALL) as bob:
            second = await answered(bob)
            assert second.remote.recording
            await written(recorder, files=2)
            assert sorted(file.name for file in recorder.files) == ["alice", "bob"]
        await first.hang_up()
        await soon(recorder.close())
        assert [file.whole for file in recorder.files] == [True, True] and recorder.errors == []


async def test_the_format_decides_what_is_asked_for(tmp_path: Path, at_once: None) -> None:
    async with rooms("alice", "recorder", video=SMALL, audio="test") as (alice, recording):
        recorder = recording.record(tmp_path, format="mp4")
        await answered(alice)
        await written(recorder)
        await soon(recorder.close())
        (file,) = recorder.files
        assert (file.path.suffix, file.video_codec) == (".mp4", "H264")


async def test_who_calls_is_answered_silently_and_recorded(tmp_path: Path) -> None:
    async with rooms("alice", "recorder", video=SMALL, audio="test") as (alice, recording):
        recorder = recording.record(tmp_path)
        async with recorder:
            call = await soon(_call(alice, "recorder"))
            assert call.remote.recording and call.remote.tracks == []
            await written(recorder)
        ended = await soon(call.ended())
        assert (ended.by, ended.reason) == ("recorder", "hung up"), "a closed recorder has no business here"
        assert len(recorder.files) == 1 and recorder.files[0].whole


async def test_the_recorder_is_not_always_needed_to_call(tmp_path: Path) -> None:
    async with rooms("alice", "recorder") as (alice, recording):
        recording.record(tmp_path, everyone=False)
        ring = asyncio.ensure_future(anext(alice.rings()))
        calling = asyncio.ensure_future(_call(alice, "recorder"))
        call = await soon((await soon(anext(recording.rings()))).accept())
        await soon(calling)
        assert not ring.done() and call.recordings
        ring.cancel()


async def test_a_program_that_takes_the_rings_answers_them_itself(tmp_path: Path) -> None:
    async with rooms("alice", "desk") as (alice, desk):
        async with desk.record(tmp_path) as recorder:
            rings, nobody = desk.rings(), asyncio.ensure_future(anext(alice.rings()))
            calling = asyncio.ensure_future(_call(alice, "desk"))
            call = await soon((await soon(anext(rings))).accept(audio="test"))
            assert (await soon(calling)).remote.tracks and call.recordings
            assert not nobody.done() and len(desk.calls) == 1
            nobody.cancel()
        assert call.open and recorder.closed


async def test_both_call_at_the_same_moment(at_once: None) -> None:
    async with rooms("alice", "recorder", audio="test") as (alice, recording):
        async with attended(recording) as audience:
            call = await soon(_call(alice, "recorder"))
            await audience.heard(calls=1)
            await call.write("one call is enough")
            assert await soon(anext(audience.calls[0].messages())) == "one call is enough"
            assert len(recording.calls) == len(alice.calls) == 1
        assert audience.failures == []


async def test_only_those_who_are_named_are_recorded(tmp_path: Path, at_once: None) -> None:
    async with rooms("alice", "bob", "recorder", audio="test") as (alice, bob, recording):
        recorder = recording.record(Recorder(tmp_path, options=QUICK), only=["alice"])
        assert (await answered(alice)).remote.recording
        with pytest.raises(Rejected, match=NOT_WANTED):
            await soon(_call(bob, "recorder"))
        await written(recorder)
        await soon(recorder.close())
        assert [file.name for file in recorder.files] == ["alice"]


async def test_who_declines_is_asked_once(at_once: None) -> None:
    hub = MemoryHub()
    async with rooms("alice", "recorder", hub=hub) as (alice, recording):
        async with attended(recording) as audience:
            rings = alice.rings()
            await (await soon(anext(rings))).reject("declined", "no, thank you")
            await audience.heard(failures=1)
            (name, error) = audience.failures[0]
            assert name == "alice" and isinstance(error, Rejected) and error.text == "no, thank you"
            # Somebody else comes and is called: alice had her turn before, if there had been one.
            async with join(hub.connect, room="lab", name="bob") as bob:
                await answered(bob)
            again = asyncio.ensure_future(anext(rings))
            await asyncio.sleep(0)
            assert not again.done()
            again.cancel()


async def test_who_hangs_up_is_called_again_only_when_it_came_back(at_once: None) -> None:
    hub = MemoryHub()
    async with rooms("recorder", hub=hub) as (recording,):
        async with attended(recording) as audience:
            for visit in (1, 2):
                async with join(hub.connect, room="lab", name="alice") as alice:
                    call = await answered(alice)
                    await call.hang_up()
                    await audience.heard(calls=visit)
                    await soon(audience.calls[-1].ended())
                    await until(alice.events(), happened.CallFinished)
                    assert alice.calls == []
        assert len(audience.calls) == 2 and audience.failures == []


async def test_who_is_busy_is_called_again(at_once: None) -> None:
    async with rooms("alice", "recorder") as (alice, recording):
        async with attended(recording) as audience:
            rings = alice.rings()
            await (await soon(anext(rings))).reject("busy")
            await soon((await soon(anext(rings))).accept())
            await audience.heard(calls=1, failures=1)


async def test_who_calls_anew_has_given_up_the_call_before() -> None:
    async with rooms("alice", "recorder") as (alice, recording):
        async with attended(recording) as audience:
            first = await soon(_call(alice, "recorder"))
            second = await soon(_call(alice, "recorder"))
            assert (await soon(first.ended())).by == "recorder"
            await audience.heard(calls=2)
            assert second.open and len(recording.calls) == 1


async def test_two_recorders_leave_each_other_alone(tmp_path: Path, at_once: None) -> None:
    async with rooms("one", "two") as (one, two):
        async with one.record(tmp_path / "one") as first, attended(two) as audience:
            two.record(tmp_path / "two", everyone=False)
            await audience.heard(failures=1)
            assert "a recorder too" in str(audience.failures[0][1])
            await when(lambda: not one.calls or two.calls)
            assert first.files == []
        assert audience.calls == []
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("*.mkv")))


async def test_a_recording_that_begins_in_mid_call_is_told(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling = asyncio.ensure_future(_call(alice, "bob"))
        call = await answered(bob)
        other = await soon(calling)
        assert not other.remote.recording
        call.record(tmp_path)
        await when(lambda: other.remote.recording)
        assert call.open and other.open


async def test_a_mistake_of_ours_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rooms("alice", "recorder") as (_, recording):
        monkeypatch.setattr(recording, "dial", None)
        with pytest.raises(TypeError):
            await soon(Attending(recording).run(asyncio.Event()))


async def test_a_silent_call_stays_silent_over_another_connection(
    monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    said: list[str] = []
    describe = Link._described

    def described(link: Link) -> SessionDescription:
        description = describe(link)
        if link.silent:
            said.append(description.sdp)
        return description

    monkeypatch.setattr(Link, "_described", described)
    async with rooms("alice", "recorder", audio="test") as (alice, recording):
        async with attended(recording) as audience:
            await answered(alice)
            await audience.heard(calls=1)
            call = audience.calls[0]
            before = call.session
            await call._renew()
            assert call.session != before
            await when(lambda: call._connection.state == "connected")
        assert len(said) >= 2
        assert all(re.findall(r"a=(sendrecv|sendonly|recvonly)", each) == ["recvonly", "recvonly"] for each in said)


async def _call(room: Room, name: str) -> Call:
    return await room.call(name)
