"""The findings as a table and as JSON. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer.doctor.diagnosis import diagnose, exit_code, lacks_hairpinning, named, summary
from peer.rtc.ice.candidate import endpoint
from peer.rtc.ice.remedies import shows_sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.doctor.findings import Address, CallFinding, Findings, NatFinding, ServerFinding


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `good` None: it is neither good nor bad."""

    check: str
    good: bool | None
    seconds: float | None
    details: str

    @property
    def result(self) -> str:
        return {True: "ok", False: "failed", None: "-"}[self.good]


def rows(findings: Findings) -> list[Row]:
    """The table, in the order of the examination."""
    return [
        *_host_rows(findings),
        *_signaling_rows(findings),
        *(_server_row(server, findings) for server in findings.servers),
        *_way_rows(findings),
        *(_nat_row(nat) for nat in findings.nats),
        *(_tcp_row(call, findings) if call.path == "ICE-TCP" else _call_row(call) for call in findings.calls),
    ]


def _host_rows(findings: Findings) -> Iterator[Row]:
    hosts = ", ".join(f"{each.address} ({each.interface})" for each in findings.hosts)
    yield Row("this host", bool(findings.hosts), None, hosts or "no address that calls may use")


def _signaling_rows(findings: Findings) -> Iterator[Row]:
    signaling = findings.signaling
    if signaling is not None:
        count = len(signaling.ice_servers)
        handed = f"room {signaling.room}; hands out {count or 'no'} ICE server{'s' if count != 1 else ''}"
        yield Row(signaling.url, signaling.error is None, signaling.seconds, signaling.error or handed)


def _server_row(server: ServerFinding, findings: Findings) -> Row:
    return Row(named(server, findings), server.good, server.seconds, _server_details(server))


def _server_details(server: ServerFinding) -> str:
    if server.error is not None:
        code = server.error.error_code
        return server.error.error_text + (f" ({code})" if code != 701 else "")
    seen = f"sees us as {address(server.mapped)}" if server.mapped else ""
    if not server.turn:
        return seen
    relayed = f"relays at {' and '.join(address(each) for each in server.relayed)}"
    carried = f"a packet came through in {milliseconds(server.carried)}" if server.carries else "nothing came through"
    return ", ".join(part for part in (relayed, carried, seen) if part)


def _way_rows(findings: Findings) -> Iterator[Row]:
    """Whether UDP, TCP and TLS get out, as far as servers were asked that way."""
    out = reached(findings)
    if out:
        words = {True: "yes", False: "no", None: "not tried"}
        told = ", ".join(f"{way.upper()} {words[out.get(way)]}" for way in ("udp", "tcp", "tls"))
        yield Row("gets out", None, None, told)


def reached(findings: Findings) -> dict[str, bool]:
    """For each way that was tried, whether anything came back on it."""
    out: dict[str, bool] = {}
    for server in findings.servers:
        if server.address is None:
            continue
        error = server.error
        answered = error is None or shows_sign(error.error_code, error.error_text)
        out[server.transport] = out.get(server.transport, False) or answered
        if server.tcp_opens is not None:
            out["tcp"] = out.get("tcp", False) or server.tcp_opens
    return out


def _nat_row(nat: NatFinding) -> Row:
    if nat.mapping == "none":
        words = "no NAT between this host and the servers"
    elif nat.mapping == "unknown":
        words = "there is a NAT; two servers at different addresses would tell which kind"
    else:
        words = f"{nat.mapping} mapping"
    filtering = f", {nat.filtering} filtering" if nat.filtering != "unknown" else ""
    if nat.mapping == "none" and nat.filtering == "address-and-port-dependent":
        filtering += " (a firewall)"
    how = f" ({nat.source})" if nat.source else ""
    return Row(f"NAT before {nat.local[0]}", None, None, words + filtering + how)


def _call_row(call: CallFinding) -> Row:
    name = {"direct": "call, direct", "public address": "call, over the public address"}.get(
        call.path, f"call through {call.url}"
    )
    if lacks_hairpinning(call):
        return Row(name, None, None, "the NAT does not lead its own public address back (no hairpinning)")
    if call.error is not None:
        return Row(name, False, call.seconds, call.error)
    parts = [f"{call.local} to {call.remote}, {call.protocol}"]
    if call.round_trip is not None:
        parts.append(milliseconds(call.round_trip))
    parts.append("both ends on this host" if call.own else f"with {call.to}")
    if call.echoed is False:
        parts.append("no text came back")
    return Row(name, call.echoed is not False, call.seconds, ", ".join(parts))


def _tcp_row(call: CallFinding, findings: Findings) -> Row:
    """One way of several is enough: a private address is one that others cannot reach."""
    name = f"ICE-TCP to {call.to}"
    if call.error is None:
        return Row(name, True, call.seconds, f"{call.remote} answers by TCP")
    reached = any(each.path == "ICE-TCP" and each.error is None for each in findings.calls)
    return Row(name, None if reached else False, None, call.error)


def address(value: Address | None) -> str:
    """`192.0.2.1:3478` or `[2001:db8::1]:3478`."""
    return "" if value is None else endpoint(*value)


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


# JSON


def to_json(findings: Findings) -> dict[str, Any]:
    """The one object of `--json`; docs/doctor.md documents it."""
    said = diagnose(findings)
    return {
        "exitCode": exit_code(findings),
        "error": next((each.text for each in said if each.level == "problem"), None),
        "summary": summary(findings),
        "seconds": _rounded(findings.seconds),
        "host": [{"address": each.address, "interface": each.interface} for each in findings.hosts],
        "signaling": _signaling_json(findings),
        "servers": [_server_json(server) for server in findings.servers],
        "reached": reached(findings),
        "nat": [_nat_json(nat) for nat in findings.nats],
        "calls": [_call_json(call) for call in findings.calls],
        "problems": [each.text for each in said if each.level == "problem"],
        "notes": [each.text for each in said if each.level == "note"],
    }


def _signaling_json(findings: Findings) -> dict[str, Any] | None:
    signaling = findings.signaling
    if signaling is None:
        return None
    return {
        "url": signaling.url,
        "room": signaling.room,
        "seconds": _rounded(signaling.seconds),
        "iceServers": list(signaling.ice_servers),
        "error": signaling.error,
    }


def _server_json(server: ServerFinding) -> dict[str, Any]:
    error = server.error
    return {
        "url": server.url,
        "origin": server.origin,
        "good": server.good,
        "transport": server.transport,
        "address": address(server.address) or None,
        "seconds": _rounded(server.seconds),
        "mapped": address(server.mapped) or None,
        "relayed": [address(each) for each in server.relayed],
        "carriedSeconds": _rounded(server.carried),
        "tcpOpens": server.tcp_opens,
        "errorCode": error.error_code if error else None,
        "errorText": error.error_text if error else None,
    }


def _nat_json(nat: NatFinding) -> dict[str, Any]:
    return {
        "local": address(nat.local),
        "mapping": nat.mapping,
        "filtering": nat.filtering,
        "source": nat.source or None,
        "seen": [{"server": address(each.server), "mapped": address(each.mapped)} for each in nat.seen],
    }


def _call_json(call: CallFinding) -> dict[str, Any]:
    return {
        "path": call.path,
        "url": call.url,
        "to": None if call.own else call.to,
        "good": call.error is None and call.echoed is not False,
        "seconds": _rounded(call.seconds),
        "local": call.local or None,
        "remote": call.remote or None,
        "protocol": call.protocol or None,
        "roundTripTime": _rounded(call.round_trip),
        "echoed": call.echoed,
        "error": call.error,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
