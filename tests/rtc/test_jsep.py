"""Negotiation: what each side offers and answers, what is agreed, and that two sides always agree in the end."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc import codecs, effects, sdp
from peer.rtc.codecs import codec
from peer.rtc.effects import Transceiver
from peer.rtc.jsep import Session, WrongState
from peer.rtc.numbering import FREE_TYPES
from peer.rtc.sdp import SdpError
from peer.rtc.slots import MAX_SLOTS
from tests.harness.examples import examples
from tests.rtc.descriptions import (
    FIXTURES,
    OFFERS,
    PATH,
    answered,
    audio,
    connected,
    data,
    local,
    rejected,
    sending,
    session,
    text,
    video,
)
from tests.rtc.negotiators import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

BROWSERS = ("chromium", "firefox", "safari")


def kinds(found: Sequence[effects.Effect]) -> list[str]:
    return [type(effect).__name__ for effect in found]


def live(description: str) -> dict[str, str]:
    """Mid -> direction of the m-lines that are not rejected."""
    return {each.mid: each.direction for each in sdp.parse(description).media if not each.rejected}


def snapshot(made: Session) -> Any:
    """Everything that a refused description must not change."""
    records = [(each, {**vars(each)}) for each in made.transceivers]
    transport = {name: getattr(made.transport, name) for name in type(made.transport).__slots__}
    descriptions = (made.current_local, made.current_remote, made.pending_local, made.pending_remote)
    return made.state, records, {**vars(made.data)}, transport, descriptions, [*made._slots], made._numbers.copy()


def refused(made: Session, kind: str, description: str, complaint: str) -> None:
    before = snapshot(made)
    with pytest.raises(SdpError, match=complaint):
        made.set_remote(kind, description)
    assert snapshot(made) == before


# Whatever happens, two sides agree in the end

ACTIONS: dict[str, int] = {
    "add": 4,
    "open_channel": 1,
    "stop": 3,
    "turn": 4,
    "replace_track": 2,
    "prefer": 1,
    "restart": 1,
    "offer": 8,
    "offer unsent": 1,
    "deliver": 12,
    "deliver hesitating": 2,
    "settle": 1,
}


def act(pair: Pair, action: str, index: int, number: int) -> None:
    side = pair.sides[index]
    match action:
        case "add":
            side.add(("audio", "video")[number % 2], sdp.DIRECTIONS[number % 4], adoptable=number % 3 > 0)
        case "stop" | "replace_track":
            getattr(side, action)(number)
        case "turn":
            side.turn(number // 4, sdp.DIRECTIONS[number % 4])
        case "prefer":
            side.prefer(number // 4, number % 4)
        case "offer" | "offer unsent":
            side.offer(sent=action == "offer")
        case "deliver" | "deliver hesitating":
            pair.deliver(index, hesitating=action != "deliver")
        case "settle":
            pair.settle()
        case _:
            getattr(side, action)()


@examples(200)
@given(st.lists(st.tuples(st.sampled_from(list(ACTIONS)), st.integers(0, 1), st.integers(0, 23)), max_size=40))
def test_both_sides_agree_in_the_end(actions: list[tuple[str, int, int]]) -> None:
    pair = Pair()
    for action in actions:
        act(pair, *action)
    pair.settle()


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_both_sides_agree_after_a_thousand_likely_courses(hundred: int) -> None:
    """Hypothesis prefers odd courses; these are as many as there are of adding, turning, stopping, crossing offers."""
    for seed in range(hundred * 100, hundred * 100 + 100):
        chance = random.Random(seed)
        pair = Pair()
        for action in chance.choices(list(ACTIONS), list(ACTIONS.values()), k=chance.randrange(4, 30)):
            act(pair, action, chance.randrange(2), chance.randrange(24))
        pair.settle()


# Signaling states


def test_signaling_states() -> None:
    caller, callee = session(sending("audio")), session()
    offer = caller.create_offer(local())
    assert caller.state == "stable"
    assert caller.set_local("offer", offer) == []
    assert (caller.state, str(caller.pending_local), caller.current_local) == ("have-local-offer", offer, None)
    callee.set_remote("offer", offer)
    assert (callee.state, str(callee.pending_remote)) == ("have-remote-offer", offer)
    answer = callee.create_answer(local())
    callee.set_local("answer", answer)
    caller.set_remote("answer", answer)
    for side, mine, theirs in ((caller, offer, answer), (callee, answer, offer)):
        assert side.state == "stable" and side.pending_local is None and side.pending_remote is None
        assert (str(side.current_local), str(side.current_remote)) == (mine, theirs)
    assert caller.offered_locally and not callee.offered_locally
    caller.close()
    assert caller.state == "closed" and not caller.negotiation_needed()


def test_what_is_not_possible_in_a_state() -> None:
    offer = text(audio("0"))
    stable, offering, asked, closed = session(), session(sending("audio")), session(), session()
    offering.set_local("offer", offering.create_offer(local()))
    asked.set_remote("offer", offer)
    closed.close()
    for side in (stable, offering, closed):
        with pytest.raises(WrongState):
            side.create_answer(local())
        with pytest.raises(WrongState):
            side.set_local("answer", offer)
    for side in (stable, asked, closed):
        with pytest.raises(WrongState):
            side.set_remote("answer", offer)
    for side in (asked, closed):
        with pytest.raises(WrongState):
            side.create_offer(local())
        with pytest.raises(WrongState):
            side.set_local("offer", offer)
    for side in (offering, closed):  # an offer that crosses ours needs a rollback before
        with pytest.raises(WrongState):
            side.set_remote("offer", offer)
    for side in (stable, closed):
        with pytest.raises(WrongState):
            side.rollback()


@pytest.mark.parametrize("kind", ["pranswer", "rollback", "", "Offer"])
def test_other_types_of_descriptions_are_refused(kind: str) -> None:
    with pytest.raises(SdpError, match="not supported"):
        session().set_local(kind, text(audio("0")))
    refused(session(), kind, text(audio("0")), "not supported")


def test_an_offer_is_set_as_it_was_made() -> None:
    made = session(sending("audio"))
    offer = made.create_offer(local())
    with pytest.raises(SdpError, match="make another"):
        made.set_local("offer", text(audio("0"), video("1")))
    assert made.state == "stable"
    made.set_local("offer", offer.replace("a=mid:0\r\n", "").replace("useinbandfec=1", "useinbandfec=0"))
    assert made.transceivers[0].mid == "0"
    made.set_local("offer", made.create_offer(local()))  # a later one takes its place
    assert made.state == "have-local-offer"


def test_versions_count_up() -> None:
    made = session(sending("audio"))
    versions = [int(made.create_offer(local()).split()[3]) for _ in range(3)]
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]


# Offers of browsers


@pytest.mark.parametrize("name", OFFERS)
def test_offers_of_browsers_are_answered(name: str) -> None:
    offer = sdp.parse(FIXTURES[name])
    made, text_ = answered(FIXTURES[name], sending("audio"), sending("video"))
    answer = sdp.parse(text_)
    assert [each.mid for each in answer.media] == [each.mid for each in offer.media]
    assert [each.kind for each in answer.media] == [each.kind for each in offer.media]
    unusable = {"0"} if "first-stopped" in name else {"1"} if "stopped" in name else set()
    assert {each.mid for each in answer.media if each.rejected} == unusable
    assert answer.bundle == [mid for mid in offer.bundle or [] if mid not in unusable]
    for mine, theirs in zip(answer.media, offer.media, strict=True):
        if mine.rejected:
            assert mine.formats == theirs.formats
            continue
        assert (mine.protocol, mine.setup, mine.credentials) == (
            theirs.protocol,
            "active",
            (local().username_fragment, local().password),
        )
        numbers = {each.payload_type: each.name.lower() for each in theirs.codecs}
        assert all(numbers[each.payload_type] == each.name.lower() for each in mine.codecs)
        ids = {each.id: each.uri for each in theirs.extensions}
        assert all(ids[each.id] == each.uri for each in mine.extensions)
        assert list(mine.sending_layers) == []
        assert (mine.value("simulcast") or "").removeprefix("recv ") == ";".join(theirs.sending_layers)
        if mine.kind != "application":
            assert mine.direction == "sendrecv"
    if "data" in name or name.endswith("-offer"):
        assert made.data.remote_port == 5000 and made.data.max_message_size >= 262144


@pytest.mark.parametrize("name", OFFERS)
def test_our_offers_into_a_browsers_call_keep_its_numbers(name: str) -> None:
    made, _ = answered(FIXTURES[name], sending("audio"), sending("video"))
    theirs = sdp.parse(FIXTURES[name])
    formats = {each.payload_type: each for section in theirs.media for each in section.codecs}
    ids = {each.id: each.uri for section in theirs.media for each in section.extensions}
    made.add(sending("video"))
    offer = sdp.parse(made.create_offer(local()))
    assert [each.mid for each in offer.media if each.mid in {s.mid for s in theirs.media}] == [
        each.mid for each in theirs.media if not each.rejected
    ]
    for section in offer.media:
        for each in section.codecs:
            assert each.payload_type not in formats or formats[each.payload_type].name.lower() == each.name.lower()
        for extension in section.extensions:
            assert ids.get(extension.id, extension.uri) == extension.uri
    known = {each.name.lower(): each.payload_type for each in formats.values() if each.name.lower() in ("vp8", "opus")}
    for section in offer.media:
        for each in section.codecs:
            assert known.get(each.name.lower(), each.payload_type) == each.payload_type


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_our_offers_after_a_browsers_answer_keep_their_numbers(browser: str) -> None:
    """The answers were captured; here they answer an offer of ours with the numbers of that browser's."""
    made = session(sending("audio"), sending("video"), data=True)
    offer = made.create_offer(local())
    for section in sdp.parse(FIXTURES[f"{browser}-answer"]).media:
        for each in section.codecs:
            if each.name in ("opus", "VP8") or (each.is_rtx and each.apt in (96, 120)):
                ours = {"opus": 96, "VP8": 97, "rtx": 98}[each.name]
                offer = re.sub(rf"(?<=[ :=]){ours}(?=[ \r/])", f"x{each.payload_type}", offer)
    made.set_local("offer", offer.replace("x", "").replace("rt/", "rtx/"))
    made.set_remote("answer", FIXTURES[f"{browser}-answer"])
    assert [each.current_direction for each in made.transceivers] == ["sendonly", "sendonly"]
    again = sdp.parse(made.create_offer(local()))
    numbers = {each.name: each.payload_type for section in again.media for each in section.codecs}
    theirs = sdp.parse(FIXTURES[f"{browser}-answer"])
    assert numbers["opus"] == theirs.media[0].codecs[0].payload_type
    assert numbers["VP8"] == theirs.media[1].codecs[0].payload_type


