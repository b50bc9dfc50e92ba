"""MDN's chat client and our rooms, translated: what each side hears, and what keeps such a client out of trouble."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codes import Code, ProtocolError
from signaling.mdn import Mdn
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    ErrorMessage,
    IceCandidate,
    Join,
    Joined,
    Leave,
    Left,
    Member,
    MessageFrom,
    MessageTo,
    ServerMessage,
    SessionDescription,
    Welcome,
)
from signaling.rooms import Rooms
from tests.harness.examples import examples

if TYPE_CHECKING:
    from signaling.dialect import Step

BOT = Member("b0", "bot")
EVE = Member("e0", "eve")
NOW = 1700000000.25
CANDIDATE = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


def described(kind: str, connection: int = 1) -> dict[str, str]:
    return {"type": kind, "sdp": f"v=0\r\no=- {connection} 2 IN IP4 127.0.0.1\r\n"}


def description(kind: Any, connection: int = 9) -> SessionDescription:
    return SessionDescription(kind, described(kind, connection)["sdp"])


class Chat:
    """The dialect with the JSON of its client."""

    def __init__(self, own_id: str = "m0", name: str = "alice", *others: Member) -> None:
        self.sessions = iter(f"s{number}" for number in range(100))
        self.mdn = Mdn("lobby", 7, lambda: next(self.sessions))
        self.mdn.opened()
        self.say(type="username", name=name, id=7, date=1)
        self.hear(Welcome(1, own_id, "lobby", name, list(others), []))

    def say(self, **message: Any) -> list[Any]:
        return shown(self.mdn.read(json.dumps(message), NOW, max_bytes=100_000))

    def hear(self, message: ServerMessage) -> list[Any]:
        return shown(self.mdn.write(message, NOW))

    def offer(self, target: str = "bot", connection: int = 1) -> list[Any]:
        return self.say(type="video-offer", name="alice", target=target, sdp=described("offer", connection))

    def rung(self, session: str = "t0", sender: str = "b0", **fields: Any) -> list[Any]:
        return self.hear(DescriptionFrom(sender, session, description("offer"), **fields))


def shown(steps: list[Step]) -> list[Any]:
    return [json.loads(step) if isinstance(step, str) else step for step in steps]


@pytest.fixture
def chat() -> Chat:
    """Alice with a bot; her id sorts last, so her offers give way."""
    return Chat("m0", "alice", BOT)


def hang_up(name: str = "bot") -> dict[str, str]:
    return {"type": "hang-up", "name": name, "target": "alice"}


# Names


def test_a_client_is_told_an_id_and_joins_under_the_name_it_says() -> None:
    mdn = Mdn("lobby", 7, str)
    assert shown(mdn.opened()) == [{"type": "id", "id": 7}]
    assert mdn.read('{"type":"username","name":"alice","id":7,"date":1}', NOW, max_bytes=1000) == [
        Join("lobby", "alice", 1)
    ]
    assert shown(mdn.write(Welcome(1, "m0", "lobby", "alice", [BOT], []), NOW)) == [
        {"type": "userlist", "users": ["bot", "alice"]}
    ]


def test_a_name_that_is_taken_gets_a_number_which_the_client_is_told() -> None:
    mdn = Mdn("lobby", 7, str)
    (join,) = mdn.read('{"type":"username","name":"alice"}', NOW, max_bytes=1000)
    assert isinstance(join, Join)
    second = mdn.renamed(join)
    assert second == Join("lobby", "alice1", 1)
    assert mdn.renamed(second) == Join("lobby", "alice2", 1)
    assert shown(mdn.write(Welcome(1, "m0", "lobby", "alice2", [], []), NOW))[0] == {
        "type": "rejectusername",
        "id": 7,
        "name": "alice2",
    }
    tries = 0
    while mdn.renamed(second) is not None:
        tries += 1
    assert tries < 200


@pytest.mark.parametrize(
    ("wanted", "given_name"),
    [("", "guest"), ("  ", "guest"), ("a\u202eb\n", "ab"), ("x" * 100, "x" * 56), (" bob ", "bob")],
)
def test_a_name_that_cannot_be_is_made_one_that_can(wanted: str, given_name: str) -> None:
    assert Mdn("lobby", 7, str).read(json.dumps({"type": "username", "name": wanted}), NOW, max_bytes=1000) == [
        Join("lobby", given_name, 1)
    ]


def test_a_name_stays(chat: Chat) -> None:
    assert chat.say(type="username", name="carol") == [{"type": "rejectusername", "id": 7, "name": "alice"}]


def test_nothing_is_said_without_a_name() -> None:
    with pytest.raises(ProtocolError) as refused:
        Mdn("lobby", 7, str).read('{"type":"message","text":"hello"}', NOW, max_bytes=1000)
    assert refused.value.code is Code.NOT_JOINED


def test_who_comes_and_goes_is_in_the_list(chat: Chat) -> None:
    assert chat.hear(Joined(EVE)) == [
        {"type": "username", "name": "eve", "date": 1700000000250},
        {"type": "userlist", "users": ["bot", "eve", "alice"]},
    ]
    assert chat.hear(Left(BOT, "left")) == [{"type": "userlist", "users": ["eve", "alice"]}]


# Chat


def test_a_text_goes_to_everybody_and_comes_back(chat: Chat) -> None:
    chat.hear(Joined(EVE))
    assert chat.say(type="message", text="hello", id=7, date=1) == [
        MessageTo("b0", {"text": "hello"}),
        MessageTo("e0", {"text": "hello"}),
        {"type": "message", "name": "alice", "text": "hello", "date": 1700000000250},
    ]


def test_a_text_for_one(chat: Chat) -> None:
    chat.hear(Joined(EVE))
    assert chat.say(type="message", text="hello", target="eve") == [MessageTo("e0", {"text": "hello"})]
    with pytest.raises(ProtocolError, match="Nobody of that name") as refused:
        chat.say(type="message", text="hello", target="nobody")
    assert refused.value.code is Code.UNKNOWN_TARGET


@pytest.mark.parametrize(
    ("data", "text"),
    [({"text": "hi"}, "hi"), ("hi", "hi"), ({"a": 1}, '{"a":1}'), (None, "null"), ({"text": 1}, '{"text":1}')],
)
def test_messages_of_members_are_texts(chat: Chat, data: Any, text: str) -> None:
    (message,) = chat.hear(MessageFrom("b0", data))
    assert message == {"type": "message", "name": "bot", "text": text, "date": 1700000000250}


def test_nothing_that_reaches_the_client_begins_a_tag() -> None:
    chat = Chat("m0", "al<b>ice", Member("x0", "<script>"))
    frames = [
        chat.hear(MessageFrom("x0", "<img src=x onerror=alert(1)")),
        chat.hear(Joined(Member("y0", "<b>"))),
        chat.rung(sender="x0"),
        chat.say(type="message", text="<i>"),
    ]
    assert "<" not in "".join(json.dumps(step) for steps in frames for step in steps if isinstance(step, dict))
    # ... and what it is shown is what it may call.
    assert chat.say(type="message", text="hi", target="\uff1cb>") == [MessageTo("y0", {"text": "hi"})]


# Calls


def test_the_client_calls(chat: Chat) -> None:
    assert chat.offer() == [DescriptionTo("b0", "s0", description("offer", 1))]
    assert chat.say(type="new-ice-candidate", target="bot", candidate=CANDIDATE) == [
        CandidateTo("b0", "s0", IceCandidate(CANDIDATE["candidate"], "0", 0))  # type: ignore[arg-type]
    ]
    for last in (None, {"candidate": "", "sdpMid": "0"}):
        assert chat.say(type="new-ice-candidate", target="bot", candidate=last) == [CandidateTo("b0", "s0", None)]
    assert chat.hear(DescriptionFrom("b0", "s0", description("answer"))) == [
        {"type": "video-answer", "name": "bot", "target": "alice", "sdp": described("answer", 9)}
    ]
    found = IceCandidate("candidate:2", "0", 0, "uf")
    assert chat.hear(CandidateFrom("b0", "s0", found)) == [
        {
            "type": "new-ice-candidate",
            "name": "bot",
            "target": "alice",
            "candidate": {"candidate": "candidate:2", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "uf"},
        }
    ]
    assert chat.hear(CandidateFrom("b0", "s0", None)) == []  # which would throw there
    assert chat.say(type="hang-up", name="alice", target="bot") == [ByeTo("b0", "s0", "hung-up")]
    assert chat.say(type="hang-up", name="alice", target="bot") == []


def test_the_client_is_called(chat: Chat) -> None:
    assert chat.rung("t0") == [{"type": "video-offer", "name": "bot", "target": "alice", "sdp": described("offer", 9)}]
    assert chat.say(type="video-answer", name="alice", target="bot", sdp=described("answer")) == [
        DescriptionTo("b0", "t0", description("answer", 1))
    ]
    assert chat.say(type="video-answer", name="alice", target="bot", sdp=described("answer")) == []  # once is enough
    assert chat.hear(ByeFrom("e0", "t0", "hung-up")) == []  # not theirs
    assert chat.hear(ByeFrom("b0", "t0", "hung-up")) == [hang_up()]
    assert chat.hear(ByeFrom("b0", "t0", "hung-up")) == []


@pytest.mark.parametrize(("who", "reason"), [("caller", "cancelled"), ("callee", "declined")])
def test_a_hang_up_before_the_answer_says_what_it_is(chat: Chat, who: str, reason: Any) -> None:
    session = "s0" if who == "caller" else "t0"
    chat.offer() if who == "caller" else chat.rung("t0")
    assert chat.say(type="hang-up", name="alice", target="bot") == [ByeTo("b0", session, reason)]


@pytest.mark.parametrize("fields", [{}, {"target": None}])
def test_the_client_forgets_with_whom_it_speaks_before_it_says_that_it_hung_up(
    chat: Chat, fields: dict[str, Any]
) -> None:
    agreed(chat)
    assert chat.say(type="new-ice-candidate", candidate=CANDIDATE, **fields) == []
    assert chat.say(type="hang-up", name="alice", **fields) == [ByeTo("b0", "s0", "hung-up")]
    assert chat.say(type="hang-up", name="alice", **fields) == []


def test_who_is_not_there_cannot_be_called(chat: Chat) -> None:
    told = chat.offer("nobody")
    assert told[0] == hang_up("nobody")
    assert (told[1]["type"], told[1]["code"]) == ("error", "unknown-target")


def test_what_the_hub_cannot_deliver_ends_the_call(chat: Chat) -> None:
    chat.offer()
    told = chat.hear(ErrorMessage("unknown-target", "Nobody.", "b0", "s0"))
    assert told == [hang_up(), {"type": "error", "code": "unknown-target", "message": "Nobody."}]
    assert chat.say(type="hang-up", target="bot") == []


def test_a_second_caller_hears_that_the_client_is_busy(chat: Chat) -> None:
    chat.hear(Joined(EVE))
    chat.rung("t0")
    assert chat.rung("u0", "e0") == [ByeTo("e0", "u0", "busy", "in another call")]
    chat.hear(ByeFrom("b0", "t0", "hung-up"))
    assert chat.rung("u1", "e0")[0]["name"] == "eve"


def test_a_caller_over_http_wants_more_than_the_client_can_say(chat: Chat) -> None:
    (bye,) = chat.rung("g0", "http-1", trickle=False, name="curl")
    assert (bye.to, bye.session, bye.reason) == ("http-1", "g0", "declined")


def test_a_client_that_answers_after_it_hung_up_is_hung_up_on(chat: Chat) -> None:
    """It hung up on its own call, which crossed theirs; theirs reached it afterwards."""
    chat.rung("t0")
    assert chat.offer() == []
    assert chat.say(type="hang-up", target="bot") == [ByeTo("b0", "t0", "declined")]
    assert chat.say(type="video-answer", target="bot", sdp=described("answer", 2)) == [hang_up()]
    assert chat.say(type="video-answer", target="bot", sdp=described("answer", 2)) == []


def test_a_client_that_answers_what_was_hung_up_has_given_up_its_own_call(chat: Chat) -> None:
    chat.rung("t0")
    chat.hear(ByeFrom("b0", "t0", "cancelled"))
    chat.offer()  # made before it read theirs
    told = chat.say(type="video-answer", target="bot", sdp=described("answer", 2))
    assert told == [ByeTo("b0", "s0", "cancelled"), hang_up()]


# Renegotiation


def agreed(chat: Chat) -> None:
    chat.offer()
    chat.hear(DescriptionFrom("b0", "s0", description("answer")))


def test_either_side_negotiates_again_in_the_same_session(chat: Chat) -> None:
    agreed(chat)
    assert chat.offer() == [DescriptionTo("b0", "s0", description("offer", 1))]
    assert chat.hear(DescriptionFrom("b0", "s0", description("answer")))[0]["type"] == "video-answer"
    assert chat.rung("s0") == [{"type": "video-offer", "name": "bot", "target": "alice", "sdp": described("offer", 9)}]
    assert chat.say(type="video-answer", target="bot", sdp=described("answer")) == [
        DescriptionTo("b0", "s0", description("answer", 1))
    ]


def test_an_offer_that_changes_nothing_is_answered_for_the_client(chat: Chat) -> None:
    """Whoever begins to record says so in mid-call."""
    media = "m=audio 9 x 0\r\na=mid:0\r\na=setup:{}\r\n"
    said = {"type": "offer", "sdp": described("offer")["sdp"] + media.format("actpass")}
    chat.say(type="video-offer", target="bot", sdp=said)
    chat.hear(DescriptionFrom("b0", "s0", SessionDescription("answer", "v=0\r\n" + media.format("active"))))
    offer = SessionDescription("offer", "v=0\r\na=record:on\r\n" + media.format("actpass"))
    (answer,) = chat.hear(DescriptionFrom("b0", "s0", offer))
    sdp = described("offer")["sdp"] + media.format("passive")
    assert answer == DescriptionTo("b0", "s0", SessionDescription("answer", sdp))
    more = SessionDescription("offer", offer.sdp + "m=video 9 x 0\r\na=mid:1\r\n")
    assert chat.hear(DescriptionFrom("b0", "s0", more))[0]["type"] == "video-offer"


def test_an_offer_of_another_connection_of_the_client_is_another_call(chat: Chat) -> None:
    """The client closes its connection without a word when ICE fails, and then calls anew."""
    agreed(chat)
    assert chat.offer(connection=2) == [
        ByeTo("b0", "s0", "hung-up"),
        DescriptionTo("b0", "s1", description("offer", 2)),
    ]
    assert chat.hear(CandidateFrom("b0", "s0", IceCandidate("candidate:1"))) == []


def test_another_connection_under_the_same_call_begins_anew_in_the_client(chat: Chat) -> None:
    agreed(chat)
    hung_up, offer = chat.rung("t1", replaces="s0")
    assert (hung_up, offer["type"]) == (hang_up(), "video-offer")
    assert chat.rung("t2") == [hang_up(), ByeTo("b0", "t1", "hung-up"), offer]


# Crossing offers


def test_of_two_calls_that_cross_the_one_of_the_client_may_stand() -> None:
    chat = Chat("a0", "alice", BOT)  # sorts first, so it does not give way
    chat.offer()
    assert chat.rung("t0") == []
    assert chat.hear(CandidateFrom("b0", "t0", IceCandidate("candidate:1"))) == []
    assert chat.hear(DescriptionFrom("b0", "s0", description("answer")))[0]["type"] == "video-answer"


def test_or_it_gives_way_and_the_client_begins_anew(chat: Chat) -> None:
    chat.offer()
    hung_up, offer = chat.rung("t0")
    assert (hung_up, offer["type"]) == (hang_up(), "video-offer")
    assert chat.say(type="video-answer", target="bot", sdp=described("answer", 2)) == [
        DescriptionTo("b0", "t0", description("answer", 2))
    ]


def test_an_offer_that_the_client_made_before_it_read_theirs_never_was(chat: Chat) -> None:
    chat.rung("t0")
    assert chat.offer() == []
    assert chat.say(type="video-answer", target="bot", sdp=described("answer", 2)) == [
        DescriptionTo("b0", "t0", description("answer", 2))
    ]


def test_who_answers_a_call_that_was_given_up_hears_of_it(chat: Chat) -> None:
    chat.offer()
    chat.say(type="hang-up", target="bot")
    assert chat.hear(DescriptionFrom("b0", "s0", description("answer"))) == [ByeTo("b0", "s0", "cancelled")]


def test_within_a_call_theirs_stands_once_the_client_has_it(chat: Chat) -> None:
    agreed(chat)
    chat.rung("s0")
    assert chat.offer() == []
    assert chat.say(type="video-answer", target="bot", sdp=described("answer"))[0].session == "s0"


def test_within_a_call_one_of_theirs_that_crosses_follows_the_roles() -> None:
    first = Chat("a0", "alice", BOT)
    agreed(first)
    first.offer()
    assert first.rung("s0") == []
    last = Chat("m0", "alice", BOT)
    agreed(last)
    last.offer()
    assert last.rung("s0")[0]["type"] == "video-offer"


# The other side leaves


def test_whoever_says_goodbye_has_hung_up(chat: Chat) -> None:
    agreed(chat)
    assert chat.hear(Left(BOT, "left"))[0] == hang_up()


@pytest.mark.parametrize("reason", ["lost", "silent", "replaced"])
def test_of_who_is_only_lost_the_media_tells(chat: Chat, reason: str) -> None:
    agreed(chat)
    assert [each["type"] for each in chat.hear(Left(BOT, reason))] == ["userlist"]
    assert chat.say(type="new-ice-candidate", target="bot", candidate=CANDIDATE) == []
    assert chat.offer() == []
    chat.hear(Joined(Member("b1", "bot")))
    assert chat.offer() == [DescriptionTo("b1", "s0", description("offer", 1))]


def test_who_is_lost_keeps_nobody_from_calling(chat: Chat) -> None:
    agreed(chat)
    chat.hear(Left(BOT, "lost"))
    chat.hear(Joined(EVE))
    assert chat.rung("u0", "e0")[0]["type"] == "video-offer"


def test_who_is_lost_before_the_answer_does_not_answer(chat: Chat) -> None:
    chat.offer()
    assert chat.hear(Left(BOT, "lost"))[0] == hang_up()


# Two such clients, whose messages cross in every way


class ArticleClient:
    """What the article's client does: it makes another RTCPeerConnection for each call and each offer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.other = "bob" if name == "alice" else "alice"
        self.connections = 0
        self.state = "none"
        self.agreed: tuple[Any, Any] | None = None
        self.offered: Any = None
        self.hung_up = False

    def _connect(self) -> Any:
        self.connections += 1
        mark = 100 * self.connections + (1 if self.name == "alice" else 2)
        return {"sdp": f"v=0\r\no=- {mark} 2 IN IP4 127.0.0.1\r\n"}

    def call(self) -> list[Any]:
        if self.state != "none":
            return []
        self.state = "offering"
        self.offered = self._connect() | {"type": "offer"}
        return [{"type": "video-offer", "name": self.name, "target": self.other, "sdp": self.offered}]

    def hang_up(self) -> list[Any]:
        if self.state == "none":
            return []
        self.state, self.agreed, self.hung_up = "none", None, True
        return [{"type": "hang-up", "name": self.name, "target": None}]

    def take(self, message: Any) -> list[Any]:
        match message["type"]:
            case "video-offer":
                assert self.state in {"none", "offering"}, "an offer in mid-call"
                answer = self._connect() | {"type": "answer"}
                self.state, self.agreed = "stable", (message["sdp"]["sdp"], answer["sdp"])
                return [{"type": "video-answer", "name": self.name, "target": self.other, "sdp": answer}]
            case "video-answer" if self.state == "offering":
                self.state, self.agreed = "stable", (self.offered["sdp"], message["sdp"]["sdp"])
            case "hang-up":
                self.state, self.agreed = "none", None
        return []


