"""The keys of a running server follow their files, and a bad file never leaves it without any."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from signaling.app import Access, Server, Settings
from signaling.keyring import Keyring, read
from signaling.keys import BadKey, secret_key
from tests.signaling.tokens import token

if TYPE_CHECKING:
    from pathlib import Path

    from tests.signaling.conftest import Connect, Serve

OLD, NEW = "old-secret-" * 4, "new-secret-" * 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(OLD)
    return path


def secrets_of(keyring: Keyring) -> list[bytes]:
    return [key.key for key in keyring.verifier.keys]


def test_keys_are_rotated_over_a_time_with_both(file: Path) -> None:
    keyring = Keyring(Access(key_files=(file,), audience="ours", leeway=5))
    keyring.load()
    assert secrets_of(keyring) == [OLD.encode()]
    assert not keyring.reload()
    for text, expected in ((f"{OLD}\n{NEW}", [OLD, NEW]), (NEW, [NEW])):
        file.write_text(text)
        assert keyring.reload()
        assert secrets_of(keyring) == [secret.encode() for secret in expected]
    assert (keyring.verifier.audience, keyring.verifier.leeway) == ("ours", 5)


def test_a_file_that_was_put_in_its_place_is_noticed(file: Path) -> None:
    keyring = Keyring(Access(key_files=(file,)))
    keyring.load()
    before = file.stat()
    other = file.with_suffix(".new")
    other.write_text(NEW)  # as long as the old one
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert keyring.reload()
    assert secrets_of(keyring) == [NEW.encode()]


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff" * 40, b"#" * 300_000])
def test_a_bad_file_leaves_the_old_keys(file: Path, content: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    keyring = Keyring(Access(key_files=(file,), secrets=("s" * 40,)))
    keyring.load()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert not keyring.reload()
    assert secrets_of(keyring) == [b"s" * 40, OLD.encode()]
    assert str(file) in caplog.text
    with pytest.raises(BadKey, match="keys"):
        read(file)
    file.write_text(NEW)
    assert keyring.reload()


async def test_a_server_takes_new_keys_without_a_restart(
    file: Path, serve: Serve, join: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.keyring.POLL", 0.01)
    reloaded = asyncio.Event()
    loop = asyncio.get_running_loop()
    reload = Keyring.reload

    def noticed(keyring: Keyring) -> bool:
        if changed := reload(keyring):
            loop.call_soon_threadsafe(reloaded.set)
        return changed

    monkeypatch.setattr(Keyring, "reload", noticed)
    server = await serve(access=Access(key_files=(file,)))
    alice = await (await join(server)).join("alice", token=token(secret_key(OLD)))
    await asyncio.to_thread(file.write_text, NEW)
    async with asyncio.timeout(10):
        await reloaded.wait()
    late = await join(server)
    await late.send(type="join", version=1, room="lab", name="late", token=token(secret_key(OLD)))
    assert await late.error() == "token-invalid"
    await (await join(server)).join("bob", token=token(secret_key(NEW)))
    await alice.next("joined")  # who is in stays in


async def test_a_server_does_not_start_without_its_keys(tmp_path: Path) -> None:
    server = Server(Settings(port=0, access=Access(key_files=(tmp_path / "absent",))))
    with pytest.raises(BadKey, match="absent"):
        await server.start()