@pytest.mark.parametrize("browser", BROWSERS)
def test_what_is_agreed_with_a_browser(browser: str) -> None:
    sound, picture = sending("audio"), sending("video", "recvonly")
    made = session(sound, picture)
    found = made.set_remote("offer", FIXTURES[f"{browser}-offer"])
    assert kinds(found) == ["RemoteTransport", "RemoteCandidates", "TrackStarted", "TrackStarted"]
    found = made.set_local("answer", made.create_answer(local()))
    assert kinds(found) == ["RoleAgreed", "Negotiated", "Negotiated", "DataAgreed"]
    assert (sound.mid, sound.current_direction, picture.mid, picture.current_direction) == (
        *("0", "sendrecv", "1", "recvonly"),
    )
    assert sound.codecs[0].name == "opus"
    assert picture.codecs[0].name == ("H264" if browser == "safari" else "VP8")
    assert picture.codecs[1].apt == picture.codecs[0].payload_type
    assert len(picture.remote.ssrcs) == 1 and len(picture.remote.repairs) == 1
    assert {each.uri for each in picture.extensions} >= {codecs.MID, codecs.ABS_SEND_TIME}
    assert (made.slot_of(sound), made.slot_of(picture), made.slot_of(Transceiver("audio"))) == (0, 1, None)
    assert not made.negotiation_needed()


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_simulcast_is_received_in_all_layers(browser: str) -> None:
    made, answer = answered(FIXTURES[f"{browser}-simulcast"])
    assert made.transceivers[1].remote.layers == ("q", "h", "f")
    assert "a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n" in answer
    assert {each.uri for each in made.transceivers[1].extensions} >= {codecs.RID, codecs.REPAIRED_RID}
    _, held = answered(FIXTURES[f"{browser}-simulcast"], sending("audio"), sending("video", "sendonly"))
    assert "simulcast" not in held


