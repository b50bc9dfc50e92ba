"""What the findings mean: sentences that say what is wrong and what to do, and the exit code. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal

from peer.doctor.findings import SIGNALING
from peer.doctor.nat import is_symmetric
from peer.rtc.ice import remedies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.doctor.findings import CallFinding, Findings, ServerFinding

UNREACHABLE: Final = 3
CHECK_FAILED: Final = 8

_EXPIRY: Final = re.compile(r"(\d{9,11})(?::|$)")
"""User of the TURN REST API: the second of the epoch until which the password holds, and a name."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to say. A `problem` makes the examination fail, a `note` does not."""

    level: Literal["problem", "note"]
    text: str


def diagnose(findings: Findings) -> list[Sentence]:
    """Everything there is to say, the problems first."""
    said = [
        *_signaling(findings),
        *_ways(findings),
        *_servers(findings),
        *_nat(findings),
        *_calls(findings),
        *(Sentence("note", remark) for remark in findings.remarks),
    ]
    unique = list(dict.fromkeys(said))
    return sorted(unique, key=lambda sentence: sentence.level != "problem")


def exit_code(findings: Findings) -> int:
    """0 all well, 3 the signaling server cannot be reached, 8 a check failed."""
    if findings.signaling is not None and findings.signaling.error is not None:
        return UNREACHABLE
    return CHECK_FAILED if any(sentence.level == "problem" for sentence in diagnose(findings)) else 0


def summary(findings: Findings) -> str:
    """The last line."""
    problems = sum(sentence.level == "problem" for sentence in diagnose(findings))
    if problems:
        return f"{problems} problem{'s' if problems > 1 else ''} found in {findings.seconds:.1f} s"
    ways = list(dict.fromkeys(_way(call) for call in findings.calls if call.seconds is not None))
    through = f"; calls work {', '.join(ways)}" if ways else ""
    return f"all is well{through} ({findings.seconds:.1f} s)"


def _way(call: CallFinding) -> str:
    ways = {"direct": "directly", "public address": "over the public address", "ICE-TCP": "by TCP without TURN"}
    return ways.get(call.path, f"through {call.url}")


def _signaling(findings: Findings) -> Iterator[Sentence]:
    if findings.signaling is not None and findings.signaling.error is not None:
        yield Sentence("problem", findings.signaling.error)


# Servers


def _servers(findings: Findings) -> Iterator[Sentence]:
    if not findings.servers:
        yield Sentence("note", remedies.NO_SERVER)
        return
    explained = {server for family in (6, 4) for server in _broken_family(findings, family)} | set(_blocked(findings))
    for server in findings.servers:
        if server.error is not None and server not in explained:
            yield Sentence("problem", _failure(server, findings))
        elif server.error is None and server.turn:
            yield from _relay(server)
    turns = [server for server in findings.servers if server.turn]
    good = [server for server in turns if server.good]
    if not turns:
        yield Sentence("note", remedies.NO_TURN)
    elif good and all(server.transport == "udp" for server in turns):
        yield Sentence("note", remedies.NO_STREAM)


def _failure(server: ServerFinding, findings: Findings) -> str:
    error = server.error
    assert error is not None
    text, advice = error.error_text, error.advice or remedies.REACHABLE
    where = _where(server)
    if error.error_code in remedies.WRONG_CREDENTIALS:
        text, advice = f"user {_short(server.username)} or the password is refused", f"correct them {where}"
        expired = _expired(server.username, findings.at)
        if expired is not None:
            text, advice = f"the password of user {_short(server.username)} expired {expired} ago", f"renew it {where}"
    else:
        if server.silent and server.transport == "udp" and server.tcp_opens is not None:
            opens = "but TCP to the same port opens" if server.tcp_opens else "and TCP to the same port does not open"
            text += f", {opens}"
        if server.origin != "--ice-server":
            advice += f"; it is named {where}"
    return remedies.server_sentence(named(server, findings), error.error_code, text, advice)


def named(server: ServerFinding, findings: Findings) -> str:
    """Its URL; with the family, where it was asked by both."""
    several = sum(each.url == server.url and each.address is not None for each in findings.servers) > 1
    return f"{server.url} (IPv{version(server.address[0])})" if several and server.address else server.url


def _where(server: ServerFinding) -> str:
    return f"on {SIGNALING}" if server.origin == SIGNALING else f"in {server.origin}"


def _short(name: str | None) -> str:
    name = name or ""
    return name if len(name) <= 40 else f"{name[:39]}…"


def _expired(username: str | None, now: float) -> str | None:
    """How long ago, where the user says until when its password holds."""
    match = _EXPIRY.match(username or "")
    if match is None or (past := now - int(match[1])) <= 0:
        return None
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if past >= 2 * seconds:
            return f"{past / seconds:.0f} {unit}"
    return f"{past:.0f} s"


