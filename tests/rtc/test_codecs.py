"""Which formats are the same codec, and what two sides have in common."""

from __future__ import annotations

import itertools

import pytest

from peer.rtc.codecs import (
    CAPABILITIES,
    EVENTS,
    RECEIVABLE,
    Codec,
    agreed,
    carries,
    codec,
    common,
    event_for,
    matches,
    one_event,
    preferred,
    sendable,
)
from peer.rtc.sdp import parse
from tests.rtc.descriptions import FIXTURES, OFFERS


def video(number: int, name: str, fmtp: str = "", *feedback: str) -> Codec:
    return codec("video", name, 90000, 1, number, fmtp, feedback)


def h264(profile: str, mode: str = "1", number: int = 100, more: str = "") -> Codec:
    return video(number, "H264", f"packetization-mode={mode};profile-level-id={profile};{more}")


def numbers(codecs: list[Codec]) -> list[int]:
    return [each.payload_type for each in codecs]


def test_what_is_said_of_a_codec() -> None:
    opus = codec("audio", "opus", 48000, 2, 111, " minptime=10; UseInbandFec=1;stereo;;minptime=20", ("a", "b", "a"))
    assert opus.parameters == (("minptime", "10"), ("useinbandfec", "1"), ("stereo", ""))
    assert (opus.fmtp, opus.rtpmap) == ("minptime=10;useinbandfec=1;stereo", "opus/48000/2")
    assert opus.feedback == ("a", "b")
    assert codec("audio", "PCMU", 8000, 1, 0).rtpmap == "PCMU/8000"


@pytest.mark.parametrize(("fmtp", "apt"), [("apt=96", 96), ("", -1), ("apt=x", -1), ("apt=٩", -1), ("apt=1234", -1)])
def test_what_a_format_for_retransmissions_carries(fmtp: str, apt: int) -> None:
    assert video(97, "RTX", fmtp).apt == apt
    assert video(97, "RTX", fmtp).is_rtx


def test_names_are_compared_in_any_case_kinds_rates_and_channels_as_they_are() -> None:
    assert matches(video(1, "VP8"), video(2, "vp8"))
    assert not matches(video(1, "VP8"), video(1, "VP9"))
    opus = codec("audio", "opus", 48000, 2, 111)
    assert matches(opus, codec("audio", "OPUS", 48000, 2, 1))
    assert not matches(opus, codec("audio", "opus", 48000, 1, 111))
    assert not matches(opus, codec("audio", "opus", 16000, 2, 111))
    assert not matches(opus, codec("video", "opus", 48000, 2, 111))


def test_profiles_of_vp9_and_what_rtx_carries() -> None:
    assert matches(video(98, "VP9"), video(98, "VP9", "profile-id=0"))
    assert not matches(video(98, "VP9", "profile-id=2"), video(98, "VP9"))
    assert matches(video(97, "rtx", "apt=96"), video(99, "rtx", "apt=96"))
    assert not matches(video(97, "rtx", "apt=96"), video(97, "rtx", "apt=98"))


SAME_PROFILE = [
    ("42e01f", "42c00b", "42E034", "4d801f", "58c01f"),  # constrained baseline
    ("42001f", "420034", "58801f"),  # baseline
    ("4d001f", "4d400a"),  # main
    ("64001f", "640034"),  # high
    ("640c1f", "640c28"),  # constrained high
]


@pytest.mark.parametrize(
    ("stream", "negotiated", "sent"),
    [
        ("42e01f", "42e01f", True),
        ("42c00d", "42001f", True),
        ("42e01f", "640c1f", True),
        ("4d001f", "64001f", True),
        ("42001f", "42e01f", False),
        ("64001f", "42e01f", False),
        ("4d001f", "42001f", False),
        ("nonsense", "42e01f", False),
        ("", "42001f", False),
    ],
)
def test_a_stream_is_sent_to_whoever_decodes_its_profile(stream: str, negotiated: str, *, sent: bool) -> None:
    mode = "packetization-mode=1;profile-level-id="
    made = codec("video", "H264", 90000, 1, 0, mode + stream)
    assert carries(codec("video", "h264", 90000, 1, 96, mode + negotiated), made) == sent
    assert not carries(codec("video", "H264", 90000, 1, 96, "profile-level-id=" + negotiated), made), "mode 0"
    assert not carries(codec("video", "VP8", 90000, 1, 96), made)


@pytest.mark.parametrize("profiles", SAME_PROFILE, ids=lambda profiles: profiles[0])
def test_profiles_of_h264_written_in_several_ways(profiles: tuple[str, ...]) -> None:
    """RFC 6184 section 8.1, table 5: the level does not count."""
    for one, other in itertools.product(profiles, profiles):
        assert matches(h264(one), h264(other))
    for others in SAME_PROFILE:
        for one, other in itertools.product(profiles, others):
            assert matches(h264(one), h264(other)) == (others is profiles)


def test_packetization_modes_of_h264_have_to_be_the_same() -> None:
    assert not matches(h264("42e01f", "1"), h264("42e01f", "0"))
    assert matches(h264("42e01f", "0"), video(1, "H264", "profile-level-id=42e01f"))


@pytest.mark.parametrize("profile", ["", "42", "42e0ff1", "4_2e01", "0x42e0", "xxxxxx", "٤٢e01f", "ffffff", "42ff1f"])
def test_profiles_of_h264_that_there_are_not(profile: str) -> None:
    assert not matches(h264(profile), h264(profile))


def test_without_a_profile_baseline_is_meant() -> None:
    assert matches(h264("42001f"), video(1, "H264", "packetization-mode=1"))