def test_an_offer_composed_like_safaris_prefers_h264() -> None:
    """Composed, not captured: H.264 first in several profiles, VP9, H.265, no AV1, mDNS candidates."""
    made, _ = answered(FIXTURES["safari-offer"], sending("video"))
    names = [each.name for each in made.transceivers[0].codecs if not each.is_rtx]
    assert names == ["H264", "VP8", "VP9"]
    assert made.transceivers[0].codecs[0].payload_type == 98  # constrained baseline, packetization mode 1


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_place_that_a_browser_stops_and_uses_again(browser: str) -> None:
    """Three offers of one call; captured in calls of their own, so they share one certificate here."""

    def of_one_call(name: str) -> str:
        first = sdp.parse(FIXTURES[f"{browser}-offer"]).media[0].fingerprints[0][1]
        again = re.sub(r"(?<=sha-256 )[0-9A-F:]+", first, FIXTURES[f"{browser}-{name}"])
        return re.sub(r"a=extmap:(\d+)[^\r]*\r\n", "", again)

    made, _ = answered(of_one_call("offer"))
    sound, picture = made.transceivers
    assert "TrackHeld" in kinds(made.set_remote("offer", of_one_call("stopped")))
    answer = made.create_answer(local())
    assert live(answer) == {"0": "recvonly", "2": "sendrecv"}
    assert effects.Stopped(picture) in made.set_local("answer", answer)
    assert made.transceivers == [sound] and picture.current_direction == "stopped"
    found = made.set_remote("offer", of_one_call("recycled"))
    (started,) = (effect for effect in found if isinstance(effect, effects.TrackStarted))
    made.set_local("answer", made.create_answer(local()))
    assert started.transceiver.mid == "3" and made.slot_of(started.transceiver) == 1
    assert made.current_local is not None and len(made.current_local.media) == 3


# Offers of others


def test_m_lines_that_cannot_be_used_are_rejected_alone() -> None:
    unknown = ["m=text 9 RTP/SAVPF 98", "a=mid:1"]
    without_mux = [line for line in video("2") if "rtcp-mux" not in line]
    offer = text(audio("0"), unknown, without_mux, video("3"), video("4"), data("5"), bundle="0 1 2 3 5")
    made, answer = answered(offer)
    assert live(answer) == {"0": "recvonly", "3": "recvonly", "5": "sendrecv"}
    assert [section.mline for section in sdp.parse(answer).media if section.rejected] == [
        *("m=text 0 RTP/SAVPF 98", "m=video 0 UDP/TLS/RTP/SAVPF 96", "m=video 0 UDP/TLS/RTP/SAVPF 96"),
    ]
    assert [each.mid for each in made.transceivers] == ["0", "3"]


def test_the_path_is_that_of_the_first_m_line_that_is_taken() -> None:
    path = [line.replace("abcd", "other") for line in PATH]
    unknown = ["m=text 9 RTP/SAVPF 98", "a=mid:0", "a=candidate:1 1 udp 1 192.0.2.1 1 typ host", *path]
    offer = text(unknown, audio("1", "a=candidate:1 1 udp 1 192.0.2.1 2 typ host", "a=end-of-candidates"))
    made = session()
    transport, candidates, _ = made.set_remote("offer", offer)
    assert isinstance(transport, effects.RemoteTransport) and transport.username_fragment == "abcd"
    assert candidates == effects.RemoteCandidates(("1 1 udp 1 192.0.2.1 2 typ host",), True)
    assert sdp.parse(made.create_answer(local())).bundle == ["1"]
    assert made.transport.tag == "1"


def test_without_a_bundle_one_m_line_is_taken_and_no_group_is_answered() -> None:
    made, answer = answered(text(audio("0"), video("1"), data("2"), bundle=""))
    assert live(answer) == {"0": "recvonly"}
    assert "a=group" not in answer
    assert sdp.parse(made.create_offer(local())).bundle == ["0"]


def test_m_lines_without_mids() -> None:
    nameless = [[line for line in section if "a=mid" not in line] for section in (audio(), video())]
    made, answer = answered(text(*nameless, bundle=""))
    assert live(answer) == {"0": "recvonly"}
    made.set_remote("offer", text(*nameless, bundle=""))
    made.set_local("answer", made.create_answer(local()))
    assert [each.mid for each in made.transceivers] == ["0"]
    caller = session(sending("audio"))
    caller.set_local("offer", caller.create_offer(local()))
    back = text(["m=audio 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 opus/48000/2", "a=rtcp-mux", *PATH], bundle="")
    caller.set_remote("answer", back.replace("actpass", "active"))
    assert caller.transceivers[0].current_direction == "sendrecv"


