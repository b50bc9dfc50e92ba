"""Where a STUN or TURN server is: its name made into addresses, without blocking; and how a server fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from peer.rtc.ice import remedies
from peer.rtc.ice.interfaces import is_ip
from peer.rtc.ice.servers import UNREACHABLE, CandidateError

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.servers import IceServerUrl, IceSettings

MAX_PER_FAMILY: Final = 2
"""Addresses of one name and family that are used: the second covers for the first, more cost sockets and time."""
MAX_LOOKUPS: Final = 8
"""Names that are looked up at once on one loop; others wait for their turn, until their deadline."""


class ServerFailed(Exception):
    """A server that gave no candidate: a STUN error code or 701, the cause, and what can be done about it."""

    def __init__(self, code: int, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.advice = advice or remedies.advice(code)

    def error(self, url: str) -> CandidateError:
        return CandidateError(url, self.code, self.text, advice=self.advice)


class NoRoute(ServerFailed):
    """One of its addresses cannot be reached from this host at all, as with IPv6 where there is none."""


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
            task = self._lookups[name] = asyncio.create_task(system_lookup(name), name=f"ice lookup of {name}")
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(task)
        except TimeoutError:
            text, advice = "its name could not be looked up in time", "check the name service of this host"
        except (OSError, UnicodeError):
            text, advice = "the name is not found", "check how it is written, and the name service of this host"
        raise ServerFailed(UNREACHABLE, text, advice)

    async def close(self) -> None:
        """Gives up what is under way; a thread of `system_lookup` may go on for a while."""
        for task in self._lookups.values():
            task.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)


async def system_lookup(name: str) -> list[str]:
    """What the system's resolver says: the hosts file, the name service, whatever it is set up for. Raises OSError.

    It can neither be asked without blocking nor be interrupted, and takes half a minute where the name service is dead.
    So each lookup has a thread of its own that nobody waits for: on the loop's default executor it would hold up the
    end of the program. Threads of names that were given up count until they are over; there is one for each name.
    """
    lookups = _lookups.setdefault(asyncio.get_running_loop(), _Lookups())
    return await lookups.ask(name)


class _Lookups:
    """The lookups of one loop."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[str]]] = {}
        self._turns = asyncio.Semaphore(MAX_LOOKUPS)

    async def ask(self, name: str) -> list[str]:
        if name not in self._running:
            await self._turns.acquire()
            if name in self._running:  # somebody else began while this one waited
                self._turns.release()
            else:
                self._start(name)
        return await asyncio.shield(self._running[name])

    def _start(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def over(_: asyncio.Future[list[str]]) -> None:
            del self._running[name]
            self._turns.release()
            answer.exception()  # nobody may be waiting for it any more

        self._running[name] = answer
        answer.add_done_callback(over)
        threading.Thread(target=_look_up, args=(name, loop, answer), name=f"look up {name}", daemon=True).start()


_lookups: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lookups] = WeakKeyDictionary()


def _look_up(name: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str]]) -> None:
    """On the thread."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)]
    except Exception as error:  # OSError; UnicodeError for what cannot be a name
        deliver = partial(answer.set_exception, error)
    else:
        deliver = partial(answer.set_result, [host for host in found if "%" not in host])
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(deliver)
