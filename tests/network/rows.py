"""One row of the laboratory: two parties on two networks, what they are given, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import traceback
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from tests.network.lab import NAMES
from tests.network.nat import Kind
from tests.network.servers import ice_servers
from tests.network.theory import Expectation, Help, Path, expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.network.lab import Lab, Site
    from tests.network.servers import Servers

ROOT = FilePath(__file__).parents[2]
READY_SECONDS = 30.0
"""For a process to start on a busy machine."""
DEADLINE_SECONDS = 15.0
"""The engine's own: until then it is `connected` or `failed`."""
GRACE_SECONDS = 3.0
ICE_TCP_PORT = 443


@dataclass(frozen=True)
class Row:
    """Who connects with whom, and what both are given. `first` offers."""

    first: Kind
    second: Kind
    helps: frozenset[Help] = frozenset()
    dead: bool = False
    """Servers that nobody is behind come first in the list."""
    rest: bool = False
    """REST credentials of a limited time, in place of long-term ones."""
    spare: bool = False
    """A second TURN server, by UDP."""
    relay_only: bool = False
    loss: float = 0.0
    """This share of the packets is lost at the first party's router, from the beginning."""
    answer_after: float = 0.0
    """Seconds that the answer is on its way, as when nobody takes the call at once."""
    forgets_after: int = 0
    """Seconds of silence after which both routers forget a UDP conversation; 0: as usual, half a minute."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Further fields of IceSettings, for both."""
    engines: tuple[str, str] = ("peer", "peer")
    media: tuple[str, ...] = ("audio",)

    @property
    def servers(self) -> str:
        names = [str(each) for each in Help if each in self.helps] or ["none"]
        if frozenset({Help.TURN_UDP, Help.TURN_TCP, Help.TURN_TLS}) <= self.helps:
            names = ["all"]
        more = {
            "dead ones first": self.dead,
            "REST": self.rest,
            "two TURN servers": self.spare,
            "relay only": self.relay_only,
            f"{self.loss:.0%} loss": self.loss,
            f"answer after {self.answer_after:g} s": self.answer_after,
            f"forgotten after {self.forgets_after} s": self.forgets_after,
            ", ".join(f"{name} {value}" for name, value in self.settings): self.settings,
        }
        return ", ".join([" + ".join(names), *(text for text, true in more.items() if true)])

    @property
    def name(self) -> str:
        with_whom = "" if self.engines == ("peer", "peer") else f" [{self.engines[0]} - {self.engines[1]}]"
        return f"{self.first} - {self.second}: {self.servers}{with_whom}"

    @property
    def is_usual(self) -> bool:
        """Whether nothing but the networks and the servers makes it special."""
        return replace(self, dead=False) == Row(self.first, self.second, self.helps, engines=self.engines)

    @property
    def expectation(self) -> Expectation:
        return expected(self.first, self.second, self.helps, relay_only=self.relay_only)


