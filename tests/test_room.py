"""Rooms: who is there, scripts over calls, recordings, the server's absence, leaving."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from peer import events as happened
from peer.channel import MemoryHub
from peer.errors import CallEnded, NotHere, SignalingError, Unreachable, UsageError
from peer.joining import join
from peer.recording import manifestfile
from peer.recording.group import Recorder
from peer.remote import Remote
from peer.rtc.ice.servers import IceSettings
from signaling.app import Server, Settings
from signaling.messages import ByeTo, IceServer
from tests.rooms import PATIENCE, SMALL, connect, rooms, soon, until

if TYPE_CHECKING:
    from pathlib import Path

    from peer.call import Call


# Who is there


async def test_members_come_and_go() -> None:
    hub = MemoryHub()
    async with rooms("alice", hub=hub) as (alice,):
        assert (alice.room, alice.name, alice.members) == ("lab", "alice", [])
        told = alice.events()
        waiting = asyncio.ensure_future(alice.wait_for("bob"))
        bob = await join(hub.connect, room="lab", name="bob")
        await soon(waiting)
        assert alice.members == ["bob"] and bob.members == ["alice"]
        await alice.message("bob", {"hello": [1]})
        message = await until(bob.events(), happened.MemberMessage)
        assert (message.name, message.data) == ("alice", {"hello": [1]})
        with pytest.raises(NotHere):
            await alice.message("carol", 1)
        await bob.leave()
        assert (await until(told, happened.MemberLeft)).name == "bob"
        assert alice.members == []


@pytest.mark.virtual_time
async def test_empty_waits_until_nobody_has_been_here_for_a_while() -> None:
    hub = MemoryHub()
    async with rooms("alice", hub=hub) as (alice,):
        loop = asyncio.get_running_loop()
        await alice.empty()
        began = loop.time()
        emptying = asyncio.ensure_future(alice.empty(after=60))
        await asyncio.sleep(50)
        visitor = await hub.connect("lab", "bob")
        await asyncio.sleep(100)
        await visitor.close()
        await emptying
        assert loop.time() - began == pytest.approx(210, abs=1)


async def test_a_name_that_is_taken() -> None:
    hub = MemoryHub()
    async with rooms("alice", hub=hub):
        with pytest.raises(SignalingError) as caught:
            await join(hub.connect, room="lab", name="alice")
        assert caught.value.code == "name-taken"


def test_bad_arguments_are_refused_before_anything_happens() -> None:
    for arguments in ({"url": "ftp://x"}, {"url": "http://x", "ice_servers": ["nonsense"]}):
        with pytest.raises(UsageError):
            join(**arguments, room="lab", name="x")  # type: ignore[arg-type]


async def test_ice_servers_of_both_are_used() -> None:
    async with rooms("alice", ice_servers=["stun:192.0.2.1"]) as (alice,):
        assert [server.urls for server in alice.ice_servers] == [["stun:192.0.2.1"]]


async def test_servers_of_the_network_settings_are_used_too() -> None:
    network = IceSettings(servers=(IceServer(["stun:192.0.2.2"]),), udp_port=5000)
    async with rooms("alice", ice_servers=["stun:192.0.2.1"], network=network) as (alice,):
        call = alice.new_call(Remote("bob", "2"), "session")
        ice = call._options.ice
        assert [url for server in ice.servers for url in server.urls] == ["stun:192.0.2.1", "stun:192.0.2.2"]
        assert ice.udp_port == 5000
        await call.hang_up()


# Scripts


async def test_a_script_that_returns_hangs_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)

        async def script(call: Call) -> None:
            await call.write("done")

        await soon(bob.start(script, answered))
        assert await soon(anext(calling.messages())) == "done"
        ended = await soon(calling.ended())
        assert (ended.by, ended.reason, ended.text) == ("bob", "hung up", "")


async def test_what_a_script_raises_is_told_and_ends_that_call_only(caplog: pytest.LogCaptureFixture) -> None:
    async with rooms("alice", "bob", "carol") as (alice, bob, carol):
        first, answered = await connect(alice, bob)
        second, other = await connect(carol, bob)

        async def script(call: Call) -> None:
            raise KeyError("oh no")

        await soon(bob.start(script, answered))
        ended = await soon(first.ended())
        assert (ended.by, ended.reason, ended.text) == ("bob", "error", "KeyError: 'oh no'")
        assert "the script with alice raised" in caplog.text
        assert second.open and other.open


async def test_a_script_ends_with_its_call_without_a_fuss(caplog: pytest.LogCaptureFixture) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)

        async def script(call: Call) -> None:
            async for _ in call.messages():
                pass
            await call.write("too late")

        running = bob.start(script, answered)
        await calling.hang_up()
        await soon(running)
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_script_that_is_cancelled_hangs_up() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        begun = asyncio.Event()

        async def script(call: Call) -> None:
            begun.set()
            await asyncio.Event().wait()

        running = bob.start(script, answered)
        await soon(begun.wait())
        running.cancel()
        assert (await soon(calling.ended())).reason == "hung up"


# Recordings


async def test_everyone_is_recorded(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        recorder = bob.record(tmp_path / "new")
        async with recorder:
            _, answered = await connect(alice, bob, video=SMALL, audio="test")
            track = next(t for t in answered.remote.tracks if t.kind == "video")
            frames = track.encoded()
            for _ in range(8):
                await soon(anext(frames))
            frames.close()
        assert [file.path.parent.name for file in recorder.files] == ["new"]
        assert recorder.files[0].seconds > 0.2 and recorder.errors == []
        assert answered.open, "recording is not the call"


async def test_recordings_have_a_format_and_segments(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        recorder = bob.record(tmp_path, format="webm", segment=60)
        _, answered = await connect(alice, bob, audio="test")
        for record in (bob.record, answered.record):
            with pytest.raises(UsageError, match="use one of mkv, webm, mp4"):
                record(tmp_path, format="avi")  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="use 1 s or more"):
                record(tmp_path, segment=0.5)
        sounds = next(t for t in answered.remote.tracks if t.kind == "audio").encoded()
        for _ in range(5):
            await soon(anext(sounds))
        sounds.close()
        await recorder.close()
        assert [file.path.suffix for file in recorder.files] == [".webm"]


async def test_a_recorder_records_a_call_once(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        _, answered = await connect(alice, bob, audio="test")
        async with bob.record(tmp_path) as recorder:
            assert answered.record(recorder) is recorder
            assert len(vars(recorder)["_running"]) == 1


async def test_a_recording_is_finished_with_its_call(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)
        recorder = answered.record(tmp_path)
        shared = Recorder(tmp_path / "shared")
        assert answered.record(shared) is shared
        track = next(t for t in answered.remote.tracks if t.kind == "video")
        frames = track.encoded()
        for _ in range(5):
            await soon(anext(frames))
        frames.close()
        await calling.hang_up()
        await soon(answered.hang_up())
        assert recorder.closed and len(recorder.files) == 1 and recorder.files[0].path.exists()
        assert [(await asyncio.to_thread(manifestfile.read, path)).room for path in recorder.manifests] == ["lab"]
        assert not shared.closed and len(shared.files) == 1
        await shared.close()


# The signaling server goes away


async def test_calls_outlive_the_signaling_server() -> None:
    async with Server(Settings(port=0)) as server:
        port = server.port
        async with (
            join(server.url, room="lab", name="alice") as alice,
            join(server.url, room="lab", name="bob") as bob,
        ):
            told = {room: room.events() for room in (alice, bob)}
            calling, answered = await connect(alice, bob)
            await server.close()
            for room in (alice, bob):
                await until(told[room], happened.SignalingLost)
            await calling.write("still here")
            assert await soon(anext(answered.messages())) == "still here"
            with pytest.raises((Unreachable, NotHere)):
                await alice.call("bob")
            async with Server(Settings(port=port)):
                for room in (alice, bob):
                    await until(told[room], happened.SignalingRestored)
                for room, other in ((alice, bob), (bob, alice)):
                    await soon(room.wait_for(other.name))
                assert calling.open and answered.open
                await calling.hang_up(text="over")
                ended = await soon(answered.ended())
                assert (ended.by, ended.reason, ended.text) == ("alice", "hung up", "over")
                again, _ = await connect(bob, alice)
                assert again.open


async def test_a_hang_up_without_the_server_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.BYE_GRACE", 0.1)
    hub = MemoryHub()
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob)
        calling._room = _Mute(calling._room)  # type: ignore[assignment]
        await calling.hang_up()
        ended = await soon(answered.ended())
        assert (ended.by, ended.reason) == ("alice", "left")


async def test_who_closes_the_connection_without_a_goodbye_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.BYE_GRACE", 0.1)
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        said: list[object] = []

        async def note(message: object) -> None:
            said.append(message)

        monkeypatch.setattr(bob, "send", note)
        await calling._connection.close()
        await soon(answered.ended())
        assert said == [ByeTo(answered.remote.member, answered.session, "lost")]


class _Mute:
    """A room whose goodbyes do not get through."""

    def __init__(self, room: Any) -> None:
        self._room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)

    async def send(self, message: object) -> None:
        raise Unreachable("the signaling channel is closed; join again")


async def test_a_server_that_does_not_read_holds_no_hang_up_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.BYE_GRACE", 0.1)
    monkeypatch.setattr("peer.lifetime.BYE_TIMEOUT", 0.1)
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        calling._room = _Stuck(calling._room)  # type: ignore[assignment]
        await soon(calling.hang_up())
        assert (await soon(answered.ended())).by == "alice"


async def test_a_hang_up_that_is_cancelled_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.BYE_GRACE", 0.1)
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        calling._room = _Stuck(calling._room)  # type: ignore[assignment]
        hanging_up = asyncio.ensure_future(calling.hang_up())
        await asyncio.sleep(0)
        hanging_up.cancel()
        await asyncio.wait([hanging_up])
        assert calling.over
        assert (await soon(answered.ended())).by == "alice"
        await calling.hang_up()
        assert alice.calls == []


class _Stuck(_Mute):
    """A room whose server takes nothing."""

    async def send(self, message: object) -> None:
        await asyncio.Event().wait()


async def test_a_member_who_leaves_without_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.BYE_GRACE", 0.1)
    hub = MemoryHub()
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob)
        calling._room = _Mute(calling._room)  # type: ignore[assignment]
        vars(alice._membership)["_channel"].abort()
        await calling._connection.close()
        ended = await soon(answered.ended())
        assert ended.by == "alice" and ended.reason == "left"


# Leaving


async def test_leaving_ends_everything(tmp_path: Path) -> None:
    hub = MemoryHub()
    async with rooms("bob", "carol", hub=hub) as (bob, carol):
        alice = await join(hub.connect, room="lab", name="alice", video=SMALL, audio="test")
        alice.record(tmp_path)
        first, answered = await connect(alice, bob)
        rings = carol.rings()
        dialling = asyncio.ensure_future(_dial(alice, "carol"))
        await soon(anext(rings))

        async def forever(call: Call) -> None:
            async for _ in call.pictures():
                pass

        running = alice.start(forever, first)
        playing = first.play("test")
        streams = [alice.rings(), alice.events(), first.messages(), first.sound()]
        assert not playing.done
        await soon(asyncio.gather(alice.leave(), alice.leave()))
        await alice.leave()
        assert running.done() and playing.done and alice.calls == []
        with pytest.raises(CallEnded):
            await soon(dialling)
        for stream in streams:
            async with asyncio.timeout(PATIENCE):
                async for _ in stream:  # type: ignore[attr-defined]
                    pass
        ended = await soon(answered.ended())
        assert (ended.by, ended.reason) == ("alice", "left")
        assert not alice._tasks and not alice._shelf._entries
        with pytest.raises((Unreachable, NotHere)):
            await soon(_dial(alice, "bob"))
        assert not alice._shelf._entries and alice.calls == []


async def test_whoever_waits_in_a_room_learns_that_it_was_left() -> None:
    async with rooms("alice", "bob") as (alice, _):
        waiting = [asyncio.ensure_future(work) for work in (alice.wait_for("carol"), alice.empty())]
        await asyncio.sleep(0)
        await alice.leave()
        for one in waiting:
            with pytest.raises(Unreachable, match="was left"):
                await soon(one)


async def test_a_join_that_is_cancelled_while_the_engine_loads_leaves_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, go = MemoryHub(), threading.Event()
    monkeypatch.setattr("peer.joining.import_module", lambda name: go.wait(PATIENCE))

    async def joined() -> None:
        await join(hub.connect, room="lab", name="alice")

    joining = asyncio.create_task(joined())
    while not hub._rooms:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    joining.cancel()
    await asyncio.wait([joining])
    go.set()
    assert joining.cancelled() and not hub._rooms


async def test_a_leave_that_is_cancelled_goes_on() -> None:
    hub = MemoryHub()
    async with rooms("bob", hub=hub) as (bob,):
        alice = await join(hub.connect, room="lab", name="alice")
        await connect(alice, bob)
        leaving = asyncio.ensure_future(alice.leave())
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await until(bob.events(), happened.MemberLeft)).name == "alice"
        await alice.leave()


async def _dial(room: Any, name: str) -> Any:
    return await room.call(name)


async def test_a_call_outlives_a_member_that_only_lost_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.LEFT_GRACE", 0.8)
    hub = MemoryHub()
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob, audio="test")
        told = bob.events()
        vars(alice._membership)["_channel"].abort()
        assert (await until(told, happened.MemberLeft)).reason == "lost"
        await until(told, happened.MemberJoined)
        await calling.write("here I am")
        assert await soon(anext(answered.messages())) == "here I am"
        assert answered.open
        await answered.hang_up()
        assert (await soon(calling.ended())).by == "bob"


async def test_a_member_who_came_back_is_held_to_the_usual_deadlines_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MemoryHub()
    async with rooms("alice", "bob", hub=hub) as (alice, bob):
        calling, answered = await connect(alice, bob)
        told = bob.events()
        vars(alice._membership)["_channel"].abort()
        await until(told, happened.MemberLeft)
        await until(told, happened.MemberJoined)
        monkeypatch.setattr("peer.lifetime.LEFT_GRACE", -1.0)  # any silence is too long from here on
        await asyncio.sleep(0.7)
        assert answered.open and calling.open


async def test_a_member_who_is_back_before_anybody_looks_did_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.lifetime.LEFT_GRACE", -1.0)  # any silence is too long
    async with rooms("alice", "bob") as (alice, bob):
        _, answered = await connect(alice, bob)
        answered.member_left("lost")
        answered.remote.member = "another"
        for _ in range(5):
            await asyncio.sleep(0)
        assert answered.open
