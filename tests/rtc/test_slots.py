"""M-lines keep their places; rejected places are used again; whose an offered one becomes."""

from __future__ import annotations

import pytest

from peer.rtc import slots
from peer.rtc.effects import DataSection, Transceiver
from peer.rtc.sdp import DIRECTIONS, SdpError, parse
from peer.rtc.slots import Mids, Slot
from tests.rtc.descriptions import audio, data, rejected, text, video


def plan(present: list[Slot], *transceivers: Transceiver, data: DataSection | None = None, tag: str = "") -> list[Slot]:
    mids = Mids()
    mids.add(present)
    return slots.plan(present, transceivers, data or DataSection(), mids, tag)


# Offers of ours


def test_new_m_lines_come_at_the_end() -> None:
    one, two, wanted = Transceiver("audio"), Transceiver("video"), DataSection(wanted=True)
    assert plan([], one, two, data=wanted) == [Slot("0", one), Slot("1", two), Slot("2", wanted)]
    assert plan([Slot("0", one)], one, two) == [Slot("0", one), Slot("1", two)]
    first = DataSection(wanted=True, first=True)
    assert plan([], one, data=first) == [Slot("0", first), Slot("1", one)]
    assert plan([Slot("7", first)], one, data=first) == [Slot("7", first), Slot("0", one)]


def test_what_is_not_wanted_gets_no_m_line() -> None:
    gone, going = Transceiver("audio", stopped=True), Transceiver("audio", stopping=True)
    assert plan([], gone, going, data=DataSection()) == []
    assert plan([], data=DataSection(wanted=True, rejected=True)) == []


def test_rejected_places_are_used_again_under_another_mid() -> None:
    one, two, three = Transceiver("audio"), Transceiver("video"), Transceiver("video")
    present = [Slot("0", one), Slot("1", None), Slot("2", None)]
    assert plan(present, one, two) == [Slot("0", one), Slot("3", two), Slot("2", None)]
    assert plan(present, one, two, three, data=DataSection(wanted=True))[2:] == [
        Slot("4", three),
        Slot("5", DataSection(wanted=True)),
    ]


def test_a_stopped_transceivers_place_is_free_when_it_is_rejected() -> None:
    going, new = Transceiver("audio", stopping=True), Transceiver("audio")
    assert plan([Slot("0", going)], going, new) == [Slot("0", going), Slot("1", new)]
    assert Slot("0", going).over and Slot("0", Transceiver("audio", stopped=True)).over
    assert not any(Slot("0", owner).over for owner in (None, DataSection(), Transceiver("audio")))


def test_the_m_line_with_the_path_is_taken_over() -> None:
    gone, sound, picture = Transceiver("audio", stopped=True), Transceiver("audio"), Transceiver("video")
    present = [Slot("0", gone), Slot("1", None)]
    assert plan(present, picture, sound, tag="0") == [Slot("0", sound), Slot("2", picture)]
    assert plan(present, sound, tag="1") == [Slot("0", gone), Slot("2", sound)]
    assert plan([Slot("0", gone)], data=DataSection(wanted=True), tag="0")[0] == Slot("0", gone)


def test_there_are_not_too_many() -> None:
    present = [Slot(str(index), Transceiver("audio")) for index in range(slots.MAX_SLOTS)]
    with pytest.raises(SdpError, match="at most 64"):
        plan(present, Transceiver("video"))
    present[5] = Slot("5", None)
    assert len(plan(present, Transceiver("video"))) == slots.MAX_SLOTS


def test_mids_are_not_used_again_but_forgotten_in_the_end() -> None:
    mids = Mids()
    mids.add([Slot("0", None), Slot("2", None)])
    assert mids.fresh(["1"]) == "3"
    mids.add(Slot(f"x{number}", None) for number in range(slots.MAX_MIDS))
    assert mids.fresh([]) == "0"