@pytest.mark.parametrize("protocol", ["RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/AVP", "TCP/DTLS/RTP/SAVPF"])
def test_an_answer_has_the_protocol_of_the_offer(protocol: str) -> None:
    _, answer = answered(text([line.replace("UDP/TLS/RTP/SAVPF", protocol) for line in audio("0")]))
    assert f"m=audio 9 {protocol} 111\r\n" in answer


def test_data_channels_as_they_were_before_their_rfc() -> None:
    old = ["m=application 9 DTLS/SCTP 5000", "a=mid:0", "a=sctpmap:5000 webrtc-datachannel 1024", *PATH]
    made, answer = answered(text(old))
    assert "m=application 9 DTLS/SCTP 5000\r\n" in answer and "a=sctpmap:5000 " in answer
    assert (made.data.remote_port, made.data.legacy) == (5000, True)
    assert "m=application 9 DTLS/SCTP 5000\r\n" in made.create_offer(local())


def test_only_one_m_line_for_data_is_taken() -> None:
    made, answer = answered(text(data("0"), data("1")))
    assert (live(answer), made.data.mid) == ({"0": "sendrecv"}, "0")
    made.set_remote("offer", text(data("0"), data("1")))
    assert live(made.create_answer(local())) == {"0": "sendrecv"}


def test_data_channels_that_the_other_side_rejects() -> None:
    caller = session(sending("audio"), data=True)
    offer = caller.create_offer(local())
    caller.set_local("offer", offer)
    back = text(audio("0", "a=rtpmap:96 opus/48000/2"), rejected(data("1")), bundle="0")
    found = caller.set_remote("answer", back.replace("SAVPF 111", "SAVPF 96").replace("actpass", "active"))
    assert kinds(found)[-1] == "DataRejected"
    assert caller.data.rejected and caller.data.mid is None and not caller.negotiation_needed()
    assert "m=application 0 " in caller.create_offer(local())
    caller.data.wanted, caller.data.rejected = True, False  # the application tries again
    assert caller.negotiation_needed()
    assert live(caller.create_offer(local())) == {"0": "sendrecv", "2": "sendrecv"}


@pytest.mark.parametrize(
    ("offer", "complaint"),
    [
        ("v=0\r\ns=-\r\n", "nothing in common"),
        (text(rejected(audio("0"))), "nothing in common"),
        (text(video("0", mapping="96 H265/90000")), "nothing in common"),
        (text(video("0", formats="99")), "nothing in common"),
        (text(audio("0", path=[])), "ICE credentials"),
        (text(audio("0", path=[line for line in PATH if "fingerprint" not in line])), "DTLS fingerprint"),
        (text(audio("0", path=[line for line in PATH if "pwd" not in line])), "ICE credentials"),
        (text(audio("0"), video("1", formats="111", mapping="111 VP8/90000")), "means two things"),
    ],
)
def test_first_offers_that_are_refused(offer: str, complaint: str) -> None:
    refused(session(sending("audio")), "offer", offer, complaint)


def test_without_setup_we_begin_the_handshake() -> None:
    made, answer = answered(text(audio("0", path=[line for line in PATH if "setup" not in line])))
    assert "a=setup:active" in answer and made.transport.role == "client"


@pytest.mark.parametrize(
    ("offer", "complaint"),
    [
        (text(audio("0")), "there were 2"),
        (text(audio("0"), video("2")), "became 2"),
        (text(audio("0"), audio("1")), "one for audio"),
        (text(audio("0"), video("1")).replace("AB:AB", "CD:AB"), "fingerprint changed"),
        (text(audio("0", path=[]), video("1")), "ICE credentials"),
    ],
)
def test_later_offers_that_are_refused(offer: str, complaint: str) -> None:
    made, _ = answered(text(audio("0"), video("1")))
    refused(made, "offer", offer, complaint)
    made.set_remote("offer", text(audio("0"), video("1"), video("2")))
    refused(made, "offer", offer, complaint)  # also in the place of one that is pending


def test_everything_may_be_rejected_in_the_end() -> None:
    made, _ = answered(text(audio("0"), data("1")))
    made.set_remote("offer", text(rejected(audio("0")), rejected(data("1")), bundle=""))
    answer = made.create_answer(local())
    assert live(answer) == {}
    assert kinds(made.set_local("answer", answer)) == ["Stopped", "DataRejected"]
    assert made.transceivers == []


# Answers


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (text(audio("0")), "not those of the offer"),
        (text(audio("0", path=[]), rejected(video("1")), bundle="0"), "ICE credentials"),
        (text(audio("0"), rejected(video("1")), bundle="0"), "who begins"),
        (text(rejected(audio("0")), video("1"), bundle="1"), "without a codec"),
        ("nonsense", "v=0"),
    ],
)
def test_answers_that_are_refused(answer: str, complaint: str) -> None:
    made = session(sending("audio"), sending("video"))
    made.set_local("offer", made.create_offer(local()))
    numbered = answer.replace("SAVPF 111", "SAVPF 96").replace("rtpmap:111", "rtpmap:96")
    refused(made, "answer", numbered, complaint)


def test_an_answer_of_ours_has_to_fit_too() -> None:
    made = session()
    made.set_remote("offer", text(audio("0")))
    with pytest.raises(SdpError, match="without a codec"):
        made.set_local("answer", made.create_answer(local()).replace("opus", "other"))
    assert made.state == "have-remote-offer"


