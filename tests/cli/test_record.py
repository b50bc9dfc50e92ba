"""`peer record`, in a process of its own where it records: the table, the files, the end, the exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

import peer
from peer.rtc.awareness import announces_recording
from signaling.app import Server
from signaling.settings import Settings
from tests.cli.command import Command
from tests.rtc.wires import SmallVideo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cli.conftest import Run

in_this_process = pytest.mark.may_block("the command loads what it needs on its loop")

SMALL = "test:160x120@15"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0)) as served:
        yield served


async def wait_for(command: Command, pattern: str) -> re.Match[str]:
    return await asyncio.to_thread(command.wait_for, pattern)


@pytest.mark.slow
async def test_a_bot_and_two_callers_by_plain_http_are_recorded_at_once(server: Server, tmp_path: Path) -> None:
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "100", "LINES": "30"}
    arguments = ("record", server.url, "--output", "kept")
    with Command(*arguments, cwd=tmp_path, environment=environment, terminal=True) as command:
        await wait_for(command, "in room lab as recorder")
        callers = [RTCPeerConnection() for _ in range(2)]
        async with peer.join(server.url, room="lab", name="bot", video=SMALL, audio="test") as room:
            try:
                for caller in callers:
                    await _call_by_http(caller, server)
                async with asyncio.timeout(30):
                    call = await (await anext(room.rings())).accept()
                assert call.remote.recording
                await wait_for(command, r"http +recording[^\n]*\s+http +recording[^\n]*")
                await wait_for(command, r"bot +recording")
                command.signal(signal.SIGINT)
                assert await asyncio.to_thread(command.end) == 0, "it took more than END_TIMEOUT"
                assert (await call.ended()).by == "recorder"
            finally:
                await asyncio.gather(*(caller.close() for caller in callers))
    assert not re.search("\x1b\\[[0-9;]*m", command.out), "NO_COLOR was passed over"
    table = command.out[command.out.rindex("who ") :]
    assert sorted(re.findall(r"^(http|bot) +we hung up", table, re.MULTILINE)) == ["bot", "http", "http"]
    paths = await asyncio.to_thread(lambda: list((tmp_path / "kept").glob("*.mkv")))
    assert len(paths) == 3
    for path in paths:
        assert path.name in table
        found = await asyncio.to_thread(peer.verify, path, tolerance=1.0)
        assert found.problems == []


async def _call_by_http(caller: RTCPeerConnection, server: Server) -> None:
    caller.addTrack(AudioStreamTrack())
    caller.addTrack(SmallVideo())
    await caller.setLocalDescription(await caller.createOffer())
    url = f"{server.url}/rooms/lab/participants/recorder/offer"
    offer = {"type": "offer", "sdp": caller.localDescription.sdp}
    async with aiohttp.ClientSession() as session, session.post(url, json=offer) as response:
        answer = await response.json()
    assert announces_recording(answer["sdp"])
    assert re.findall("a=(sendrecv|recvonly|sendonly)", answer["sdp"]) == ["recvonly", "recvonly"]
    await caller.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))


@pytest.mark.slow
async def test_only_some_for_a_while_as_json(server: Server, tmp_path: Path) -> None:
    arguments = ("record", server.url, "--only", "alice", "--seconds", "3", "--json")
    async with (
        peer.join(server.url, room="lab", name="alice", video=SMALL) as alice,
        peer.join(server.url, room="lab", name="bob") as bob,
    ):
        with Command(*arguments, cwd=tmp_path) as command:
            async with asyncio.timeout(30):
                await (await anext(alice.rings())).accept()
            with pytest.raises(peer.Rejected):
                await bob.call("recorder")
            assert await asyncio.to_thread(command.end) == 0
    result = json.loads(command.out)
    assert (result["exitCode"], result["error"], result["interrupted"]) == (0, None, False)
    (call,) = result["calls"]
    assert call["name"] == "alice" and call["recordingError"] is None
    (file,) = call["files"]
    assert file["whole"] and file["path"].startswith("recordings/alice-")


@in_this_process
def test_the_exit_code_says_what_went_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, expected, words in (
        (("http://localhost:9", "--output", str(tmp_path / "file")), 7, "could not be written"),
        (("http://localhost:9",), 3, "localhost:9"),
    ):
        code, out, _ = run("record", *arguments, "--json")
        assert code == json.loads(out)["exitCode"] == expected and words in json.loads(out)["error"]


@in_this_process
def test_nobody_to_record(run: Run, url_elsewhere: str) -> None:
    sentence = "nothing was recorded within 0.2 s (nobody came); try again later\n"
    assert run("record", url_elsewhere, "--seconds", "0.2", "--quiet") == (5, "", sentence)
