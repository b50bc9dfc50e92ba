"""A number keeps its meaning: offers of ours into a session use the payload types and ids that there are."""

from __future__ import annotations

import pytest

from peer.rtc import codecs
from peer.rtc.codecs import RECEIVABLE, common
from peer.rtc.numbering import FREE_IDS, FREE_TYPES, Numbers, check_numbers
from peer.rtc.sdp import SdpError, parse
from tests.rtc.descriptions import FIXTURES, audio, rejected, text, video


def learned(description: str) -> Numbers:
    numbers = Numbers()
    numbers.learn(parse(description))
    return numbers


def brief(numbers: Numbers, kind: str, agreed: tuple[codecs.Codec, ...] = ()) -> list[tuple[int, str, int]]:
    return [(each.payload_type, each.name, each.apt) for each in numbers.offered(kind, agreed)]


def test_a_first_offer_has_our_own_numbers() -> None:
    for kind in ("audio", "video"):
        assert Numbers().offered(kind, ()) == list(RECEIVABLE[kind])


def test_known_formats_keep_their_numbers_and_new_ones_get_free_ones() -> None:
    numbers = learned(FIXTURES["firefox-offer"])
    before = set(numbers.formats)
    found = brief(numbers, "video")
    assert found[:2] == [(120, "VP8", -1), (124, "rtx", 120)]
    assert [name for _, name, _ in found[2:]] == ["H264", "rtx", "H264", "rtx", "VP9", "rtx", "AV1", "rtx"]
    assert not {number for number, name, _ in found[2:6]} & before
    assert [number for number, name, _ in found[6:] if name != "rtx"] == [121, 99]
    assert found[3][2] == found[2][0] and found[5][2] == found[4][0]
    assert brief(numbers, "audio")[0] == (109, "opus", -1)
    assert found == brief(numbers, "video")  # and again


def test_what_was_agreed_comes_first_in_the_order_agreed() -> None:
    (section,) = (each for each in parse(FIXTURES["chromium-offer"]).media if each.kind == "video")
    agreed = tuple(common(RECEIVABLE["video"], section.codecs))
    found = brief(learned(FIXTURES["chromium-offer"]), "video", agreed[::-1])
    assert [each[:2] for each in found if each[1] != "rtx"] == [
        *((98, "VP9"), (45, "AV1"), (108, "H264"), (102, "H264"), (96, "VP8")),
    ]
    assert [apt for _, name, apt in found if name == "rtx"] == [98, 45, 108, 102, 96]


def test_retransmissions_are_offered_again_after_an_answer_without_them() -> None:
    numbers = learned(text(video("1", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", formats="96 97")))
    vp8 = codecs.codec("video", "VP8", 90000, 1, 96)
    assert brief(numbers, "video", (vp8,))[:2] == [(96, "VP8", -1), (97, "rtx", 96)]


def test_what_was_said_last_holds() -> None:
    numbers = learned(text(video("1"), session=()))
    numbers.learn(parse(text(video("1", formats="97", mapping="97 VP8/90000"))))
    assert brief(numbers, "video")[0] == (97, "VP8", -1)
    numbers.learn(parse(text(video("1", formats="97", mapping="97 H264/90000"))))
    assert brief(numbers, "video")[0] == (96, "VP8", -1)


def test_rejected_m_lines_are_heard_where_others_say_nothing() -> None:
    numbers = learned(text(rejected(video("0", "a=extmap:1 urn:x", mapping="96 H265/90000")), video("1")))
    assert numbers.formats[96].name == "VP8" and numbers.extensions == {1: "urn:x"}
    numbers.learn(parse(text(rejected(video("0", "a=extmap:1 urn:y", mapping="96 H265/90000")))))
    assert numbers.formats[96].name == "VP8" and numbers.extensions == {1: "urn:x"}


def test_a_copy_is_on_its_own() -> None:
    numbers = Numbers()
    numbers.copy().offered("video", ())
    numbers.copy().extension(codecs.MID)
    assert numbers == Numbers()


def test_what_no_number_is_free_for_is_left_out() -> None:
    maps = [f"a=rtpmap:{number} x/1" for number in FREE_TYPES]
    full = text(video("1", *maps, formats=" ".join(map(str, FREE_TYPES)), mapping="96 x/1"))
    assert brief(learned(full), "video") == []
    static = text(["m=audio 9 RTP/AVP 0 9", "a=mid:0", "a=rtpmap:0 x/1", "a=rtpmap:9 G722/8000"])
    assert brief(learned(static), "audio") == [
        *((96, "opus", -1), (9, "G722", -1), (8, "PCMA", -1)),
        *((110, "telephone-event", -1), (126, "telephone-event", -1)),
    ]
    but_one = " ".join(str(number) for number in FREE_TYPES if number != 50)
    but_one_text = text(video("1", *maps, formats=but_one, mapping="96 x/1"))
    assert brief(learned(but_one_text), "video") == [(50, "VP8", -1)]


def test_ids_of_header_extensions() -> None:
    numbers = learned(FIXTURES["chromium-offer"])
    assert [numbers.extension(uri) for uri in (codecs.MID, codecs.AUDIO_LEVEL, codecs.RID)] == [4, 1, 10]
    assert numbers.extension("urn:new") == 9
    assert numbers.extension("urn:new") == 9
    assert Numbers().extension(codecs.MID) == 1
    moved = learned(text(audio("0", f"a=extmap:7 {codecs.MID}")))
    moved.learn(parse(text(audio("0", f"a=extmap:3 {codecs.MID}"))))
    assert moved.extension(codecs.MID) == 3


def test_without_a_free_id_an_extension_is_left_out() -> None:
    numbers = learned(text(audio("0", *(f"a=extmap:{number} urn:{number}" for number in FREE_IDS))))
    assert numbers.extension(codecs.MID) is None
    assert numbers.extension("urn:14") == 14


@pytest.mark.parametrize("name", FIXTURES)
def test_browsers_give_each_number_one_meaning(name: str) -> None:
    check_numbers(parse(FIXTURES[name]))


def test_a_number_that_means_two_things_is_refused() -> None:
    with pytest.raises(SdpError, match="payload type 96 means two things"):
        check_numbers(parse(text(video("1"), video("2", mapping="96 H264/90000"))))
    with pytest.raises(SdpError, match="header extension id 3 means two things"):
        check_numbers(parse(text(audio("0", "a=extmap:3 urn:a"), video("1", "a=extmap:3 urn:b"))))
    check_numbers(parse(text(video("1"), rejected(video("2", mapping="96 H264/90000")))))
    check_numbers(parse(text(video("1"), video("2", mapping="96 H264/90000"), bundle="1")))
    check_numbers(parse(text(video("1"), video("2", mapping="96 H264/90000"), bundle="")))
