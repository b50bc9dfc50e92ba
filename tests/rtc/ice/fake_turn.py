"""A TURN server that is a function: requests in, answers out, and as contrary as a test wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message, Method, long_term_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.turn import TurnClient

USER, PASSWORD, REALM = "user", "correct-horse", "example.org"
KEY = long_term_key(USER, REALM, PASSWORD)
RELAYED = ("198.51.100.7", 50000)
MAPPED = ("203.0.113.9", 40000)


class FakeTurn:
    """Answers what a client wants to send; `refuse` gives the error for a request, or None."""

    def __init__(self) -> None:
        self.nonce = "nonce-1"
        self.lifetime = 600
        self.relayed = [RELAYED]
        self.silent = False
        self.refuse: Callable[[Message], tuple[int, str] | None] = lambda _: None
        self.requests: list[Message] = []
        self.indications: list[Message] = []
        self.channels: dict[int, stun.Address] = {}
        self.data: list[tuple[bytes, stun.Address]] = []

    def serve(self, client: TurnClient, now: float) -> None:
        """Until the client has nothing more to say."""
        while client.has_outgoing:
            for data in client.take_outgoing():
                answer = self.receive(data)
                if answer is not None:
                    client.receive(answer, now)

    def receive(self, data: bytes) -> bytes | None:
        if data[0] >= 0x40:
            length = int.from_bytes(data[2:4], "big")
            self.data.append((data[4 : 4 + length], self.channels[int.from_bytes(data[:2], "big")]))
            return None
        message = stun.parse(data)
        if message.message_class == Class.INDICATION:
            peer, payload = message.address(Attribute.XOR_PEER_ADDRESS), message.get(Attribute.DATA)
            assert peer is not None and payload is not None
            self.indications.append(message)
            self.data.append((payload, peer))
            return None
        self.requests.append(message)
        return None if self.silent else self._answer(message)

    def _answer(self, request: Message) -> bytes:
        if not request.check_integrity(KEY) or request.text(Attribute.USERNAME) != USER:
            return self._error(request, 401, "Unauthorized")
        if request.text(Attribute.NONCE) != self.nonce:
            return self._error(request, 438, "Stale Nonce")
        refusal = self.refuse(request)
        if refusal is not None:
            return self._error(request, *refusal)
        answer = Message(request.method, Class.RESPONSE, request.transaction_id)
        if request.method == Method.ALLOCATE:
            for address in self.relayed:
                answer.add(Attribute.XOR_RELAYED_ADDRESS, address)
            answer.add(Attribute.XOR_MAPPED_ADDRESS, MAPPED).add(Attribute.LIFETIME, self.lifetime)
        elif request.method == Method.REFRESH:
            asked = request.number(Attribute.LIFETIME)
            answer.add(Attribute.LIFETIME, self.lifetime if asked is None else asked)
        elif request.method == Method.CHANNEL_BIND:
            number, peer = request.number(Attribute.CHANNEL_NUMBER), request.address(Attribute.XOR_PEER_ADDRESS)
            assert number is not None and peer is not None
            self.channels[number] = peer
        return answer.encode(KEY)

    def _error(self, request: Message, code: int, reason: str) -> bytes:
        answer = Message(request.method, Class.ERROR, request.transaction_id)
        answer.add(Attribute.ERROR_CODE, (code, reason))
        if code in (401, 438):
            answer.add(Attribute.REALM, REALM).add(Attribute.NONCE, self.nonce)
        return answer.encode()

    def methods(self) -> list[int]:
        """What was asked for since the last look."""
        methods = [message.method for message in self.requests]
        self.requests.clear()
        return methods
