"""Why there is no path, in a sentence that says what to do. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.candidate import endpoint
from peer.rtc.ice.remedies import server_words, servers_advice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.pairs import PairReport
    from peer.rtc.ice.servers import CandidateError

MOST: Final = 4
"""Pairs, candidates and servers that a sentence names; the others it counts."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What was tried, and what came of it."""

    relay_only: bool = False
    turn_servers: int = 0
    seconds: float = 0.0
    """The time there was, or how long the silence lasts."""
    started: bool = True
    """Whether the other side's credentials are known."""
    had_path: bool = False
    gathering: bool = False
    local: Sequence[Candidate] = ()
    remote: Sequence[Candidate] = ()
    unresolved: Sequence[str] = ()
    """Names of the other side that nobody answered to."""
    pairs: Sequence[PairReport] = ()
    errors: Sequence[CandidateError] = ()
    rejected: int = 0
    """Checks that came with the wrong password."""


def explain(attempt: Attempt) -> str:
    """The stage it failed at, what was tried there, and what to do about it."""
    if attempt.relay_only and not attempt.turn_servers:
        return "only relayed paths are allowed and no TURN server is given; add a turn: server, or allow all paths"
    if not attempt.started:
        return "the other side has not answered with its description; check that it is there and takes the call"
    if attempt.had_path:
        return _lost(attempt)
    if not attempt.local and not attempt.gathering:
        return _no_address(attempt)
    if not attempt.pairs:
        return _no_pairs(attempt)
    return _no_answer(attempt)


def _lost(attempt: Attempt) -> str:
    used = next((pair for pair in attempt.pairs if pair.selected), None)
    path = f" over {_path(used)}" if used is not None else ""
    return (
        f"the other side has not been heard of for {_span(attempt.seconds)} s{path}; "
        "check that it is still there and that the network between is up, then restart ICE or call again"
    )


def _no_address(attempt: Attempt) -> str:
    if attempt.relay_only or attempt.errors:
        servers = _servers(attempt.errors)
        return f"this host found no address to be reached at{servers}; {servers_advice(attempt.errors)}"
    return "this host has no network address that may be used; check its network and the interface filter"


def _no_pairs(attempt: Attempt) -> str:
    ours = _listed(_short(candidate) for candidate in attempt.local)
    if not attempt.remote:
        hidden = f" (its names {_listed(attempt.unresolved)} could not be resolved)" if attempt.unresolved else ""
        return (
            f"the other side named no address{hidden} and no check of it arrived within {_span(attempt.seconds)} s "
            f"at {ours or 'any of ours'}{_servers(attempt.errors)}; check that candidates are passed on in both "
            f"directions, or {_turn_advice(attempt)}"
        )
    theirs = _listed(_short(candidate) for candidate in attempt.remote)
    return (
        f"none of the other side's addresses ({theirs}) can be reached from ours ({ours or 'none yet'})"
        f"{_servers(attempt.errors)}; {_turn_advice(attempt)}"
    )


def _no_answer(attempt: Attempt) -> str:
    tried = _listed(f"{_path(pair)} ({_outcome(pair)})" for pair in attempt.pairs)
    guess = f"; {attempt.rejected} checks came with an old password" if attempt.rejected else ""
    unresolved = f"; no answer to the names {_listed(attempt.unresolved)}" if attempt.unresolved else ""
    return (
        f"no path worked within {_span(attempt.seconds)} s: tried {tried}"
        f"{_servers(attempt.errors)}{unresolved}{guess}; {_turn_advice(attempt)}"
    )


def _outcome(pair: PairReport) -> str:
    if pair.error is not None:
        return f"refused: {pair.error}"
    if pair.requests_sent == 0:
        return "not tried"
    checks = f"{pair.requests_sent} check{'s' if pair.requests_sent > 1 else ''} without an answer"
    return f"{checks}, though its checks arrive" if pair.requests_received else checks


def _turn_advice(attempt: Attempt) -> str:
    if not attempt.turn_servers:
        return "add a TURN server, or open UDP between the two"
    if any(candidate.type == "relay" for candidate in attempt.local):
        return "check that the TURN server may reach the other side, and that the other side is still there"
    return servers_advice(attempt.errors)


def _servers(errors: Sequence[CandidateError]) -> str:
    worst: dict[str, CandidateError] = {}
    for error in errors:
        worst.setdefault(error.url, error)
    if not worst:
        return ""
    return "; " + _listed(server_words(each.url, each.error_code, each.error_text) for each in worst.values())


def _span(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 2 else f"{seconds:.1f}"


def _path(pair: PairReport) -> str:
    return f"{_short(pair.local)} to {_short(pair.remote)}"


def _short(candidate: Candidate) -> str:
    kind = candidate.type if candidate.protocol == "udp" else f"{candidate.type} tcp"
    return f"{kind} {endpoint(candidate.address, candidate.port)}"


def _listed(items: Iterable[str]) -> str:
    """The first few, and how many more."""
    counted = Counter(items)
    named = list(counted)[:MOST]
    more = len(counted) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
