"""Where a STUN or TURN server is: its name made into addresses, without blocking; and how a server fails."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from peer.rtc.ice import remedies
from peer.rtc.ice.interfaces import is_ip
from peer.rtc.ice.servers import UNREACHABLE, CandidateError

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.servers import IceServerUrl, IceSettings

MAX_PER_FAMILY: Final = 2
"""Addresses of one name and family that are used: the second covers for the first, more cost sockets and time."""


class ServerFailed(Exception):
    """A server that gave no candidate: a STUN error code or 701, the cause, and what can be done about it."""

    def __init__(self, code: int, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.advice = advice or remedies.advice(code)

    def error(self, url: str) -> CandidateError:
        return CandidateError(url, self.code, self.text, advice=self.advice)


def refused(code: int, reason: str) -> ServerFailed:
    """The failure that an error response stands for; `reason` is the server's own text."""
    return ServerFailed(code, remedies.cause(code, reason))


class Names:
    """The names of the servers of one generation: each is looked up once, however many URLs have it."""

    def __init__(self, settings: IceSettings) -> None:
        self._settings = settings
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def lookup(self, server: IceServerUrl, until: float) -> list[Address]:
        """Its addresses of the families that the settings allow, as the system prefers them. Raises ServerFailed.

        `until`, a time of the loop, is when it gives up: the system's resolver may take half a minute.
        """
        found = [server.host] if is_ip(server.host) else await self._resolve(server.host, until)
        kept: list[Address] = []
        for version, wanted in ((6, self._settings.ipv6), (4, self._settings.ipv4)):
            of_family = [host for host in dict.fromkeys(found) if (6 if ":" in host else 4) == version]
            kept += [(host, server.port) for host in of_family[:MAX_PER_FAMILY] if wanted]
        if not kept:
            version = 6 if self._settings.ipv4 else 4
            raise ServerFailed(
                UNREACHABLE, f"it has only IPv{version} addresses, which are switched off", f"switch IPv{version} on"
            )
        return sorted(kept, key=lambda address: found.index(address[0]))

    async def _resolve(self, name: str, until: float) -> list[str]:
        task = self._lookups.get(name)
        if task is None:
            task = self._lookups[name] = asyncio.create_task(_system_lookup(name), name=f"ice lookup of {name}")
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(task)
        except TimeoutError:
            text, advice = "its name could not be looked up in time", "check the name service of this host"
        except (OSError, UnicodeError):
            text, advice = "the name is not found", "check how it is written, and the name service of this host"
        raise ServerFailed(UNREACHABLE, text, advice)

    async def close(self) -> None:
        """Gives up what is under way; the system's own resolver may go on for a while on its thread."""
        for task in self._lookups.values():
            task.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)


async def _system_lookup(name: str) -> list[str]:
    answers = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    hosts = [str(answer[4][0]) for answer in answers]
    return [host for host in hosts if "%" not in host]