def test_m_lines_that_the_other_side_rejects() -> None:
    sound, picture = sending("audio"), sending("video")
    caller, callee = session(sound, picture), session()
    offer = caller.create_offer(local())
    caller.set_local("offer", offer)
    callee.set_remote("offer", offer)
    next(each for each in callee.transceivers if each.kind == "video").stopping = True
    answer = callee.create_answer(local())
    assert live(answer) == {"0": "recvonly"}
    assert "Stopped" in kinds(callee.set_local("answer", answer))
    found = caller.set_remote("answer", answer)
    assert effects.Stopped(picture) in found and caller.transceivers == [sound]
    assert not caller.negotiation_needed() and not callee.negotiation_needed()
    # The place is used again, under another mid.
    third = caller.add(sending("audio"))
    assert caller.negotiation_needed()
    connected(caller, callee)
    assert (third.mid, caller.slot_of(third)) == ("2", 1)


def test_an_answer_that_takes_more_than_was_offered() -> None:
    made = session(sending("audio", "sendonly"))
    made.set_local("offer", made.create_offer(local()))
    back = text(audio("0", "a=sendrecv")).replace("111", "96").replace("actpass", "active")
    found = made.set_remote("answer", back)
    assert made.transceivers[0].current_direction == "sendonly"
    assert "TrackStarted" not in kinds(found)


# Stop, hold, replace


@pytest.mark.parametrize("stopper", [0, 1])
def test_a_stopped_transceiver(stopper: int) -> None:
    sides = session(sending("audio"), sending("video")), session(sending("audio"), sending("video"))
    connected(*sides)
    side, other = sides[stopper], sides[1 - stopper]
    gone = side.transceivers[1]
    gone.stopping = True
    assert side.negotiation_needed()
    connected(side, other)
    assert gone.stopped and gone not in side.transceivers
    assert [each.mid for each in other.transceivers] == ["0"]
    assert not side.negotiation_needed() and not other.negotiation_needed()


def test_a_place_may_be_used_again_for_another_kind_by_either_side() -> None:
    one, other = session(sending("audio"), sending("video")), session()
    connected(one, other)
    one.transceivers[1].stopping = True
    connected(one, other)
    added = other.add(sending("audio"))
    connected(other, one)
    assert (added.mid, other.slot_of(added)) == ("2", 1)
    assert one.current_local is not None
    assert [each.kind for each in one.current_local.media] == ["audio", "audio"]


@pytest.mark.parametrize("stopper", [0, 1])
def test_the_m_line_with_the_path_is_never_rejected_but_inactive(stopper: int) -> None:
    sides = session(sending("audio"), sending("video")), session(sending("audio"), sending("video"))
    connected(*sides)
    side, other = sides[stopper], sides[1 - stopper]
    gone, partner = side.transceivers[0], other.transceivers[0]
    gone.stopping = True
    assert side.negotiation_needed()
    connected(other, side)  # it may be answered
    assert gone.stopped and gone not in side.transceivers
    assert (partner.current_direction, partner.stopped) == ("inactive", False)
    assert not side.negotiation_needed()
    connected(side, other)  # or offered: it stays so
    assert partner.current_direction == "inactive"
    assert side.transport.tag == other.transport.tag == "0"
    again = side.add(sending("audio"))
    connected(side, other)
    assert (again.mid, again.current_direction, partner.current_direction) == ("0", "sendrecv", "sendrecv")


def test_offered_as_inactive_the_m_line_with_the_path_is_over() -> None:
    one, other = session(sending("audio"), sending("video")), session()
    connected(one, other)
    gone = one.transceivers[0]
    gone.stopping = True
    offer = one.create_offer(local("offerer"))
    assert live(offer) == {"0": "inactive", "1": "sendrecv"}
    one.set_local("offer", offer)
    other.set_remote("offer", offer)
    answer = other.create_answer(local("answerer"))
    other.set_local("answer", answer)
    assert effects.Stopped(gone) in one.set_remote("answer", answer)
    assert live(one.create_offer(local("offerer"))) == {"0": "inactive", "1": "sendrecv"}


def test_the_m_line_with_the_path_is_taken_whatever_the_application_prefers() -> None:
    made, _ = answered(text(video("0")))
    made.transceivers[0].preferences = (codec("video", "H265", 90000, 1, 0),)
    made.set_remote("offer", text(video("0")))
    assert live(made.create_answer(local())) == {"0": "recvonly"}


def test_a_browser_that_stops_its_first_m_line_moves_the_path() -> None:
    made, _ = answered(text(audio("0"), video("1")))
    found = made.set_remote("offer", text(rejected(audio("0")), video("1"), bundle="1"))
    assert isinstance(found[0], effects.RemoteTransport) and found[0].moved and not found[0].restarted
    assert kinds(made.rollback())[0] == "RestartDropped"
    assert made.transport.tag == "0"
    made.set_remote("offer", text(rejected(audio("0")), video("1"), bundle="1"))
    made.set_local("answer", made.create_answer(local()))
    assert made.transport.tag == "1"


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_call_of_a_browser_whose_first_m_line_goes_and_comes_back(browser: str) -> None:
    """As captured, one after the other: an ICE restart, the first m-line stopped, its place used again."""
    made, _ = answered(FIXTURES[f"{browser}-restart"], sending("audio"), sending("video"))
    credentials = made.transport.credentials
    for step, tag in (("first-stopped", "1"), ("first-recycled", "3")):
        found = made.set_remote("offer", FIXTURES[f"{browser}-{step}"])
        assert isinstance(found[0], effects.RemoteTransport) and found[0].moved
        answer = made.create_answer(local())
        assert "a=setup:active" in answer  # the role that was agreed, also for another association
        made.set_local("answer", answer)
        assert made.transport.tag == tag and made.transport.role == "client"
        assert found[0].restarted == (made.transport.credentials != credentials)
        credentials = made.transport.credentials
    assert [each.mid for each in made.transceivers] == ["1", "3"]
    assert all(each.current_direction in ("sendrecv", "recvonly") for each in made.transceivers)