def _relay(server: ServerFinding) -> Iterator[Sentence]:
    if server.address is not None and ip_address(server.address[0]).is_global:
        for host, _ in server.relayed:
            if not ip_address(host).is_global:
                yield Sentence(
                    "problem",
                    f"{server.url}: it relays at {host}, which nobody outside its network reaches; "
                    "tell it its public address (coturn: external-ip)",
                )
                return
    if not server.carries:
        host, port = server.relayed[0] if server.relayed else ("its relay address", 0)
        yield Sentence(
            "problem",
            f"{server.url}: the relay at {host}{f':{port}' if port else ''} was given, but no packet came through it; "
            "open the server's relay ports (UDP) in its firewall, and let it relay to its own address",
        )


# Network


def _ways(findings: Findings) -> Iterator[Sentence]:
    """What has one cause, and is not told of each server then."""
    for family in (6, 4):
        if _broken_family(findings, family):
            own = next((host.address for host in findings.hosts if version(host.address) == family), "")
            yield Sentence("problem", remedies.family_broken(family, own))
    blocked = _blocked(findings)
    if blocked:
        streams = [server for server in findings.servers if server.transport != "udp" and server.good]
        works = streams[0].url if streams else None
        urls = [server.url for server in blocked]
        yield Sentence("problem", remedies.udp_blocked(urls, works, _host(urls[0])))
    asked = [server for server in findings.servers if server.address is not None]
    if len(asked) > 1 and all(server.silent and not server.tcp_opens for server in asked):
        yield Sentence("problem", remedies.NOTHING_ANSWERS)


def version(address: str) -> int:
    return 6 if ":" in address else 4


def _broken_family(findings: Findings, family: int) -> list[ServerFinding]:
    """The servers that are silent because no packet of this family comes back; others answer by the other one."""
    asked = [server for server in findings.servers if server.address is not None]
    of_family = [server for server in asked if server.address and version(server.address[0]) == family]
    others = [server for server in asked if server not in of_family]
    broken = all(server.silent and not server.tcp_opens for server in of_family)
    return of_family if broken and any(server.good for server in others) else []


def _blocked(findings: Findings) -> list[ServerFinding]:
    """The servers that are silent because UDP does not get out, as far as that can be told: TCP has to."""
    aside = {server for family in (6, 4) for server in _broken_family(findings, family)}
    asked = [server for server in findings.servers if server.address is not None and server not in aside]
    by_udp = [server for server in asked if server.transport == "udp"]
    silent = [server for server in by_udp if server.silent]
    if len(silent) < len(by_udp) or not any(server.tcp_opens or server.good for server in asked):
        return []
    return silent


def _host(url: str) -> str:
    match = re.match(r"\w+:(\[[^\]]+\]|[^:?]+)", url)
    return match[1] if match else "HOST"


def _nat(findings: Findings) -> Iterator[Sentence]:
    if any(is_symmetric(nat) for nat in findings.nats):
        relayed = any(server.turn and server.good for server in findings.servers)
        yield Sentence("note", remedies.SYMMETRIC_RELAYED) if relayed else Sentence("problem", remedies.SYMMETRIC)


# Calls


def _calls(findings: Findings) -> Iterator[Sentence]:
    calls = [call for call in findings.calls if call.path != "ICE-TCP"]
    by_tcp = [call for call in findings.calls if call.path == "ICE-TCP"]
    if by_tcp and not any(call.error is None for call in by_tcp):
        yield Sentence("problem", f"{by_tcp[0].to} offers ICE-TCP, but not so that we reach it: {by_tcp[0].error}")
    for call in calls:
        if call.error is not None:
            yield _broken(call)
        elif call.echoed is False:
            yield Sentence(
                "problem",
                f"{_named(call)} opened, but no text came back within it; try again, and report it if it stays",
            )
    if calls and all(call.own for call in calls):
        yield Sentence("note", _own_ends(findings))


def lacks_hairpinning(call: CallFinding) -> bool:
    """Whether it failed because both of its ends are behind one NAT, which says nothing of calls to others."""
    return call.path == "public address" and call.own and call.error is not None


def _broken(call: CallFinding) -> Sentence:
    if lacks_hairpinning(call):
        return Sentence(
            "note",
            "this NAT does not lead its own public address back to us (no hairpinning): "
            "two peers behind it use their private addresses, or TURN",
        )
    return Sentence("problem", f"{_named(call)} failed: {call.error}" if call.answered else f"{call.error}")


def _named(call: CallFinding) -> str:
    to = "" if call.own else f" to {call.to}"
    return f"the direct call{to}" if call.path == "direct" else f"the call{to} {_way(call)}"


def _own_ends(findings: Findings) -> str:
    relayed = any(call.path == "relay" for call in findings.calls)
    proves = "the signaling server and the relays" if relayed else "the signaling server"
    signaling = findings.signaling
    where = f"{signaling.url} --room {signaling.room}" if signaling is not None else "URL --room doctor"
    return (
        f"both ends of the calls were on this host, so they prove {proves}, not the network of others; "
        f"to have that tried, run on another machine: peer call {where} --name echo"
    )
