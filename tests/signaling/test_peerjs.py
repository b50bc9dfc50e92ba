"""The broker of PeerJS and our rooms, translated: what each side hears, and that two pages of it find each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codes import Code, ProtocolError
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
    ServerMessage,
    SessionDescription,
    Welcome,
)
from signaling.peerjs import PeerJs
from tests.harness.examples import examples

if TYPE_CHECKING:
    from signaling.dialect import Step

BOT = Member("b0", "bot")
MEDIA = SessionDescription("offer", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")
DATA = SessionDescription("offer", "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n")
ANSWER = SessionDescription("answer", "v=0\r\n")
CANDIDATE = IceCandidate("candidate:1", "0", 0, "uf")
WRITTEN = {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "uf"}


def sdp(description: SessionDescription) -> dict[str, str]:
    return {"type": description.type, "sdp": description.sdp}


class Page:
    """The dialect with the JSON of its client, which is alice."""

    def __init__(self, own_id: str = "m0", *others: Member) -> None:
        self.dialect = PeerJs("peerjs", "alice", "t0ken")
        self.dialect.opened()
        self.hear(Welcome(1, own_id, "peerjs", "alice", list(others), []))

    def say(self, kind: str, **fields: Any) -> list[Any]:
        return shown(self.dialect.read(json.dumps({"type": kind, **fields}), 0.0, max_bytes=100_000))

    def hear(self, message: ServerMessage) -> list[Any]:
        return shown(self.dialect.write(message, 0.0))

    def call(self, connection: str = "mc_1", dst: str = "bot", **about: Any) -> list[Any]:
        payload = {"sdp": sdp(MEDIA), "type": "media", "connectionId": connection, **about}
        return self.say("OFFER", dst=dst, payload=payload)

    def rung(self, session: str = "t0", offer: SessionDescription = MEDIA, **fields: Any) -> list[Any]:
        return self.hear(DescriptionFrom(fields.pop("sender", "b0"), session, offer, **fields))


def shown(steps: list[Step]) -> list[Any]:
    return [json.loads(step) if isinstance(step, str) else step for step in steps]


@pytest.fixture
def page() -> Page:
    """Alice with a bot; her id sorts last, so her offers give way."""
    return Page("m0", BOT)


# Who it is


def test_the_id_is_a_name_and_the_key_a_room() -> None:
    dialect = PeerJs("peerjs", "alice", "t0ken")
    (join,) = dialect.opened()
    assert isinstance(join, Join)
    assert (join.room, join.name) == ("peerjs", "alice")
    assert join.secret is not None and "t0ken" not in join.secret
    assert PeerJs("peerjs", "alice", "t0ken" * 1000).opened() != [join]  # of any length
    assert dialect.renamed(join) is None
    assert shown(dialect.write(Welcome(1, "m0", "peerjs", "alice", [], []), 0.0)) == [{"type": "OPEN"}]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (("", "alice", "t"), "ERROR"),
        (("peerjs", "", "t"), "ERROR"),
        (("peerjs", "alice", ""), "ERROR"),
        (("peerjs", "a\nb", "t"), "ERROR"),
        (("peerjs", "a" * 65, "t"), "ERROR"),
        (("k" * 65, "alice", "t"), "INVALID-KEY"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: tuple[str, str, str], told: str) -> None:
    dialect = PeerJs(*address)
    with pytest.raises(ProtocolError) as refused:
        dialect.opened()
    (frame,) = shown(dialect.write(ErrorMessage(refused.value.code.value, refused.value.message), 0.0))
    assert (frame["type"], frame["payload"]["msg"]) == (told, refused.value.message)


def test_refusals_in_the_words_of_peerjs(page: Page) -> None:
    assert page.hear(ErrorMessage("name-taken", "No.")) == [{"type": "ID-TAKEN", "payload": {"msg": "No."}}]
    assert page.hear(ErrorMessage("forbidden", "No.")) == [{"type": "INVALID-KEY", "payload": {"msg": "No."}}]
    assert page.hear(ErrorMessage("room-full", "No.")) == [{"type": "ERROR", "payload": {"msg": "No."}}]


def test_a_heartbeat_says_nothing(page: Page) -> None:
    assert page.say("HEARTBEAT") == page.say("EXPIRE") == []
    assert PeerJs("peerjs", "alice", "t").read('{"type":"HEARTBEAT"}', 0.0, max_bytes=100) == []


# Calls


def test_the_page_calls(page: Page) -> None:
    assert page.call(metadata={"why": "test"}) == [
        DescriptionTo("b0", "mc_1", MEDIA, about={"peerjs": {"type": "media", "metadata": {"why": "test"}}})
    ]
    candidate = {"candidate": WRITTEN, "type": "media", "connectionId": "mc_1"}
    assert page.say("CANDIDATE", dst="bot", payload=candidate) == [CandidateTo("b0", "mc_1", CANDIDATE)]
    assert page.hear(DescriptionFrom("e0", "mc_1", ANSWER)) == []  # not theirs
    assert page.hear(DescriptionFrom("b0", "mc_1", ANSWER)) == [
        {
            "type": "ANSWER",
            "src": "bot",
            "dst": "alice",
            "payload": {"type": "media", "connectionId": "mc_1", "sdp": sdp(ANSWER)},
        }
    ]
    assert page.hear(CandidateFrom("b0", "mc_1", None)) == []
    assert page.hear(CandidateFrom("b0", "mc_1", CANDIDATE)) == [
        {
            "type": "CANDIDATE",
            "src": "bot",
            "dst": "alice",
            "payload": {"type": "media", "connectionId": "mc_1", "candidate": WRITTEN},
        }
    ]


def test_the_page_is_called(page: Page) -> None:
    assert page.rung("t0") == [
        {
            "type": "OFFER",
            "src": "bot",
            "dst": "alice",
            "payload": {"type": "media", "connectionId": "t0", "sdp": sdp(MEDIA)},
        }
    ]
    answer = {"sdp": sdp(ANSWER), "type": "media", "connectionId": "t0", "browser": "chrome"}
    assert page.say("ANSWER", dst="bot", payload=answer) == [DescriptionTo("b0", "t0", ANSWER)]
    assert page.hear(ByeFrom("b0", "t0", "hung-up")) == []  # its data channel closes
    assert page.say("ANSWER", dst="bot", payload=answer) == []


def test_a_call_without_media_is_a_data_connection(page: Page) -> None:
    payload = page.rung("t0", DATA)[0]["payload"]
    assert payload == {
        "type": "data",
        "connectionId": "t0",
        "label": "t0",
        "reliable": True,
        "serialization": "raw",
        "sdp": sdp(DATA),
    }


def test_who_is_not_there_cannot_be_called(page: Page) -> None:
    assert page.call(dst="nobody") == [{"type": "EXPIRE", "src": "nobody", "dst": "alice"}]
    page.call("mc_1")
    assert page.hear(ErrorMessage("unknown-target", "Nobody.", "b0", "mc_1")) == [
        {"type": "EXPIRE", "src": "bot", "dst": "alice"}
    ]
    assert page.hear(ErrorMessage("unknown-target", "Nobody.", "b0", "mc_1")) == []
    page.call("mc_2")
    assert page.hear(ErrorMessage("not-allowed", "No.", "b0", "mc_2")) == [
        {"type": "EXPIRE", "src": "bot", "dst": "alice"}
    ]


def test_a_call_that_is_declined_is_an_event_in_the_page(page: Page) -> None:
    page.call("mc_1")
    assert [each["type"] for each in page.hear(ByeFrom("b0", "mc_1", "busy"))] == ["EXPIRE"]


def test_a_call_that_rings_no_more_leaves_other_connections_alone(page: Page) -> None:
    page.rung("t0")
    page.rung("t1")
    assert page.hear(ByeFrom("b0", "t0", "cancelled")) == []
    assert page.hear(ByeFrom("b0", "t1", "cancelled")) == [{"type": "LEAVE", "src": "bot", "dst": "alice"}]
    assert page.hear(ByeFrom("b0", "t1", "cancelled")) == []


def test_an_offer_in_mid_call_is_kept_from_a_page_that_would_end_the_call(page: Page) -> None:
    page.call("mc_1")
    page.hear(DescriptionFrom("b0", "mc_1", ANSWER))
    assert page.rung("mc_1") == []
    assert page.rung("t1", replaces="mc_1")[0]["payload"]["connectionId"] == "t1"


def test_an_offer_that_changes_nothing_is_answered_for_the_page(page: Page) -> None:
    """Whoever begins to record says so in mid-call."""
    page.rung("t0")
    page.say("ANSWER", payload={"sdp": sdp(ANSWER), "connectionId": "t0"})
    offer = SessionDescription("offer", "v=0\r\na=record:on\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")
    assert page.rung("t0", offer) == [DescriptionTo("b0", "t0", ANSWER)]
    assert page.rung("t0", offer, sender="e0") == []


def test_of_calls_that_cross_the_one_of_the_page_may_stand() -> None:
    first = Page("a0", BOT)
    first.call()
    assert first.rung("t0") == []
    last = Page("m0", BOT)
    last.call()
    assert last.rung("t0")[0]["type"] == "OFFER"


def test_a_caller_over_http_wants_more_than_the_page_can_say(page: Page) -> None:
    (bye,) = page.rung("g0", sender="http-1", trickle=False, name="curl")
    assert (bye.to, bye.session, bye.reason) == ("http-1", "g0", "declined")


def test_the_page_leaves(page: Page) -> None:
    page.call("mc_1")
    assert page.say("LEAVE", dst="bot") == [ByeTo("b0", "mc_1", "hung-up")]
    assert page.say("LEAVE") == [Leave()]


def test_who_is_gone_does_not_answer_any_more(page: Page) -> None:
    page.call("mc_1")
    assert [each["type"] for each in page.hear(Left(BOT, "lost"))] == ["EXPIRE"]


def test_an_agreed_call_goes_on_without_the_broker(page: Page) -> None:
    page.call("mc_1")
    page.hear(DescriptionFrom("b0", "mc_1", ANSWER))
    assert page.hear(Left(BOT, "lost")) == page.hear(Joined(Member("b1", "bot"))) == []
    candidate = page.hear(CandidateFrom("b1", "mc_1", CANDIDATE))
    assert candidate[0]["type"] == "CANDIDATE"


def test_application_messages_have_no_place(page: Page) -> None:
    assert page.hear(MessageFrom("b0", {"text": "hello"})) == []


# Two pages


ABOUT = {"type": "data", "label": "chat", "reliable": True, "serialization": "json", "metadata": [1, {"a": None}]}


def passed_on(steps: list[Any], sender: str) -> ServerMessage:
    (offer,) = steps
    return DescriptionFrom(sender, offer.session, offer.description, about=offer.about)


def test_what_a_page_says_of_a_connection_reaches_another_page(page: Page) -> None:
    other = Page("b0", Member("m0", "alice"))
    payload = {"sdp": sdp(DATA), "connectionId": "dc_1", **ABOUT}
    (offer,) = other.hear(passed_on(page.say("OFFER", dst="bot", payload=payload), "m0"))
    assert offer["payload"] == {**ABOUT, "connectionId": "dc_1", "sdp": sdp(DATA)}


def test_both_calls_of_two_pages_come_about(page: Page) -> None:
    other = Page("b0", Member("m0", "alice"))
    there, here = page.call("mc_1"), other.call("mc_2", "alice")
    assert other.hear(passed_on(there, "m0"))[0]["type"] == "OFFER"
    assert page.hear(passed_on(here, "b0"))[0]["type"] == "OFFER"


@pytest.mark.parametrize("about", [1, [], {"peerjs": 1}, {"peerjs": {"type": "x"}}, {"other": {}}])
def test_what_else_is_said_of_a_call_is_passed_over(page: Page, about: Any) -> None:
    assert page.rung("t0", about=about)[0]["payload"]["type"] == "media"


# Hostile input

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = "sdp type connectionId metadata label reliable serialization candidate".split()


@given(
    st.sampled_from("OPEN OFFER ANSWER CANDIDATE LEAVE HEARTBEAT EXPIRE JOIN".split()),
    st.dictionaries(st.sampled_from(FIELDS), anything) | anything,
    anything,
)
@examples(200)
def test_whatever_a_page_says_is_translated_or_refused(kind: str, payload: Any, dst: Any) -> None:
    try:
        Page("m0", BOT).say(kind, payload=payload, dst=dst)
    except ProtocolError as error:
        assert error.code is Code.BAD_MESSAGE


def test_nothing_nested_too_deep_is_passed_on(page: Page) -> None:
    deep: Any = 1
    for _ in range(80):
        deep = [deep]
    with pytest.raises(ProtocolError, match="nested"):
        page.call(metadata=deep)


def test_connections_that_are_remembered_are_bounded(page: Page) -> None:
    for number in range(1000):
        page.call(f"mc_{number}")
    assert page.say("CANDIDATE", payload={"candidate": None, "connectionId": "mc_0"}) == []
    assert page.say("CANDIDATE", payload={"candidate": None, "connectionId": "mc_999"}) != []
    assert 200 < len(page.say("LEAVE", dst="bot")) < 300
