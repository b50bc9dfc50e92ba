"""What a failing server or network means and what to do about it: the words of logs, exceptions and the doctor. Pure.

A sentence has the form `SERVER: cause (code); advice`. Nobody else words these things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.rtc.ice.servers import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.ice.servers import CandidateError

MOST: Final = 4
"""Servers that a sentence names; the others it counts."""
REACHABLE: Final = "check the server, and that its port can be reached from here"

_CAUSES: Final = {
    401: "wrong user or password",
    403: "forbidden",
    437: "allocation mismatch",
    441: "wrong user or password",
    442: "transport not supported",
    486: "allocation quota reached",
    508: "insufficient capacity",
}
_ADVICE: Final = {
    401: "check the user and the password of this server",
    403: "the server does not allow this; ask who runs it which addresses and users it serves",
    437: "the server still has an older allocation of this address; it is tried again with the next connection",
    441: "check the user and the password of this server",
    442: "the server does not relay UDP; use another one",
    486: "the user has as many allocations as the server allows; end other calls or raise its quota",
    508: "the server is full; use another one, or give it more relay ports",
}
WRONG_CREDENTIALS: Final = frozenset({401, 441})

NO_SERVER: Final = (
    "no server is named: calls work within this network only; "
    "name a STUN and a TURN server for others (turn:USER:PASSWORD@HOST is both)"
)
NO_TURN: Final = (
    "no TURN server is named: where a NAT is symmetric or UDP is blocked, no call comes about; "
    "name one: turn:USER:PASSWORD@HOST"
)
NO_STREAM: Final = (
    "TURN is reached by UDP only: who is in a network without UDP cannot be called; "
    "name turns:HOST:443 or turn:HOST?transport=tcp too"
)
SYMMETRIC: Final = (
    "this NAT is symmetric (another port for each destination): a STUN server is not enough; "
    "name a TURN server: turn:USER:PASSWORD@HOST"
)
SYMMETRIC_RELAYED: Final = (
    "this NAT is symmetric (another port for each destination): many calls from here will go through the TURN server"
)
NOTHING_ANSWERS: Final = (
    "no server answers, neither by UDP nor by TCP; check the network of this host, and that the servers run"
)


def cause(code: int, reason: str = "") -> str:
    """What an error response of a server means; `reason` is the server's own text, which may hold anything."""
    printable = "".join(character if character.isprintable() else " " for character in reason)[:120].strip()
    text = _CAUSES.get(code, "refused")
    return f"{text} ({printable})" if printable else text


def advice(code: int) -> str:
    """What can be done about it."""
    return _ADVICE.get(code, REACHABLE)


def server_words(url: str, code: int, text: str) -> str:
    """What a server did not do."""
    return f"{url}: {text}{'' if code == UNREACHABLE else f' ({code})'}"


def server_sentence(url: str, code: int, text: str, advice: str) -> str:
    """One line on a server that failed."""
    return f"{server_words(url, code, text)}; {advice}"


def servers_advice(errors: Sequence[CandidateError]) -> str:
    """One piece of advice for several failures: what a server said counts before that one could not be reached."""
    refused = sorted(errors, key=lambda error: not shows_sign(error.error_code, error.error_text))
    found = next((error.advice or advice(error.error_code) for error in refused), REACHABLE)
    if found == REACHABLE:
        return "check that the servers run and can be reached from here, or use one on port 443 (turns:)"
    return found


def is_silent(code: int, text: str) -> bool:
    """Whether a failure means that nothing came back at all."""
    return code == UNREACHABLE and text.startswith(("no answer", "no connection in time"))


def shows_sign(code: int, text: str) -> bool:
    """Whether a failure means that packets get to a server there and back, though it is of no use."""
    return code != UNREACHABLE or text.startswith(("its certificate", "what answers there", "an answer without"))


def udp_blocked(urls: Sequence[str], stream_url: str | None, host: str) -> str:
    """The servers `urls` are silent by UDP while TCP gets through; `stream_url`: a TURN server by TCP or TLS."""
    what = f"UDP does not get out of this network: nothing comes back from {_listed(urls)}, but TCP gets through"
    if stream_url is not None:
        return f"{what}; calls go through {stream_url}, which works"
    return f"{what}; calls need TURN over TCP or TLS, name one: turns:{host}:443 or turn:{host}?transport=tcp"


def family_broken(version: int, address: str) -> str:
    """Every server is silent at its addresses of one family, while the other family works."""
    flag = " (--no-ipv6)" if version == 6 else ""
    return (
        f"IPv{version} does not get out of this network, though this host has an address of it ({address}); "
        f"repair its IPv{version}, or leave it out{flag}"
    )


def _listed(urls: Sequence[str]) -> str:
    named = list(dict.fromkeys(urls))
    more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
    return ", ".join(named[:MOST]) + more
