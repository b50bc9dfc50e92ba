"""What a member's grants let it join, send and get: each check raises ProtocolError or lets pass. Pure.

None in the place of Grants allows everything: a server without keys. Who may not call may still renegotiate a call that
it was called with, so the sessions between members of whom one is restricted are kept in mind.

`publish` and `receive` are held against the direction attributes of the session descriptions (RFC 8866, section 6.7),
the one thing in them that is looked at. That binds the other side, which sends and takes what was agreed; it does not
bind two modified clients that agree on something else in their data channel.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from signaling.codes import Code, ProtocolError
from signaling.messages import ByeTo, CandidateTo, DescriptionTo, MessageTo, SessionDescription

if TYPE_CHECKING:
    from signaling.credentials import Grants

    Addressed: TypeAlias = DescriptionTo | CandidateTo | ByeTo | MessageTo

_SESSIONS: Final = 8  # remembered of two members; the oldest goes, and its called side can renegotiate it no more
_BANS: Final = 1024  # remembered at a time; beyond it the oldest goes
_DIRECTIONS: Final = {"sendrecv", "sendonly", "recvonly", "inactive"}


class Permissions:
    """The grants of all members, by id, and which calls between them were allowed to begin."""

    def __init__(self) -> None:
        self._grants: dict[str, Grants] = {}
        # Member -> other member -> sessions that one began with the other; each is there under both.
        self._calls: dict[str, dict[str, deque[str]]] = {}
        self._banned: dict[tuple[str, str], None] = {}  # rooms and bearers of tokens, the oldest first

    def of(self, member_id: str) -> Grants | None:
        """The grants of a member; None: everything is allowed."""
        return self._grants.get(member_id)

    def set(self, member_id: str, grants: Grants | None) -> None:
        """What this member may do from now on."""
        if grants is not None:
            self._grants[member_id] = grants

    def forget(self, member_id: str) -> None:
        """The member, or a guest, is gone. Twice is harmless."""
        self._grants.pop(member_id, None)
        for other in self._calls.pop(member_id, {}):
            del self._calls[other][member_id]
            if not self._calls[other]:
                del self._calls[other]

    def ban(self, room: str, grants: Grants) -> None:
        """Whoever bears this token was sent away: it is not taken for this room any more."""
        if len(self._banned) >= _BANS:
            del self._banned[next(iter(self._banned))]
        self._banned[room, grants.bearer] = None

    # For another node

    def calls_of(self, member_id: str) -> dict[str, list[str]]:
        """Other member -> sessions that one began with the other."""
        return {other: list(sessions) for other, sessions in self._calls.get(member_id, {}).items()}

    def banned_from(self, room: str) -> list[str]:
        """The bearers of tokens that were sent away from a room."""
        return [bearer for place, bearer in self._banned if place == room]

    def restore(self, member_id: str, grants: Grants | None, calls: dict[str, list[str]]) -> None:
        """Goes on with a member where another node was."""
        self.set(member_id, grants)
        for other, sessions in calls.items():
            known = self._calls.get(other, {}).get(member_id)
            self._calls.setdefault(member_id, {})[other] = deque(sessions, _SESSIONS) if known is None else known

    def ban_again(self, room: str, bearers: list[str]) -> None:
        """Goes on with those whom another node sent away."""
        self._banned |= dict.fromkeys((room, bearer) for bearer in bearers)

    def pardon(self, room: str) -> None:
        """Forgets who was sent away from a room: another node has it, or its journal says it again."""
        self._banned = {key: None for key in self._banned if key[0] != room}

    # Checks

    def check_join(self, grants: Grants | None, room: str, name: str) -> None:
        """Whether one may be in `room` as `name`. Raises ProtocolError: forbidden, kicked."""
        if grants is None:
            return
        if not grants.covers(room, name):
            text = "The token is for another room or name; join as it says, or get another one."
            raise ProtocolError(Code.FORBIDDEN, text)
        if (room, grants.bearer) in self._banned:
            raise ProtocolError(Code.KICKED, "You were sent away from this room; ask for another token.")

    def check(self, sender: str, message: Addressed) -> None:
        """Whether `sender` may send this to a member of its room. Raises ProtocolError (not-allowed)."""
        kind = type(message)
        if kind is MessageTo or kind is CandidateTo:  # as nearly always
            return
        if isinstance(message, ByeTo):
            sessions = self._sessions(sender, message.to)
            if message.session in sessions:
                sessions.remove(message.session)
        elif isinstance(message, DescriptionTo):
            try:
                check_media(self.of(sender), message.description)
                if message.description.type == "offer":
                    self._check_offer(sender, message)
            except ProtocolError as error:
                error.to, error.session = message.to, message.session
                raise

    def _check_offer(self, sender: str, offer: DescriptionTo) -> None:
        theirs, other = self.of(sender), self.of(offer.to)
        sessions = self._sessions(sender, offer.to)
        if offer.session in sessions:
            return
        if offer.replaces is None or offer.replaces not in sessions:
            check_call(theirs, other)
        if _restricted(theirs) or _restricted(other):
            self._calls.setdefault(sender, {})[offer.to] = sessions
            self._calls.setdefault(offer.to, {})[sender] = sessions
            sessions.append(offer.session)

    def _sessions(self, one: str, other: str) -> deque[str]:
        found = self._calls.get(one, {}).get(other)
        return deque(maxlen=_SESSIONS) if found is None else found


def check_call(caller: Grants | None, called: Grants | None) -> None:
    """Whether one may begin a call with the other. Raises ProtocolError (not-allowed)."""
    if caller is not None and not caller.call:
        raise ProtocolError(Code.NOT_ALLOWED, "Your token does not let you call; wait to be called.")
    if called is not None and not called.be_called:
        raise ProtocolError(Code.NOT_ALLOWED, "This participant may not be called; wait for its call.")


def check_media(grants: Grants | None, description: SessionDescription) -> None:
    """Whether one may send and get what its own description says. Raises ProtocolError (not-allowed)."""
    if grants is None or (grants.publish and grants.receive):
        return
    sends, receives = media_of(description.sdp)
    if sends and not grants.publish:
        text = "Your token does not let you send media; describe it as a=recvonly or a=inactive."
        raise ProtocolError(Code.NOT_ALLOWED, text)
    if receives and not grants.receive:
        text = "Your token does not let you receive media; describe it as a=sendonly or a=inactive."
        raise ProtocolError(Code.NOT_ALLOWED, text)


def check_moderator(grants: Grants | None) -> None:
    """Whether one may send others away. Raises ProtocolError (not-allowed).

    On a server without keys nobody may: else everybody could send everybody away.
    """
    if grants is None or not grants.moderate:
        raise ProtocolError(Code.NOT_ALLOWED, "Only who has a token with `moderate` may send others away.")


def media_of(sdp: str) -> tuple[bool, bool]:
    """Whether the side that wrote this description sends media, and whether it receives any; data does not count.

    A direction for the session holds for each medium without its own, and without any it is sendrecv. Where there are
    several, each of them counts: what one parser passes over, another may go by.
    """
    session: set[str] = set()
    media: list[tuple[str, set[str]]] = []  # of each medium its m-line and the directions it names
    bundled: set[int] = set()
    for line in sdp.replace("\r", "\n").split("\n"):
        word = line.strip().lower()
        if word.startswith("m="):
            media.append((word, set()))
        elif word.startswith("a=") and word[2:] in _DIRECTIONS:
            (media[-1][1] if media else session).add(word[2:])
        elif word == "a=bundle-only" and media:
            bundled.add(len(media) - 1)
    named = [
        directions or session or {"sendrecv"}
        for index, (line, directions) in enumerate(media)
        if not line.startswith("m=application") and (index in bundled or line.split()[1:2] != ["0"])
    ]
    sends = any(each & {"sendrecv", "sendonly"} for each in named)
    return sends, any(each & {"sendrecv", "recvonly"} for each in named)


def _restricted(grants: Grants | None) -> bool:
    return grants is not None and not (grants.call and grants.be_called)