@dataclass
class Result:
    """What came of a row. Seconds count from the first party's start."""

    row: Row
    path: Path
    seconds: float | None = None
    """Until both were connected."""
    first_message: float | None = None
    """Until both had a message of the other."""
    first_sound: float | None = None
    failed_after: float | None = None
    pairs: list[Any] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    """What the engine says of a connection that failed."""
    troubles: list[str] = field(default_factory=list)
    """Exceptions in the parties."""
    events: list[list[dict[str, Any]]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        row = {**asdict(self.row), "helps": sorted(self.row.helps), "servers": self.row.servers}
        rest = {key: value for key, value in vars(self).items() if key not in ("row", "events")}
        return {"row": row, "expected": self.row.expectation.path, "reason": self.row.expectation.reason, **rest}


class Party:
    """A process in the host's namespace that takes part; see tests/network/party.py."""

    def __init__(self, site: Site, engine: str) -> None:
        self.site = site
        self._program = ("tests.network.browser_party",) if engine == "chromium" else ("tests.network.party", engine)
        self.events: list[dict[str, Any]] = []
        self.other: Party | None = None
        self.signal_after = 0.0
        """Seconds that what it says is on its way to the other one."""
        self._changed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._errors: asyncio.Task[bytes] | None = None

    async def open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.site.host, sys.executable, "-m", *self._program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=2**22,
        )
        assert self._process.stderr is not None
        self._reading = asyncio.create_task(self._read())
        self._errors = asyncio.create_task(self._process.stderr.read())
        if not await self.until(lambda: self.find(event="ready"), READY_SECONDS):
            raise RuntimeError(f"a party did not start: {self.events}")

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if "signal" in message:
                asyncio.get_running_loop().call_later(self.signal_after, self._pass_on, message)
            else:
                self.events.append(message)
                self._changed.set()
        self.events.append({"event": "ended"})
        self._changed.set()

    def _pass_on(self, message: dict[str, Any]) -> None:
        if self.other is not None:
            self.other.tell(message)

    def tell(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def until(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Waits until the condition holds of the events; its value, or the last one when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition() and not self.find(event="ended"):
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    def find(self, since: float = 0.0, **fields: Any) -> dict[str, Any] | None:
        """The first event with these fields that happened since then."""
        for event in self.events:
            if event.get("at", since) >= since and all(event.get(name) == value for name, value in fields.items()):
                return event
        return None

    def states(self, since: float = 0.0, name: str = "connection") -> list[tuple[float, str]]:
        return [
            (event["at"], event["value"])
            for event in self.events
            if event.get("event") == "state" and event["name"] == name and event["at"] >= since
        ]

    async def look(self) -> dict[str, Any]:
        """What arrived so far, and the selected pair."""
        seen = sum(event["event"] == "look" for event in self.events)
        self.tell({"do": "look"})
        await self.until(lambda: sum(event["event"] == "look" for event in self.events) > seen, 5)
        looks = [event for event in self.events if event["event"] == "look"]
        return looks[-1] if looks else {"arrivals": {}, "texts": [], "pair": None}

    def vanish(self) -> None:
        """Ends the process without a word to anybody."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self.tell({"do": "stop"})
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 8)
        except TimeoutError:
            self.events.append({"event": "error", "text": "did not end within 8 s of being told to"})
            self.vanish()
            await self._process.wait()
        if self._reading is not None:
            await self._reading
        if self._errors is not None and (text := (await self._errors).decode(errors="replace")).strip():
            self.events.append({"event": "stderr", "text": text})

    def troubles(self) -> list[str]:
        """Exceptions that nobody caught; warnings of the engine are none."""
        texts = [event["text"] for event in self.events if event["event"] == "error"]
        said = [event["text"] for event in self.events if event["event"] == "stderr"]
        return texts + [text for text in said if "Traceback" in text]


class Pairing:
    """Two parties of a row in two sites made for it. `async with`; everything goes with the block."""

    def __init__(self, lab: Lab, servers: Servers, row: Row, settings: dict[str, Any] | None = None) -> None:
        self.lab = lab
        self.row = row
        self._settings = settings or {}
        self._servers = servers
        self.sites: list[Site] = []
        self.parties: list[Party] = []
        self.began = 0.0

    async def __aenter__(self) -> Pairing:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _open(self) -> None:
        for kind in (self.row.first, self.row.second):
            self.sites.append(await self.lab.site(kind))
        for site, engine in zip(self.sites, self.row.engines, strict=True):
            self.parties.append(Party(site, engine))
        await asyncio.gather(asyncio.to_thread(self._spoil), *(party.open() for party in self.parties))
        first, second = self.parties
        second.signal_after = self.row.answer_after
        first.other, second.other = second, first

    def _spoil(self) -> None:
        if self.row.loss:
            self.sites[0].lose(self.row.loss)
        if self.row.forgets_after:
            for site in self.sites:
                site.forget_soon(self.row.forgets_after)

    def start(self) -> None:
        """The second party waits for the offer, the first one makes it."""
        for number in (1, 0):
            self.parties[number].tell({"do": "start", "options": self._options(number)})

    def _options(self, number: int) -> dict[str, Any]:
        settings: dict[str, Any] = {"ca_file": str(self._servers.ca_file), **dict(self.row.settings), **self._settings}
        if self.sites[number].kind is Kind.ONE_TO_ONE:
            settings["public_ips"] = [self.sites[number].public_address]
        if self.row.relay_only:
            settings["policy"] = "relay"
        if Help.ICE_TCP in self.row.helps and number == 1:
            settings["tcp_port"] = ICE_TCP_PORT
        return {
            "engine": self.row.engines[number],
            "offers": number == 0,
            "servers": self._ice_servers(number),
            "media": self.row.media,
            "room": self.sites[0].host,
            "settings": settings,
        }

    def _ice_servers(self, number: int) -> list[dict[str, Any]]:
        servers = ice_servers(self.row.helps, dead=self.row.dead, rest=self.row.rest)
        if self.row.spare:
            servers += ice_servers(frozenset({Help.TURN_UDP}), rest=not self.row.rest)
        if self.row.engines[number] != "chromium":
            return servers
        # Its own resolver asks the DNS server, which never answers, before it looks at the file of hosts.
        ipv6 = self.sites[number].kind is Kind.IPV6_ONLY
        text = json.dumps(servers)
        for name, addresses in NAMES.items():
            text = text.replace(name, f"[{addresses[-1]}]" if ipv6 else addresses[0])
        literal: list[dict[str, Any]] = json.loads(text)
        return literal

    async def settle(self) -> bool:
        """Waits until both are connected and have heard each other, or one has failed. Whether they are connected."""
        deadline = DEADLINE_SECONDS + GRACE_SECONDS + self.row.answer_after
        if "call" in self.row.engines:  # which first go into their room
            deadline += READY_SECONDS
        await asyncio.gather(*(party.until(partial(self._ended, party), deadline) for party in self.parties))
        if not all(party.find(event="state", name="connection", value="connected") for party in self.parties):
            return False
        # A data channel whose first packet is lost begins again only after seconds (RTO.Initial of RFC 9260).
        patience = GRACE_SECONDS * (10 if self.row.loss else 1)
        waits = [_heard(party, stream, patience) for party in self.parties for stream in self.streams]
        await asyncio.gather(*waits)
        return True

    @property
    def streams(self) -> tuple[str, ...]:
        """What both are to hear of each other."""
        if "ice" in self.row.engines:
            return ("ping",)
        return ("audio", "text") if "call" in self.row.engines else ("ping", *self.row.media)

    def _ended(self, party: Party) -> bool:
        other = self.parties[1 - self.parties.index(party)]
        connected = party.find(event="state", name="connection", value="connected")
        failed = party.find(event="state", name="connection", value="failed")
        return bool(connected or failed or other.find(event="ended"))

    def moment(self, **fields: Any) -> float | None:
        """Seconds from the first party's start until both had such an event; None when one never had it."""
        start = next((event for event in reversed(self.parties[0].events) if event["event"] == "start"), None)
        found = [party.find(**fields) for party in self.parties]
        if start is None or not all(found):
            return None
        last: float = max(event["at"] for event in found if event)
        return last - float(start["at"])

    async def _close(self) -> None:
        await asyncio.gather(*(party.close() for party in self.parties))
        await asyncio.gather(*(self.lab.remove(site) for site in self.sites))


async def _heard(party: Party, stream: str, seconds: float) -> None:
    await party.until(lambda: party.find(event="first", name=stream), seconds)


async def run(lab: Lab, servers: Servers, row: Row) -> Result:
    """Runs the row once. What goes wrong in the laboratory itself is a trouble of this row alone."""
    result = Result(row, Path.NONE)
    try:
        await _run(lab, servers, result)
    except Exception:
        result.troubles.append(traceback.format_exc())
    return result


async def _run(lab: Lab, servers: Servers, result: Result) -> None:
    row = result.row
    async with Pairing(lab, servers, row) as pairing:
        pairing.start()
        connected = await pairing.settle()
        if connected:
            result.pairs = [(await party.look())["pair"] for party in pairing.parties]
            result.path = path_of(result.pairs)
            result.seconds = pairing.moment(event="state", name="connection", value="connected")
            result.first_message = pairing.moment(event="first", name="text" if "call" in row.engines else "ping")
            result.first_sound = pairing.moment(event="first", name="audio")
        else:
            result.failed_after = pairing.moment(event="state", name="connection", value="failed")
            failures = [party.find(event="state", name="connection", value="failed") for party in pairing.parties]
            result.sentences = [failure.get("sentence", "") for failure in failures if failure]
    result.troubles = [text for party in pairing.parties for text in party.troubles()]
    result.events = [party.events for party in pairing.parties]


def path_of(pairs: list[Any]) -> Path:
    """How packets go, by the selected pairs of both sides; what is not known counts as direct."""
    ends = [end for pair in pairs if pair for end in (pair["local"], pair["remote"])]
    if any(end["type"] == "relay" for end in ends):
        return Path.RELAY
    if any(end["protocol"] == "tcp" for end in ends):
        return Path.TCP
    return Path.DIRECT