def test_common_has_their_order_and_numbers_and_the_feedback_of_both() -> None:
    ours = CAPABILITIES["video"]
    theirs = [
        h264("42e01f", number=108, more="level-asymmetry-allowed=1"),
        video(98, "VP9"),
        video(96, "vp8", "max-fs=12", "nack", "transport-cc", "goog-remb"),
        video(97, "rtx", "apt=96"),
        video(99, "rtx", "apt=98"),
    ]
    first, second, third = common(ours, theirs)
    assert numbers([first, second, third]) == [108, 96, 97]
    assert (second.name, second.feedback, second.fmtp) == ("VP8", ("nack", "goog-remb", "transport-cc"), "")
    assert (third.name, third.apt) == ("rtx", 96)
    assert numbers(common([each for each in ours if not each.is_rtx], theirs)) == [108, 96]
    assert common(ours, []) == []


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("profile-level-id=42e00b;level-asymmetry-allowed=1", "42e01f"),
        ("profile-level-id=42e00b", "42e00b"),
        ("profile-level-id=42E034;level-asymmetry-allowed=0", "42e01f"),
        ("profile-level-id=42E00D", "42e00d"),
        ("", "42001f"),
    ],
)
def test_the_level_of_h264_is_the_lower_one_unless_both_let_it_differ(offered: str, answered: str) -> None:
    (found,) = common(CAPABILITIES["video"], [video(100, "H264", f"packetization-mode=1;{offered}")])
    assert dict(found.parameters)["profile-level-id"] == answered
    own = video(100, "H264", "packetization-mode=1")
    assert common([own], [own]) == [own]


def test_an_answer_takes_what_was_offered_under_its_number() -> None:
    offered = [video(96, "VP8"), video(97, "rtx", "apt=96"), h264("42e01f", number=98), video(99, "rtx", "apt=98")]
    answered = [h264("42e00a", number=98), video(96, "VP9"), video(97, "rtx", "apt=96"), video(100, "VP8")]
    (found,) = agreed(offered, answered)
    assert (found.payload_type, found.name) == (98, "H264")
    assert numbers(agreed(offered, [offered[0], offered[1]])) == [96, 97]


def test_preferences_choose_and_order() -> None:
    vp8, _, baseline, *_ = every = list(CAPABILITIES["video"])
    rtx = video(0, "rtx")
    assert preferred(every, []) == every
    assert preferred(every, [baseline]) == [baseline]
    assert numbers(preferred(every, [baseline, rtx, vp8, vp8])) == [99, 100, 97, 98]
    assert preferred(every, [video(0, "VP9"), rtx]) == []


@pytest.mark.parametrize("name", OFFERS)
def test_what_is_common_with_browsers(name: str) -> None:
    for section in parse(FIXTURES[name]).media:
        names = {each.name for each in common(CAPABILITIES.get(section.kind, ()), section.codecs)}
        if section.kind == "audio" and not section.rejected:
            assert names == {"opus", "G722", "PCMU", "PCMA"}
        if section.kind == "video" and not section.rejected and "vp9-only" not in name:
            expected = {"VP8", "rtx"} if "firefox" in name else {"VP8", "rtx", "H264"}
            assert names == expected


def test_what_is_only_received_comes_last_and_is_never_sent() -> None:
    ours = RECEIVABLE["video"]
    assert ours[: len(CAPABILITIES["video"])] == CAPABILITIES["video"]
    assert [each.name for each in ours if each not in CAPABILITIES["video"]] == ["VP9", "rtx", "AV1", "rtx"]
    theirs = [
        *(video(98, "VP9"), video(99, "rtx", "apt=98"), video(45, "AV1", "level-idx=5;profile=0;tier=0")),
        *(video(96, "VP8"), video(97, "rtx", "apt=96"), video(46, "AV1", "profile=1")),
    ]
    taken = common(ours, theirs)
    assert numbers(taken) == [98, 99, 45, 96, 97], "in their order; of AV1 the main profile"
    assert numbers(sendable(taken)) == [96, 97]
    assert sendable(taken[:3]) == []
    assert sendable(RECEIVABLE["audio"]) == list(CAPABILITIES["audio"])


def test_keys_go_along_with_sound_and_are_nothing_by_themselves() -> None:
    opus, *_ = ours = RECEIVABLE["audio"]
    fast, slow = EVENTS
    assert [(each.rtpmap, each.fmtp) for each in ours[-2:]] == [
        *(("telephone-event/48000", "0-15"), ("telephone-event/8000", "0-15"))
    ]
    assert common(ours, EVENTS) == [] == preferred(ours, EVENTS), "there has to be sound"
    theirs = [codec("audio", "TELEPHONE-EVENT", 8000, 1, 101), codec("audio", "opus", 48000, 2, 111)]
    assert [(each.payload_type, each.fmtp) for each in common(ours, theirs)][1] == (101, "0-15"), "the last of them"
    assert agreed(ours, [*EVENTS]) == []
    assert preferred(ours, [slow, opus]) == [opus, slow]
    assert preferred(ours, [opus]) == [opus]


def test_keys_are_sent_on_the_clock_of_the_sound_if_possible() -> None:
    opus, g722, *_ = CAPABILITIES["audio"]
    fast, slow = EVENTS
    assert event_for([opus, slow, fast], opus) == fast and event_for([opus, fast, slow], g722) == slow
    assert event_for([opus, slow], opus) == slow and event_for([opus], opus) is None
    assert one_event([opus, g722, fast, slow]) == [opus, g722, fast]
    assert one_event([g722, opus, fast, slow]) == [g722, opus, slow]
    assert one_event([opus, slow]) == [opus, slow] and one_event([]) == []