def test_stopped_between_making_an_offer_and_setting_it() -> None:
    one, other = session(sending("audio"), sending("video")), session()
    offer = one.create_offer(local("offerer"))
    gone = one.transceivers[1]
    gone.stopping = gone.stopped = True  # as an m-line is not its own yet
    one.set_local("offer", offer)
    other.set_remote("offer", offer)
    answer = other.create_answer(local("answerer"))
    other.set_local("answer", answer)
    assert effects.Negotiated(gone) not in one.set_remote("answer", answer)
    assert one.negotiation_needed()
    connected(one, other)
    assert [each.mid for each in other.transceivers] == ["0"]
    assert not one.negotiation_needed()


@pytest.mark.parametrize("held", ["inactive", "sendonly"])
def test_held_and_resumed(held: str) -> None:
    one, other = session(sending("audio")), session(sending("audio"))
    connected(one, other)
    mine, theirs = one.transceivers[0], other.transceivers[0]
    mine.direction = held
    assert one.negotiation_needed()
    offer = one.create_offer(local("offerer"))
    one.set_local("offer", offer)
    found = other.set_remote("offer", offer)
    assert (effects.TrackHeld(theirs) in found) == (held == "inactive")
    answer = other.create_answer(local("answerer"))
    other.set_local("answer", answer)
    found = one.set_remote("answer", answer)
    assert effects.TrackHeld(mine) in found and effects.Negotiated(mine) in found
    assert (mine.current_direction, theirs.current_direction) == (held, sdp.reverse(held))
    assert not one.negotiation_needed() and not other.negotiation_needed()
    mine.direction = "sendrecv"
    connected(one, other)
    assert mine.receiving and theirs.receiving


def test_what_we_do_not_want_to_receive_does_not_start() -> None:
    made = session(sending("audio", "sendonly"))
    assert "TrackStarted" not in kinds(made.set_remote("offer", text(audio("0"))))
    made.transceivers[0].direction = "sendrecv"  # the application changes its mind
    assert kinds(made.set_local("answer", made.create_answer(local()))) == ["RoleAgreed", "TrackStarted", "Negotiated"]
    made.set_remote("offer", text(audio("0")))
    made.transceivers[0].direction = "sendonly"
    assert kinds(made.set_local("answer", made.create_answer(local()))) == ["TrackHeld", "Negotiated"]


def test_a_replaced_track_is_told_by_its_stream() -> None:
    made, _ = answered(text(audio("0", "a=msid:s t", "a=ssrc:1 cname:c")))
    assert made.transceivers[0].remote == effects.RemoteMedia((("s", "t"),), (1,))
    found = made.set_remote("offer", text(audio("0", "a=msid:s2 t2", "a=ssrc:2 cname:c")))
    assert kinds(found) == ["RemoteTransport", "RemoteCandidates"]
    assert made.transceivers[0].remote == effects.RemoteMedia((("s2", "t2"),), (2,))
    assert kinds(made.set_local("answer", made.create_answer(local()))) == ["Negotiated"]


# Preferences


def test_preferences_are_kept_in_offers_and_answers() -> None:
    h264 = tuple(each for each in codecs.CAPABILITIES["video"] if each.name in ("H264", "rtx"))
    made = session(sending("video"))
    made.transceivers[0].preferences = h264
    assert "VP8" not in made.create_offer(local()) and "rtx" in made.create_offer(local())
    made.set_remote("offer", FIXTURES["chromium-offer"])
    answer = sdp.parse(made.create_answer(local()))
    assert [each.payload_type for each in answer.media[1].codecs if not each.is_rtx] == [102, 108]
    made.set_local("answer", str(answer))
    vp8 = codec("video", "VP8", 90000, 1, 0)
    made.transceivers[0].preferences = (vp8, h264[1])
    offer = sdp.parse(made.create_offer(local()))
    assert [each.payload_type for each in offer.media[1].codecs] == [96, 102]


def test_an_offer_without_anything_that_is_preferred_is_rejected() -> None:
    h265 = codec("video", "H265", 90000, 1, 0)
    preferring = sending("video")
    preferring.preferences = (h265,)
    made, answer = answered(text(audio("0"), video("1")), preferring)
    assert live(answer) == {"0": "recvonly"}
    assert preferring.stopped
    other = sending("video")
    other.preferences = (h265,)
    assert "VP8" in session(other).create_offer(local())  # an m-line needs a format


def test_no_payload_type_left() -> None:
    maps = [f"a=rtpmap:{number} x/1" for number in FREE_TYPES]
    made, _ = answered(text(audio("0", *maps, path=PATH).copy()).replace("SAVPF 111", "SAVPF 111 " + _all_types()))
    made.add(sending("video"))
    with pytest.raises(SdpError, match="no payload type is free"):
        made.create_offer(local())


def _all_types() -> str:
    return " ".join(str(number) for number in FREE_TYPES if number != 111)


def test_no_id_left_for_an_extension() -> None:
    lines = [f"a=extmap:{number} urn:{number}" for number in range(1, 15)]
    made, _ = answered(text(audio("0", *lines)))
    assert "a=extmap:" not in made.create_offer(local())


# Glare and rollback


