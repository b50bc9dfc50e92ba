"""Sources by name, shared by those who show them: opened once, closed with the last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from peer.errors import DeviceError, UsageError
from peer.media import PictureSource, SoundSource
from peer.shelf import SourceShelf
from tests.media.clips import webm
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Device:
    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = 0
        self.may_close = asyncio.Event()
        self.may_close.set()

    async def close(self) -> None:
        await self.may_close.wait()
        self.closed += 1


class Devices:
    """Instead of real cameras."""

    def __init__(self) -> None:
        self.opened: list[Device] = []
        self.go = asyncio.Event()
        self.go.set()

    async def open(self, choice: str) -> Device | None:
        await self.go.wait()
        if choice == "none":
            return None
        if choice == "broken":
            raise DeviceError("broken; mend it")
        self.opened.append(Device(choice))
        return self.opened[-1]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Devices:
    found = Devices()
    monkeypatch.setattr("peer.media.open_pictures", found.open)
    monkeypatch.setattr("peer.media.open_sound", found.open)
    return found


@pytest.fixture
async def shelf() -> AsyncIterator[SourceShelf]:
    one = SourceShelf()
    yield one
    await one.close()


async def test_a_device_is_opened_once_and_closed_with_its_last_user(devices: Devices, shelf: SourceShelf) -> None:
    first: Any = await shelf.pictures("a", "camera")
    assert await shelf.pictures("b", "camera") is first
    assert await shelf.pictures("a", "camera") is first
    await shelf.release("a")
    assert first.closed == 0
    await shelf.release("b")
    await shelf.release("b")
    assert first.closed == 1
    assert await shelf.pictures("a", "camera") is not first


async def test_a_device_is_not_opened_while_it_is_being_closed(devices: Devices, shelf: SourceShelf) -> None:
    first: Any = await shelf.pictures("a", "camera")
    first.may_close.clear()
    closing = asyncio.ensure_future(shelf.release("a"))
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(shelf.pictures("b", "camera"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(devices.opened) == 1
    first.may_close.set()
    await soon(closing)
    assert await soon(asking) is devices.opened[1] and first.closed == 1


async def test_two_who_ask_at_once_get_the_same(devices: Devices, shelf: SourceShelf) -> None:
    devices.go.clear()
    asking = [asyncio.ensure_future(shelf.pictures(user, "camera")) for user in "abc"]
    await asyncio.sleep(0)
    devices.go.set()
    assert len(set(map(id, await soon(asyncio.gather(*asking))))) == 1 == len(devices.opened)


async def test_pictures_and_sound_are_apart(devices: Devices, shelf: SourceShelf) -> None:
    assert await shelf.pictures("a", "test") is not await shelf.sound("a", "test")
    await shelf.settle("a", "video", None)
    assert [device.closed for device in devices.opened] == [1, 0]


async def test_settling_keeps_what_is_shown(devices: Devices, shelf: SourceShelf) -> None:
    await shelf.pictures("a", "one")
    two = await shelf.pictures("a", "two")
    await shelf.settle("a", "video", two)
    assert [device.closed for device in devices.opened] == [1, 0]


async def test_none_and_objects_are_not_kept(devices: Devices, shelf: SourceShelf) -> None:
    assert await shelf.pictures("a", "none") is None
    assert await shelf.pictures("a", None) is None
    source = PictureSource()
    assert await shelf.pictures("a", source) is source
    await shelf.release("a")
    assert devices.opened == []
    await source.close()


async def test_what_cannot_be_opened_is_not_kept(devices: Devices, shelf: SourceShelf) -> None:
    for _ in range(2):
        with pytest.raises(DeviceError):
            await shelf.pictures("a", "broken")
    assert await shelf.pictures("a", "camera") is not None


async def test_the_end_closes_whatever_is_open(devices: Devices, shelf: SourceShelf) -> None:
    await shelf.pictures("a", "one")
    await shelf.sound("b", "two")
    await shelf.close()
    await shelf.close()
    assert [device.closed for device in devices.opened] == [1, 1]


async def test_a_cancelled_opening_leaves_the_shelf_usable(devices: Devices, shelf: SourceShelf) -> None:
    devices.go.clear()
    asking = asyncio.ensure_future(shelf.pictures("a", "camera"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    devices.go.set()
    assert await soon(shelf.pictures("b", "camera")) is devices.opened[0]


async def test_a_file_for_both_is_opened_once(shelf: SourceShelf, tmp_path: Path) -> None:
    name = f"file:{await asyncio.to_thread(webm, tmp_path / 'clip.webm', 3)}"
    await shelf.prepare("a", name, name)
    pictures, sound = await shelf.pictures("a", name), await shelf.sound("a", name)
    await shelf.prepare("b", name, name)
    assert await shelf.pictures("b", name) is pictures and await shelf.sound("b", name) is sound


async def test_a_bad_name_is_refused(shelf: SourceShelf) -> None:
    with pytest.raises(UsageError):
        await shelf.prepare("a", "nonsense", None)
    with pytest.raises(UsageError):
        await shelf.prepare("a", "test", "camera")


@pytest.mark.parametrize("choice", [42, b"test", SoundSource()])
async def test_what_is_no_source_of_pictures_is_refused(choice: Any, shelf: SourceShelf) -> None:
    with pytest.raises(UsageError, match="no source of video"):
        await shelf.prepare("a", choice, None)
