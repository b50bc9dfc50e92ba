"""Voices for `call.say(text, voice)` that need no account and no network. Any callable is one, see `Call.say`."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Final

import numpy as np

from peer.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

PROGRAM: Final = "espeak-ng"
HEADER: Final = 44
"""Bytes of a WAV file before its samples, as the program writes it."""
BLOCK: Final = 8192
"""Bytes of sound taken at a time; what nobody takes waits in the program."""
LONGEST: Final = 20_000
"""Characters: half an hour of speech."""


class Espeak:
    """The speech synthesizer espeak-ng of the system: robotic, quick, a hundred languages."""

    def __init__(self, language: str = "en", *, words_per_minute: int = 160, pitch: int = 50) -> None:
        """`language`: as `espeak-ng --voices` lists them; `pitch`: 0 to 99.

        Raises:
            UsageError: it is not installed.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            text = f"{PROGRAM} is not installed; sudo apt-get install {PROGRAM}, or give say() another voice"
            raise UsageError(text)
        self._command = (program, "-v", language, "-s", str(words_per_minute), "-p", str(pitch), "--stdin", "--stdout")

    async def __call__(self, text: str) -> AsyncIterator[tuple[NDArray[np.int16], int]]:
        """PCM of the text, as it is made: pairs of mono int16 samples and their rate.

        Raises:
            DeviceError: the program failed, for want of the language for example.
        """
        if len(text) > LONGEST:
            raise UsageError(f"{len(text)} characters cannot be said at once; say at most {LONGEST}")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=pipe)
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            with contextlib.suppress(ConnectionError):  # it ended at once; below is why
                process.stdin.write(text.encode())
                await process.stdin.drain()
            process.stdin.close()
            header, rest = await process.stdout.read(HEADER), b""
            while len(header) < HEADER and (more := await process.stdout.read(HEADER - len(header))):
                header += more
            rate = int.from_bytes(header[24:28], "little")
            while rate and (block := await process.stdout.read(BLOCK)):
                block = rest + block
                whole = len(block) // 2 * 2
                rest = block[whole:]
                yield np.frombuffer(block[:whole], "<i2"), rate
            if await process.wait() or not rate:
                said = (await process.stderr.read(1000)).decode(errors="replace").strip()
                raise DeviceError(f"{PROGRAM} said nothing: {said or 'it failed'}; try it in a terminal")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