@pytest.mark.parametrize("polite", [0, 1])
def test_first_offers_that_cross(polite: int) -> None:
    sides = session(sending("audio"), data=True), session(sending("video"), sending("audio"), data=True)
    offers = [side.create_offer(local(f"side{index}")) for index, side in enumerate(sides)]
    for side, offer in zip(sides, offers, strict=True):
        side.set_local("offer", offer)
    giving_way, other = sides[polite], sides[1 - polite]
    assert kinds(giving_way.rollback()) == ["RestartDropped"]
    assert giving_way.state == "stable" and all(each.mid is None for each in giving_way.transceivers)
    giving_way.set_remote("offer", offers[1 - polite])
    answer = giving_way.create_answer(local(f"side{polite}"))
    giving_way.set_local("answer", answer)
    other.set_remote("answer", answer)
    assert other.transport.role == "server" and giving_way.transport.role == "client"
    assert not other.negotiation_needed()
    assert giving_way.negotiation_needed() == (polite == 1)
    connected(giving_way, other)
    assert sorted(each.kind for each in other.transceivers) == ["audio", "video"]


def test_a_rolled_back_offer_reserves_no_number() -> None:
    made = session(sending("audio"), sending("video"))
    made.set_local("offer", made.create_offer(local()))
    made.rollback()
    events = [f"a=rtpmap:{number} telephone-event/8000" for number in (97, 98, 99)]
    made.set_remote("offer", text(audio("0", *events)).replace("SAVPF 111", "SAVPF 111 97 98 99"))
    made.set_local("answer", made.create_answer(local()))
    offer = sdp.parse(made.create_offer(local()))
    assert {97, 98, 99}.isdisjoint(each.payload_type for each in offer.media[1].codecs)
    assert [each.payload_type for each in offer.media[0].codecs][:1] == [111]


def test_a_rolled_back_offer_of_the_other_side_leaves_no_trace() -> None:
    made = session(sending("audio"), sending("video"), data=True)

    def offer() -> list[str]:
        return made.create_offer(local()).split("\r\n")[2:]

    def without_mids(lines: list[str]) -> list[str]:
        return [line for line in lines if not line.startswith(("a=mid", "a=group"))]

    before = offer()
    for name in ("chromium-offer", "firefox-offer"):
        made.set_remote("offer", FIXTURES[name])
        if name == "firefox-offer":
            made.set_remote("offer", FIXTURES["firefox-simulcast"])  # in the place of the other
        made.rollback()
        assert without_mids(offer()) == without_mids(before)


def test_rolling_back_an_offer_of_the_other_side() -> None:
    made = session(sending("audio"))
    found = made.set_remote("offer", text(audio("0"), video("1"), data("2")))
    (_, made_by_offer) = (effect.transceiver for effect in found if isinstance(effect, effects.TrackStarted))
    own = made.transceivers[0]
    assert own.mid == "0" and own.receiving
    found = made.rollback()
    assert kinds(found) == ["TrackHeld", "TrackHeld", "Stopped", "Removed"]
    assert found[-1] == effects.Removed(made_by_offer)
    assert made.transceivers == [own] and (own.mid, own.receiving, own.stopped) == (None, False, False)
    assert (made.data.mid, made.state, made.pending_remote) == (None, "stable", None)
    made.set_remote("offer", text(audio("a"), bundle="a"))  # as if nothing had been
    assert own.mid == "a"


def test_a_transceiver_that_the_application_took_over_outlives_the_rollback() -> None:
    made = session()
    made.set_remote("offer", text(audio("0")))
    own = made.transceivers[0]
    own.track_id = "track"
    assert kinds(made.rollback()) == ["TrackHeld"]
    assert made.transceivers == [own] and own.adoptable and made.negotiation_needed()


def test_a_transceiver_that_was_stopped_meanwhile_is_over_after_the_rollback() -> None:
    made = session(sending("audio"))
    made.set_remote("offer", text(audio("0")))
    own = made.transceivers[0]
    own.stopping = True
    assert kinds(made.rollback()) == ["TrackHeld", "Stopped"]
    assert made.transceivers == [] and not made.negotiation_needed()


def test_a_rollback_resumes_what_the_offer_held() -> None:
    made, _ = answered(text(audio("0")))
    own = made.transceivers[0]
    assert effects.TrackHeld(own) in made.set_remote("offer", text(audio("0", "a=inactive")))
    assert kinds(made.rollback()) == ["TrackStarted"]
    assert own.receiving and own.current_direction == "recvonly"


def test_a_later_offer_takes_the_place_of_one_that_was_not_answered() -> None:
    made = session()
    made.set_remote("offer", text(audio("0"), video("1"), video("2")))
    sound, _, third = made.transceivers
    found = made.set_remote("offer", text(audio("0"), rejected(video("1")), video("3")))
    assert kinds(found) == [
        *("TrackHeld", "Stopped", "Removed"),  # of the m-line that is not in it
        *("RemoteTransport", "RemoteCandidates", "TrackHeld", "TrackStarted"),
    ]
    assert third.stopped and sound in made.transceivers
    answer = made.create_answer(local())
    assert live(answer) == {"0": "recvonly", "3": "recvonly"}
    made.set_local("answer", answer)
    assert [each.mid for each in made.transceivers] == ["0", "3"]


# ICE restart


def restarted(found: Sequence[effects.Effect]) -> bool:
    (transport,) = (effect for effect in found if isinstance(effect, effects.RemoteTransport))
    return transport.restarted


def test_ice_restarts_of_either_side() -> None:
    one, other = session(sending("audio")), session()
    connected(one, other)
    one.restart_wanted = True
    assert one.negotiation_needed()
    offer = one.create_offer(local("again"))
    one.set_local("offer", offer)
    assert restarted(other.set_remote("offer", offer))
    assert other.transport.restarting
    answer = other.create_answer(local("anew"))
    other.set_local("answer", answer)
    assert restarted(one.set_remote("answer", answer))
    assert one.transport.credentials == (local("anew").username_fragment, local("anew").password)


