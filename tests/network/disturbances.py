"""What happens to a connection that is up: outages, new addresses, loss, a party that vanishes; and what came of it."""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.network.rows import Pairing, Row, path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.network.lab import Lab, Site
    from tests.network.servers import Servers

STEADY_SECONDS = 1.5
"""How long media flows before anything happens."""


@dataclass(frozen=True)
class Trouble:
    """What is done to the first party's network: for `seconds`, then `after` seconds are watched.

    `what`: "outage", "new LAN address", "new WAN address", "new network" (both of them), "both move" (a new LAN address
    for each party), "both restart" (ICE, at the same time), "relay gone" (the TURN server in use), "loss" (a share of
    `loss`), "vanish" (the first party).
    """

    what: str
    row: Row
    seconds: float = 0.0
    loss: float = 0.0
    after: float = 4.0
    settings: tuple[tuple[str, float], ...] = ()
    """Further fields of IceSettings, for both."""

    @property
    def name(self) -> str:
        how = {"outage": f" of {self.seconds:g} s", "loss": f" of {self.loss:.0%} for {self.seconds:g} s"}
        return f"{self.what}{how.get(self.what, '')}, {self.row.name}"


@dataclass
class Outcome:
    """What came of it. Lists have an entry for each party; times are seconds from the beginning or the end of it."""

    trouble: Trouble
    connected: bool = False
    """Before anything happened."""
    path: str = ""
    disconnected_after: list[float | None] = field(default_factory=list)
    """From its beginning to `disconnected`; None: never."""
    connected_after: list[float | None] = field(default_factory=list)
    """From its end to the last `connected`; None: it was that all the time, or never became it again."""
    final: list[str] = field(default_factory=list)
    gaps: list[dict[str, float]] = field(default_factory=list)
    """The longest time in which nothing arrived, by stream, from the beginning until the end of watching."""
    back_after: list[dict[str, float | None]] = field(default_factory=list)
    """From its end to the next arrival, by stream."""
    share: list[dict[str, float]] = field(default_factory=list)
    """Of what should have arrived during it, by stream."""
    began: float = 0.0
    """On the clock of the events."""
    texts: list[list[int]] = field(default_factory=list)
    """The numbers of the texts that came, where numbered texts were sent."""
    failed_after: list[float | None] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    events: list[list[dict[str, Any]]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        rest = {key: value for key, value in asdict(self).items() if key not in ("trouble", "events")}
        return {"trouble": self.trouble.name, **rest}


async def run(lab: Lab, servers: Servers, trouble: Trouble) -> Outcome:
    """Runs it once. What goes wrong in the laboratory itself is a trouble of this one alone."""
    outcome = Outcome(trouble)
    try:
        await _run(lab, servers, outcome)
    except Exception:
        outcome.troubles.append(traceback.format_exc())
    return outcome


async def _run(lab: Lab, servers: Servers, outcome: Outcome) -> None:
    trouble = outcome.trouble
    async with Pairing(lab, servers, trouble.row, dict(trouble.settings)) as pairing:
        pairing.start()
        outcome.connected = await pairing.settle()
        if outcome.connected:
            outcome.path = path_of([(await party.look())["pair"] for party in pairing.parties])
            await asyncio.sleep(STEADY_SECONDS)
            began = outcome.began = time.monotonic()
            ended = await _disturb(pairing, trouble)
            await asyncio.sleep(trouble.after)
            await _judge(outcome, pairing, began, ended)
    outcome.troubles = [text for party in pairing.parties for text in party.troubles()]
    outcome.events = [party.events for party in pairing.parties]


async def _disturb(pairing: Pairing, trouble: Trouble) -> float:
    """Does it; when it ended, or when it began to end: the rule that ends an outage takes a moment to be there."""
    site: Site = pairing.sites[0]
    match trouble.what:
        case "outage" | "loss":
            disturb = partial(site.lose, trouble.loss) if trouble.what == "loss" else site.cut
            await asyncio.to_thread(disturb)
            await asyncio.sleep(trouble.seconds)
            ended = time.monotonic()
            await asyncio.to_thread(site.mend)
            return ended
        case "new LAN address":
            await asyncio.to_thread(site.move_host)
        case "new WAN address":
            await asyncio.to_thread(site.move_router)
        case "new network":
            await asyncio.to_thread(site.move_router)
            await asyncio.to_thread(site.move_host)
        case "both move":
            await asyncio.gather(*(asyncio.to_thread(each.move_host) for each in pairing.sites))
        case "both restart":
            for party in pairing.parties:
                party.tell({"do": "restart"})
        case "relay gone":
            gone = await _relay_in_use(pairing)
            await asyncio.gather(*(asyncio.to_thread(each.close_off, gone) for each in pairing.sites))
        case "vanish":
            pairing.parties[0].vanish()
        case _:
            raise ValueError(trouble.what)
    return time.monotonic()


async def _relay_in_use(pairing: Pairing) -> str:
    for party in pairing.parties:
        pair = (await party.look())["pair"]
        for end in ("local", "remote"):
            if pair and pair[end]["type"] == "relay":
                return str(pair[end]["address"])
    raise RuntimeError("no relay is in use")


async def _judge(outcome: Outcome, pairing: Pairing, began: float, ended: float) -> None:
    until = time.monotonic()
    streams = pairing.streams
    for number, party in enumerate(pairing.parties):
        states = party.states(began)
        before = [value for at, value in party.states() if at < began]
        outcome.final.append(states[-1][1] if states else before[-1])
        outcome.disconnected_after.append(_first(states, "disconnected", began))
        again = [at for at, value in states if value == "connected"]
        outcome.connected_after.append(round(again[-1] - ended, 3) if again else None)
        outcome.failed_after.append(_first(states, "failed", began))
        outcome.sentences += [
            event["sentence"] for event in party.events if event.get("sentence") and event.get("at", 0) >= began
        ]
        if outcome.trouble.what == "vanish" and number == 0:
            arrivals: dict[str, list[float]] = {}
        else:
            seen = await party.look()
            arrivals = seen["arrivals"]
            outcome.texts.append(seen.get("texts", []))
        outcome.gaps.append({name: round(longest_gap(arrivals.get(name, ()), began, until), 3) for name in streams})
        outcome.back_after.append({name: _next(arrivals.get(name, ()), ended) for name in streams})
        expected = max(ended - began, 0.02) / 0.02
        outcome.share.append(
            {name: round(sum(began <= at < ended for at in arrivals.get(name, ())) / expected, 2) for name in streams}
        )


def longest_gap(arrivals: Sequence[float], since: float, until: float) -> float:
    """The longest time between two arrivals, or between one and an end of the window."""
    inside = [at for at in arrivals if since < at < until]
    before = [at for at in arrivals if at <= since]
    marks = [before[-1] if before else since, *inside, until]
    return max(later - earlier for earlier, later in pairwise(marks))


def _first(states: list[tuple[float, str]], wanted: str, since: float) -> float | None:
    return next((round(at - since, 3) for at, value in states if value == wanted), None)


def _next(arrivals: Sequence[float], after: float) -> float | None:
    return next((round(at - after, 3) for at in arrivals if at >= after), None)
