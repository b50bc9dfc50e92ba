"""The keys of a running server: read from their files, and read anew when those change, without a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from signaling.credentials import Verifier
from signaling.keys import BadKey, Key, parse_keys, secret_key

if TYPE_CHECKING:
    from pathlib import Path

    from signaling.settings import Access

logger = logging.getLogger(__name__)

POLL: Final = 1.0  # seconds between looks whether a file changed
_MAX_FILE: Final = 256 * 1024

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Keyring:
    """The keys that `access` names. `load()` reads them; `watch()` goes on reading them."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._stamp: _Stamp = ()
        self.verifier = Verifier(keys=(), audience=access.audience, leeway=access.leeway)
        """Checks tokens with the keys of now."""

    def load(self) -> None:
        """Reads all keys; blocks. Raises BadKey, and nothing changes then."""
        self._stamp = self._look()  # before the files are read: one that changes meanwhile is read again
        keys = [*map(secret_key, self._access.secrets), *(key for path in self._access.key_files for key in read(path))]
        if not keys:
            raise BadKey("there is no key to check tokens with; name a key file")
        access = self._access
        self.verifier = Verifier(keys=tuple(keys), audience=access.audience, leeway=access.leeway)

    def reload(self) -> bool:
        """Reads the keys again if a file changed; whether they are new. Blocks. A bad file leaves the old ones."""
        if self._look() == self._stamp:
            return False
        try:
            self.load()
        except BadKey as error:
            logger.warning("the keys stay what they were: %s", error)
            return False
        logger.info("the keys were read anew: %d", len(self.verifier.keys))
        return True

    async def watch(self) -> None:
        """Reloads for ever."""
        while True:
            await asyncio.sleep(POLL)
            await asyncio.to_thread(self.reload)

    def _look(self) -> _Stamp:
        return tuple(map(_stamp, self._access.key_files))


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file; blocks. Raises BadKey, which names the file."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise BadKey("it is too long for a key file")
        return parse_keys(data.decode())
    except OSError as error:
        raise BadKey(f"the key file {path} cannot be read ({error.strerror}); correct its name or rights") from error
    except UnicodeDecodeError as error:
        raise BadKey(f"the key file {path} is no text; write its keys as PEM or JSON") from error
    except BadKey as error:
        raise BadKey(f"in the key file {path}: {error}") from error


def new_secret() -> str:
    """The text of a key file with a fresh secret of 256 bits."""
    return secrets.token_urlsafe(32) + "\n"


def new_key_pair() -> tuple[str, str]:
    """The texts of two key files: a fresh Ed25519 key, and its public half."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