def test_an_answer_without_a_restart_says_so() -> None:
    one, other = session(sending("audio")), session()
    connected(one, other)
    offer = one.create_offer(local("again"))
    one.set_local("offer", offer)
    other.set_remote("offer", offer)
    answer = other.create_answer(local("answerer"))
    assert not restarted(one.set_remote("answer", answer))


def test_a_restart_that_is_rolled_back() -> None:
    one, other = session(sending("audio")), session()
    connected(one, other)
    offer = one.create_offer(local("again"))
    other.set_remote("offer", offer)
    assert kinds(other.rollback()) == ["RestartDropped"]
    assert other.transport.credentials == (local("offerer").username_fragment, local("offerer").password)
    other.set_remote("offer", offer)
    found = other.set_remote("offer", one.create_offer(local("third")))
    assert kinds(found) == ["RestartDropped", "RemoteTransport", "RemoteCandidates"] and restarted(found)


# Limits


def test_there_are_not_too_many_transceivers() -> None:
    made = session(*(sending("audio") for _ in range(MAX_SLOTS - 1)))
    with pytest.raises(SdpError, match="at most"):
        made.add(sending("audio"))
    made.transceivers[0].stopped = True
    made.add(sending("audio"))


def test_negotiation_is_needed() -> None:
    made = session()
    assert not made.negotiation_needed()
    made.data.wanted = True
    assert made.negotiation_needed()
    made.data.rejected = True
    assert not made.negotiation_needed()
    made.restart_wanted = True
    assert made.negotiation_needed()


def test_six_m_lines_stay_six() -> None:
    one, other = session(*(sending("video") for _ in range(6))), session()
    connected(one, other)
    for turn in range(8):  # each of four places, from both sides
        side, partner = ((one, other), (other, one))[turn % 2]
        gone = side.transceivers[1 + turn % 4]
        gone.stopping = True
        connected(side, partner)
        partner.add(sending(("audio", "video")[turn % 3 % 2]))
        connected(partner, side)
        assert one.current_local is not None
        assert len(one.current_local.media) == 6 and len(live(str(other.current_local))) == 6


# Hostile


@examples(150)
@given(st.sampled_from(sorted(FIXTURES)), st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_damaged_descriptions_are_refused_or_understood(name: str, seed: int, wounds: int, later: bool) -> None:
    made = session(sending("audio"), sending("video"), data=True)
    if later:
        made, _ = answered(FIXTURES[name.replace("answer", "offer")], sending("audio"), sending("video"))
    damaged = _damaged(FIXTURES[name], random.Random(seed), wounds)
    _digest(made, "offer", damaged)
    offering = session(sending("audio"), sending("video"), data=True)
    offering.set_local("offer", offering.create_offer(local()))
    _digest(offering, "answer", damaged)


@given(
    st.sampled_from(["offer", "answer"]), st.text(), st.lists(st.sampled_from(FIXTURES["firefox-offer"].split("\r\n")))
)
def test_any_text_is_refused_or_understood(kind: str, anything: str, lines: list[str]) -> None:
    for description in (anything, "\n".join(["v=0", *lines, anything])):
        made = session(sending("audio"))
        if kind == "answer":
            made.set_local("offer", made.create_offer(local()))
        _digest(made, kind, description)


@pytest.mark.parametrize(
    "line",
    [
        "a=ssrc:{} cname:x",
        "a=rtpmap:{} x/1",
        "a=rid:{} send",
        "a=extmap:{} urn:x",
        "a=mid:{}",
        "a=candidate:{}",
        "a=x{}",
    ],
)
def test_ten_thousand_lines(line: str) -> None:
    flood = [line.format(number) for number in range(10_000)]
    sections = [audio("0", *flood), video("1", *flood)]
    for offer in (text(*sections), text(audio("0"), session=tuple(flood))):
        _digest(session(), "offer", offer)
    _digest(session(), "offer", text(*(audio(str(number)) for number in range(64)), session=tuple(flood)))


def test_a_bundle_of_ten_thousand() -> None:
    mids = " ".join(map(str, range(10_000)))
    made, answer = answered(text(*(audio(str(number)) for number in range(64)), bundle=mids))
    assert len(sdp.parse(answer).media) == 64 and len(made.transceivers) == 64


def _digest(made: Session, kind: str, description: str) -> None:
    """Nothing but the two errors comes out, and a refused description changes nothing."""
    before = snapshot(made)
    try:
        made.set_remote(kind, description)
    except (SdpError, WrongState):
        assert snapshot(made) == before
        return
    if kind == "offer":
        made.set_local("answer", made.create_answer(local()))
    assert made.state == "stable"
    offer = made.create_offer(local())
    assert made.current_local is not None
    assert len(sdp.parse(offer).media) >= len(made.current_local.media)


def _damaged(description: str, chance: random.Random, wounds: int) -> str:
    lines = description.splitlines()
    for _ in range(wounds):
        place = chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(7):
            case 0 if len(lines) > 1:
                del lines[place]
            case 1:
                lines.insert(chance.randrange(len(lines)), line)
            case 2:
                lines[place] = line[: chance.randrange(len(line) + 1)]
            case 3:
                at = chance.randrange(len(line) + 1)
                lines[place] = line[:at] + chance.choice([*" :/0x=;", "٣", "\0", "-1", "\x85", "\u2028"]) + line[at:]
            case 4:
                lines[place] = re.sub(r"\d+", lambda _: str(chance.choice([0, 1, 71, 72, 200, 65536, 10**12])), line)
            case 5:
                others = ["m=video 9 X 1", "a=mid:0", "a=setup:active", "a=bundle-only", "a=ice-lite", line[::-1]]
                lines[place] = chance.choice(others)
            case _:
                lines[place] = line.partition(":")[0]
    return "\r\n".join(lines)