class Meeting:
    """Both with their dialects in one room; what is under way arrives when the test says so."""

    def __init__(self, *, alice_first: bool) -> None:
        self.rooms = Rooms(10)
        ids = ["a0", "b0"] if alice_first else ["b0", "a0"]
        self.ids = dict(zip(("alice", "bob"), ids, strict=True))
        self.names = {each: name for name, each in self.ids.items()}
        self.clients = {name: ArticleClient(name) for name in self.ids}
        sessions = iter(range(1000))
        self.dialects = {name: Mdn("lobby", 7, lambda: f"s{next(sessions)}") for name in self.ids}
        self.up: dict[str, list[str]] = {name: [] for name in self.ids}
        self.hub: dict[str, list[ServerMessage]] = {name: [] for name in self.ids}
        self.down: dict[str, list[str]] = {name: [] for name in self.ids}
        for name in self.ids:
            self.say(name, [{"type": "username", "name": name}])
            self.carry(name, "up")
        self.settle()

    def say(self, name: str, messages: list[Any]) -> None:
        self.up[name] += [json.dumps(message) for message in messages]

    def carry(self, name: str, where: str) -> bool:
        """One message a step further: from the client, from the hub, or to the client."""
        queue: list[Any] = {"up": self.up, "hub": self.hub, "down": self.down}[where][name]
        if not queue:
            return False
        message = queue.pop(0)
        if where == "down":
            self.say(name, self.clients[name].take(json.loads(message)))
        elif where == "up":
            self._carry_out(name, self.dialects[name].read(message, NOW, max_bytes=100_000))
        else:
            self._carry_out(name, self.dialects[name].write(message, NOW))
        return True

    def _carry_out(self, name: str, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, str):
                self.down[name].append(step)
                continue
            assert not isinstance(step, Leave)
            own = self.ids[name]
            deliveries = self.rooms.join(own, step) if isinstance(step, Join) else self.rooms.relay(own, step)
            for delivery in deliveries:
                self.hub[self.names[delivery.to]].append(delivery.message)

    def settle(self) -> None:
        while any(self.carry(name, where) for name in self.ids for where in ("up", "hub", "down")):
            pass


