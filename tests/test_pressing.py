"""Keys pressed in a call between two of ours: they arrive in order, and the sound goes on as it should."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from peer import events as happened
from peer.errors import CallEnded, Error, UsageError
from peer.rtc import codecs
from tests.rooms import PATIENCE, connect, rooms, soon, until
from tests.rtc.wires import connect as connect_ends
from tests.rtc.wires import two_ends

if TYPE_CHECKING:
    from pathlib import Path

    from peer.taker import Taker


async def taken(keys: Taker[str], count: int) -> str:
    """So many keys, in a row."""
    async with asyncio.timeout(PATIENCE):
        return "".join([await anext(keys) for _ in range(count)])


@pytest.mark.parametrize("audio", [None, "test"], ids=["nothing to say", "sound"])
async def test_keys_arrive_once_and_in_order_both_ways(audio: str | None) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        for presser, hearer in itertools.permutations(await connect(alice, bob, audio=audio)):
            happenings = hearer.events()
            await soon(presser.press("11#d", duration=0.06, gap=0.03))
            assert await taken(hearer.keys(), 4) == "11#D", "also those pressed before anybody took them"
            first = await until(happenings, happened.KeyPressed)
            assert first == happened.KeyPressed("1", 0.06)


async def test_sound_goes_on_in_time_and_nothing_counts_as_lost(tmp_path: Path) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob, audio="test")
        recorder = answered.record(tmp_path)
        sound = answered.sound()
        heard = [await soon(anext(sound))]
        pressing, after = asyncio.ensure_future(calling.press("12", duration=0.2)), 0
        async with asyncio.timeout(PATIENCE):
            while after < 10:
                heard.append(await anext(sound))
                after += pressing.done()
        await pressing
        stats = (await answered.stats()).received("audio")
        await answered.hang_up()
        await recorder.close()
        steps = [after.time - before.time for before, after in itertools.pairwise(heard)]
        assert max(steps) < 0.03, "no hole is heard"
        assert stats is not None
        assert (stats.packets_lost, stats.concealed_samples, stats.nack_count, stats.packets_discarded) == (0, 0, 0, 0)
        (file,) = recorder.files
        assert file.whole and file.gaps == ()
        assert file.seconds > file.audio_frames * 0.02 + 0.3, "the keys have their time in it"


async def test_a_side_that_takes_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codecs.RECEIVABLE, "audio", codecs.CAPABILITIES["audio"])
    async with rooms("alice", "bob") as (alice, bob):
        calling, _ = await connect(alice, bob)
        with pytest.raises(Error, match=r"takes no keys \(telephone-event\); write\(\)"):
            await soon(calling.press("1"))


async def test_what_is_no_key() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        with pytest.raises(UsageError, match="'x' is no key; use digits"):
            await soon(calling.press("12x"))
        with pytest.raises(UsageError, match=r"pressed for 10 s; use 0\.04 to 6 s"):
            await soon(calling.press("1", duration=10))
        await soon(calling.press("1", duration=0.04, gap=0.03))
        assert await taken(answered.keys(), 1) == "1"


async def test_cancelled_it_stops_after_the_present_key() -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        keys = answered.keys()
        pressing = asyncio.ensure_future(calling.press("123", duration=0.06))
        assert await taken(keys, 1) == "1"
        pressing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pressing
        await soon(calling.press("9", duration=0.06))
        assert (await taken(keys, 1))[-1] == "9"


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_the_call_may_end_meanwhile(who: str) -> None:
    async with rooms("alice", "bob") as (alice, bob):
        calling, answered = await connect(alice, bob)
        keys = answered.keys()
        pressing = asyncio.ensure_future(calling.press("1,,,2", duration=0.06))
        assert await taken(keys, 1) == "1"
        await soon((calling if who == "alice" else answered).hang_up())
        with pytest.raises(CallEnded, match="call again"):
            await soon(pressing)
        with pytest.raises(CallEnded, match="call again"):
            await calling.press("1")
        async with asyncio.timeout(PATIENCE):
            assert [key async for key in keys] == []


async def test_a_silent_end_may_press_keys_too() -> None:
    """Once it is agreed that it sends sound."""
    async with two_ends() as (caller, callee):
        caller.connection.silent = True
        await connect_ends(caller, callee)
        caller.connection.provide("audio")
        keypad = caller.connection.keypad()
        assert keypad is not None
        pressing = asyncio.ensure_future(keypad.press("5", 0.06, 0.03))
        await caller.watcher.heard("negotiation_needed")
        answer = await callee.answer(await caller.offer())
        told: asyncio.Queue[str] = asyncio.Queue()
        callee.track("audio").on_key = lambda key, _: told.put_nowait(key)
        await caller.connection.take(answer)
        await soon(pressing)
        assert await soon(told.get()) == "5"