def test_which_offer_was_planned() -> None:
    planned = [Slot("0", Transceiver("audio")), Slot("1", DataSection()), Slot("2", None)]
    slots.check_plan(planned, parse(text(audio("0"), data("1"), rejected(video("2")))))
    slots.check_plan(planned, parse(text(rejected(audio("0")), data("1"), rejected(video("2")))))
    for other in (
        text(audio("0"), data("1")),
        text(audio("0"), data("1"), video("2")),
        text(video("0"), data("1"), rejected(video("2"))),
        text(audio("x"), data("1"), rejected(video("2"))),
        text(audio("0"), data("1"), rejected(video("2")), video("3")),
    ):
        with pytest.raises(SdpError, match="make another"):
            slots.check_plan(planned, parse(other))


# Offers of the other side


def check(offer: str, *present: Slot, first: bool = False) -> None:
    slots.check_offer(parse(offer), present, first=first)


def test_offers_that_go_on_from_what_there_is() -> None:
    sound, channel = Slot("0", Transceiver("audio")), Slot("1", DataSection())
    check(text(audio("0"), data("1")), sound, channel)
    check(text(audio("0"), rejected(data("1")), video("2")), sound, channel)
    check(text(audio("0"), video("2")), sound, Slot("1", None))
    check(text(rejected(audio("0")), rejected(data("1"))), sound, channel)


@pytest.mark.parametrize(
    ("offer", "complaint"),
    [
        (text(audio("0")), "1 m-lines, there were 2"),
        (text(audio("0"), data("2")), "1 became 2"),
        (text(audio("0"), rejected(data("2"))), "1 became 2"),
        (text(video("0"), data("1")), "one for video"),
        (text(audio("0"), audio("1")), "one for audio"),
    ],
)
def test_offers_that_do_not(offer: str, complaint: str) -> None:
    with pytest.raises(SdpError, match=complaint):
        check(offer, Slot("0", Transceiver("audio")), Slot("1", DataSection()))


def test_a_first_offer_has_something_that_can_be_used() -> None:
    for offer in ("v=0\r\n", text(rejected(audio("0"))), text(video("0", mapping="96 H265/90000"))):
        with pytest.raises(SdpError, match="nothing in common"):
            check(offer, first=True)
        check(offer)
    check(text(audio("0"), video("1", mapping="96 H265/90000")), first=True)


def owner(offer: str, present: list[Slot], transceivers: list[Transceiver]) -> Transceiver | DataSection:
    """Of the last m-line."""
    media = parse(offer).media
    return slots.owner_of(len(media) - 1, media[-1], present, transceivers, DATA)


DATA = DataSection()


def test_a_known_m_line_stays_whose_it_is() -> None:
    one = Transceiver("audio")
    assert owner(text(audio("0")), [Slot("0", one)], [Transceiver("audio"), one]) is one
    assert owner(text(data("0")), [], []) is DATA


def test_a_new_m_line_is_an_unused_transceivers() -> None:
    used, of_the_offer = Transceiver("audio", mid="9"), Transceiver("audio", adoptable=False)
    gone, going, other = Transceiver("audio", stopped=True), Transceiver("audio", stopping=True), Transceiver("video")
    unused = Transceiver("audio")
    there = [used, of_the_offer, gone, going, other, unused]
    assert owner(text(audio("1")), [Slot("0", None)], there) is unused
    made = owner(text(audio("1")), [Slot("0", used)], there[:-1])
    assert isinstance(made, Transceiver)
    assert (made.kind, made.direction, made.adoptable) == ("audio", "recvonly", False)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_m_line_over_which_nothing_could_flow_is_not_an_unused_transceivers(direction: str) -> None:
    for own in DIRECTIONS:
        unused = Transceiver("audio", own)
        taken = owner(text(audio("0", f"a={direction}")), [], [unused]) is unused
        assert taken == (own != direction or own in ("sendrecv", "inactive"))


def test_a_transceiver_is_made_for_an_m_line_that_is_nobodys() -> None:
    there: list[Transceiver] = []
    made = owner(text(audio("0"), video("1")), [], there)
    assert there == [made]


def test_an_m_line_that_the_application_stopped_stays_stopped_or_is_taken_over() -> None:
    gone, unused = Transceiver("audio", stopped=True), Transceiver("audio")
    assert owner(text(audio("0")), [Slot("0", gone)], []) is gone
    assert owner(text(audio("0")), [Slot("0", gone)], [unused]) is unused
