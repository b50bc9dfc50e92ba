"""Grants held against what members do: who joins, calls, is called, sends and gets media."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codes import Code, ProtocolError
from signaling.credentials import Grants
from signaling.messages import ByeTo, CandidateTo, DescriptionTo, MessageTo, SessionDescription
from signaling.permissions import Permissions, check_call, check_media, check_moderator, media_of

ALL = Grants(room="lab", expires=9e9, moderate=True, admin=True)


def grants(**rights: Any) -> Grants:
    return Grants(**{"room": "lab", "expires": 9e9, "bearer": "b"} | rights)


def offer(to: str, session: str, replaces: str | None = None, sdp: str = "v=0\r\n") -> DescriptionTo:
    return DescriptionTo(to, session, SessionDescription("offer", sdp), replaces=replaces)


def answer(to: str, session: str, sdp: str = "v=0\r\n") -> DescriptionTo:
    return DescriptionTo(to, session, SessionDescription("answer", sdp))


def refused(call: Any, *arguments: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    return caught.value


def permissions(**members: Grants | None) -> Permissions:
    made = Permissions()
    for name, its in members.items():
        made.set(name, its)
    return made


def test_a_token_is_for_its_rooms_and_names() -> None:
    made = Permissions()
    one = grants(room="team-*", name="bot")
    made.check_join(one, "team-a", "bot")
    made.check_join(None, "any", "body")
    for room, name in (("team", "bot"), ("team-a", "bot2"), ("team-a", "*")):
        assert refused(made.check_join, one, room, name).code is Code.FORBIDDEN


def test_who_was_sent_away_does_not_come_back_with_that_token() -> None:
    made = Permissions()
    one = grants(room="*")
    made.ban("lab", one)
    assert refused(made.check_join, one, "lab", "bot").code is Code.KICKED
    made.check_join(one, "other", "bot")
    made.check_join(grants(bearer="c"), "lab", "bot")
    for number in range(2000):
        made.ban("lab", grants(bearer=str(number)))
    made.check_join(one, "lab", "bot")  # bounded: the oldest is forgotten
    assert refused(made.check_join, grants(bearer="1999"), "lab", "bot").code is Code.KICKED


def test_who_may_not_call_is_refused_and_told_which_call() -> None:
    made = permissions(a=grants(call=False), b=ALL)
    error = refused(made.check, "a", offer("b", "s"))
    assert (error.code, error.to, error.session) == (Code.NOT_ALLOWED, "b", "s")
    made.check("b", offer("a", "s"))
    made.check("a", answer("b", "s"))
    made.check("a", offer("b", "s"))  # renegotiates what b began
    assert refused(made.check, "a", offer("b", "s2")).code is Code.NOT_ALLOWED
    made.check("a", MessageTo("b", 1))
    made.check("a", CandidateTo("b", "s2", None))


def test_who_may_not_be_called_is_not_called() -> None:
    made = permissions(a=ALL, b=grants(be_called=False))
    assert refused(made.check, "a", offer("b", "s")).code is Code.NOT_ALLOWED
    assert made.check("b", offer("a", "s")) is None
    made.check("a", offer("b", "s"))
    made.check("a", offer("b", "s2", replaces="s"))  # another connection under the same call
    made.check("a", offer("b", "s2"))
    assert refused(made.check, "a", offer("b", "s4", replaces="s3")).code is Code.NOT_ALLOWED


def test_a_call_that_is_over_opens_no_other() -> None:
    made = permissions(a=ALL, b=grants(call=False))
    made.check("a", offer("b", "s"))
    made.check("a", ByeTo("b", "s", "hung-up"))
    assert refused(made.check, "b", offer("a", "s")).code is Code.NOT_ALLOWED
    made.check("a", offer("b", "s"))
    made.forget("a")
    made.forget("a")
    made.set("a", ALL)
    assert refused(made.check, "b", offer("a", "s")).code is Code.NOT_ALLOWED


def test_what_is_remembered_is_bounded() -> None:
    made = permissions(a=ALL, b=grants(call=False))
    for number in range(100):
        made.check("a", offer("b", str(number)))
    made.check("b", offer("a", "99"))
    assert refused(made.check, "b", offer("a", "0")).code is Code.NOT_ALLOWED


def test_without_keys_all_is_allowed_but_sending_others_away() -> None:
    made = permissions(a=None, b=None)
    made.check("a", offer("b", "s", sdp="m=audio 9 RTP 0\r\n"))
    check_call(None, None)
    check_media(None, SessionDescription("offer", "m=audio 9 RTP 0\r\n"))
    for one in (None, grants()):
        assert refused(check_moderator, one).code is Code.NOT_ALLOWED
    check_moderator(ALL)


def test_nothing_is_left_of_those_who_are_gone() -> None:
    made = permissions(a=ALL, b=grants(call=False), c=grants(be_called=False))
    made.check("a", offer("b", "1"))
    made.check("c", offer("a", "2"))
    made.check("c", offer("http-1", "3"))
    for one in ("http-1", "a", "c", "b"):
        made.forget(one)
    assert vars(made)["_calls"] == vars(made)["_grants"] == {}


def test_rights_may_change() -> None:
    made = permissions(a=grants(call=False), b=ALL)
    made.set("a", grants())
    made.check("a", offer("b", "s"))


@pytest.mark.parametrize(("right", "good", "bad"), [
    ("publish", ("recvonly", "inactive"), ("sendrecv", "sendonly", "")),
    ("receive", ("sendonly", "inactive"), ("sendrecv", "recvonly", "")),
])  # fmt: skip
def test_media_as_the_token_says(right: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    made = permissions(a=grants(**{right: False}), b=ALL)
    for directions, allowed in ((good, True), (bad, False)):
        for direction in directions:
            line = f"a={direction}\r\n" if direction else ""
            for make in (offer, answer):
                message = make("b", "s", sdp=f"v=0\r\nm=audio 9 RTP 0\r\n{line}m=application 9 UDP x\r\n")
                if allowed:
                    made.check("a", message)
                else:
                    assert refused(made.check, "a", message).session == "s"


@pytest.mark.parametrize(("lines", "expected"), [
    ("", (False, False)),
    ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", (False, False)),
    ("m=audio 9 X 0", (True, True)),
    ("m=audio 9 X 0|a=sendonly", (True, False)),
    ("m=audio 9 X 0|a=recvonly", (False, True)),
    ("m=audio 9 X 0|a=inactive", (False, False)),
    ("a=recvonly|m=audio 9 X 0", (False, True)),
    ("a=recvonly|m=audio 9 X 0|a=sendonly", (True, False)),
    ("m=audio 9 X 0|a=recvonly|m=video 9 X 0", (True, True)),
    ("m=audio 9 X 0|a=recvonly|m=video 9 X 0|a=sendonly", (True, True)),
    ("m=audio 9 X 0|a=recvonly|a=sendonly", (True, True)),
    ("m=audio 9 X 0|a=recvonly|a=SendOnly ", (True, True)),
    ("m=audio 9 X 0|a=recvonly\ra=sendonly", (True, True)),
    ("m=audio 0 X 0", (False, False)),
    ("m=audio 0 X 0|a=bundle-only|a=recvonly", (False, True)),
    ("m=video 0 X 0|a=bundle-only", (True, True)),
    ("m=audio", (True, True)),
    ("m=image 9 X 0|a=sendonly", (True, False)),
])  # fmt: skip
def test_what_a_description_sends_and_receives(lines: str, expected: tuple[bool, bool]) -> None:
    text = lines.replace("|", "\r\n") + "\r\n"
    assert media_of(text) == media_of(text.replace("\r\n", "\n")) == expected


@given(st.text() | st.lists(st.sampled_from(["m=audio 9", "m=", "a=sendrecv", "a=", "\r", " m=x"])).map("\n".join))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert all(isinstance(one, bool) for one in media_of(text))
    check_media(ALL, SessionDescription("offer", text or "v=0"))


RIGHTS = st.fixed_dictionaries({"call": st.booleans(), "be_called": st.booleans()})
MEMBERS = st.sampled_from("abc")
STEPS = st.tuples(st.sampled_from(["offer", "bye", "forget"]), MEMBERS, MEMBERS, st.sampled_from("123"))


@given(st.lists(RIGHTS, min_size=3, max_size=3), st.lists(STEPS, max_size=40))
def test_no_order_of_messages_begins_a_call_that_is_not_allowed(
    rights: list[dict[str, bool]], steps: list[tuple[str, str, str, str]]
) -> None:
    members = {name: grants(**its) for name, its in zip("abc", rights, strict=True)}
    made = permissions(**members)
    begun: set[tuple[frozenset[str], str]] = set()  # calls that were allowed to begin, and are not over
    for kind, one, other, session in steps:
        call = frozenset((one, other)), session
        if kind == "forget":
            made.forget(one)
            made.set(one, members[one])
            begun = {(pair, known) for pair, known in begun if one not in pair}
        elif one == other:
            continue
        elif kind == "bye":
            made.check(one, ByeTo(other, session, "hung-up"))
            begun.discard(call)
        elif (members[one].call and members[other].be_called) or call in begun:
            made.check(one, offer(other, session))
            begun.add(call)
        else:
            assert refused(made.check, one, offer(other, session)).code is Code.NOT_ALLOWED