steps = st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from(["call", "hang up", "up", "hub", "down"]))


@given(st.lists(steps, max_size=40), st.booleans())
@examples(200)
def test_two_clients_agree_whatever_crosses(script: list[tuple[str, str]], alice_first: bool) -> None:
    meeting = Meeting(alice_first=alice_first)
    for name, act in script:
        client = meeting.clients[name]
        if act == "call":
            if any(one.hung_up for one in meeting.clients.values()):
                meeting.settle()  # an answer on its way could be one to the call before: nothing in it says
            meeting.say(name, client.call())
        elif act == "hang up":
            meeting.say(name, client.hang_up())
        else:
            meeting.carry(name, act)
    meeting.settle()
    alice, bob = meeting.clients["alice"], meeting.clients["bob"]
    assert alice.agreed == bob.agreed
    assert alice.state == bob.state != "offering"


# Hostile input

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KINDS = "id username message rejectusername userlist video-offer video-answer new-ice-candidate hang-up".split()


@given(
    st.dictionaries(st.sampled_from("name target sdp candidate text id date".split()), anything), st.sampled_from(KINDS)
)
@examples(200)
def test_whatever_a_client_says_is_translated_or_refused(fields: dict[str, Any], kind: str) -> None:
    chat = Chat("m0", "alice", BOT)
    try:
        chat.say(**{**fields, "type": kind})
    except ProtocolError as error:
        assert error.code in {Code.BAD_MESSAGE, Code.UNKNOWN_TARGET}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", Code.BAD_JSON),
        ("[]", Code.BAD_MESSAGE),
        ('{"type":"join"}', Code.BAD_MESSAGE),
        ("x" * 2000, Code.TOO_LARGE),
    ],
)
def test_what_is_no_message_is_refused(chat: Chat, text: str, code: Code) -> None:
    with pytest.raises(ProtocolError) as refused:
        chat.mdn.read(text, NOW, max_bytes=1000)
    assert refused.value.code is code
