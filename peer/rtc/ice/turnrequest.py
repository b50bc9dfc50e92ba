"""Requests to a TURN server: long-term credentials (RFC 8489 section 9.2), stale nonces, retransmission. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.stun import Attribute, Class, Message, long_term_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.stun import Value

RETRANSMIT: Final = 0.25
"""Seconds until the first retransmission over UDP; each further one waits twice as long, up to LONGEST."""
LONGEST: Final = 2.0
GIVE_UP: Final = 8.0
"""Seconds without an answer after which a request has failed."""
MAX_REPEATS: Final = 4
"""How often one request may be asked for other credentials or a new nonce; a server that goes on is broken."""
MAX_TEXT: Final = 1024
"""Characters of a realm or nonce; RFC 8489 allows 128, servers are not all strict. Longer ones are not answered."""
MAX_REQUESTS: Final = 512
"""Requests under way: one allocation, and two for each of a bounded number of peers. One more is not sent."""


@dataclass
class Credentials:
    """User, password, and what the server says belongs to them."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None
    nonce: str | None = None
    key: bytes | None = field(default=None, repr=False)

    def challenged(self, answer: Message) -> bool:
        """Takes realm and nonce of a 401 or 438; whether there were any."""
        nonce = answer.text(Attribute.NONCE)
        realm = answer.text(Attribute.REALM) or self.realm
        if nonce is None or realm is None or len(nonce) > MAX_TEXT or len(realm) > MAX_TEXT:
            return False
        self.nonce = nonce
        if realm != self.realm:
            self.realm = realm
            self.key = long_term_key(self.username, realm, self.password)
        return True

    def sign(self, message: Message) -> bytes:
        if self.key is not None and self.realm is not None and self.nonce is not None:
            message.add(Attribute.USERNAME, self.username).add(Attribute.REALM, self.realm)
            message.add(Attribute.NONCE, self.nonce)
        return message.encode(self.key)


@dataclass(eq=False)
class Request:
    """One thing asked of the server, until it is answered: `done` gets the answer, or None when none came."""

    method: int
    attributes: list[tuple[int, Value]]
    done: Callable[[Message | None, float], None]
    transaction_id: bytes = b""
    data: bytes = b""
    signed: bool = False
    repeats: int = 0
    interval: float = RETRANSMIT
    due: float = 0.0
    deadline: float = 0.0


class Requests:
    """The requests under way. What is to be sent goes to `outgoing`."""

    def __init__(self, credentials: Credentials, random_bytes: Callable[[int], bytes], stream: bool, /) -> None:
        self.outgoing: list[bytes] = []
        self._credentials = credentials
        self._random = random_bytes
        self._stream = stream
        self._waiting: dict[bytes, Request] = {}

    def add(self, request: Request, now: float) -> bool:
        """Sends it; False when too many are under way."""
        if len(self._waiting) >= MAX_REQUESTS:
            return False
        request.deadline = now + GIVE_UP
        self._send(request, now)
        return True

    def clear(self) -> None:
        """Forgets them all; answers that still come are ignored."""
        self._waiting.clear()

    def _send(self, request: Request, now: float) -> None:
        request.transaction_id = self._random(12)
        message = Message(request.method, Class.REQUEST, request.transaction_id)
        for attribute, value in request.attributes:
            message.add(attribute, value)
        request.signed = self._credentials.key is not None
        request.data = self._credentials.sign(message)
        request.interval = RETRANSMIT
        request.due = request.deadline if self._stream else now + request.interval
        self._waiting[request.transaction_id] = request
        self.outgoing.append(request.data)

    def answered(self, answer: Message, now: float) -> None:
        request = self._waiting.get(answer.transaction_id)
        if request is None or request.method != answer.method:
            return
        key = self._credentials.key
        # RFC 8489 section 9.2.5: an answer that is not signed as the request was counts as never received.
        if answer.message_class == Class.RESPONSE and request.signed and not (key and answer.check_integrity(key)):
            return
        del self._waiting[request.transaction_id]
        if answer.message_class == Class.ERROR and self._asked_again(request, answer):
            self._send(request, now)
        else:
            request.done(answer, now)

    def _asked_again(self, request: Request, answer: Message) -> bool:
        code = (answer.error or (0, ""))[0]
        # A 401 to a request that was signed means that the password is wrong; a 438 only that the nonce is old.
        if not (code == 438 or (code == 401 and not request.signed)) or request.repeats >= MAX_REPEATS:
            return False
        request.repeats += 1
        return self._credentials.challenged(answer)

    def next_due(self) -> float | None:
        return min((min(each.due, each.deadline) for each in self._waiting.values()), default=None)

    def poll(self, now: float) -> None:
        for request in list(self._waiting.values()):
            if now >= request.deadline:
                if self._waiting.pop(request.transaction_id, None) is not None:
                    request.done(None, now)
            elif now >= request.due:
                request.interval = min(2 * request.interval, LONGEST)
                request.due = now + request.interval
                self.outgoing.append(request.data)
