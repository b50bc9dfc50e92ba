"""Where access tokens are from: one that never changes, a file, or a coroutine that gets a fresh one each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from peer.errors import SignalingError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TokenSource: TypeAlias = str | Callable[[], Awaitable[str]]
"""A token, or what is awaited for a fresh one: whenever we connect, and before the one so far ends."""

MAX_FILE: Final = 64 * 1024
LASTING: Final = {"forbidden", "kicked", "room-closed", "unsupported-version"}
"""Refusals of a token that no later attempt mends."""
OF_TOKENS: Final = {"token-missing", "token-invalid", "token-expired"}
"""Refusals that another token mends."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The token in a file, which is read each time: whoever writes a fresh one there keeps us in."""

    path: Path

    async def __call__(self) -> str:
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            with self.path.open("rb") as file:
                text = file.read(MAX_FILE).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no token"
            raise UsageError(f"the token in {self.path} cannot be read ({reason}); correct --token-file") from error
        if not text:
            raise UsageError(f"{self.path} is empty; write the token into it")
        return text


async def token_of(source: TokenSource | None) -> str | None:
    """The token of now.

    Raises:
        SignalingError: whatever was to get one failed.
        UsageError: a file that cannot be read.
    """
    if source is None or isinstance(source, str):
        return source
    try:
        token = await source()
    except (UsageError, SignalingError):
        raise
    except Exception as error:
        text = f"no access token could be had ({type(error).__name__}: {error}); see to what gets it"
        raise SignalingError(text, "token-missing") from error
    if not isinstance(token, str):
        raise UsageError(f"what is to get an access token gave {type(token).__name__}; return a string")
    return token


def lasting(code: str, source: TokenSource | None) -> bool:
    """Whether trying to join again is of no use after a refusal with this code."""
    return code in LASTING or (code in OF_TOKENS and (source is None or isinstance(source, str)))
