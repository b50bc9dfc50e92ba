"""What is said of a call: who, what, which way, and who ended it why."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from peer.errors import IceFailed, Rejected
from peer.events import Ended
from peer.report import MAX_TEXT, CallReport, connected_words, ended_words, file_words, keep, path_words, text_words
from tests.cli.samples import PAIR, report


def test_a_new_call_in_one_line() -> None:
    assert connected_words(report(), 29.7) == "alice connected, VP8 640x480 at 30, direct UDP, 0.2 s"


def test_a_new_call_without_video() -> None:
    assert connected_words(report(video=False), 0.0) == "alice connected, Opus only, direct UDP, 0.2 s"


def flowing(*, received: tuple[str, ...], sent: tuple[str, ...]) -> CallReport:
    """Both tracks are there on both sides; frames came and went only of these kinds, and no picture has a size yet."""
    one = report()
    assert one.stats is not None
    inbound = tuple(
        replace(entry, frames_received=9 if entry.kind in received else 0, frame_width=0, frame_height=0)
        for entry in one.stats.inbound
    )
    outbound = tuple(replace(entry, frames_sent=9 if entry.kind in sent else 0) for entry in one.stats.outbound)
    one.stats = replace(one.stats, inbound=inbound, outbound=outbound)
    return one


@pytest.mark.parametrize(
    ("received", "sent", "words"),
    [
        (("video", "audio"), ("video", "audio"), "VP8 and Opus"),
        (("video",), ("video", "audio"), "VP8"),
        (("audio",), ("video", "audio"), "Opus only"),
        ((), ("video", "audio"), "sending VP8 and Opus"),
        ((), ("audio",), "sending Opus"),
        ((), (), "no media yet"),
    ],
)
def test_a_new_call_tells_what_flows(received: tuple[str, ...], sent: tuple[str, ...], words: str) -> None:
    one = flowing(received=received, sent=sent)
    assert connected_words(one, 0.0) == f"alice connected, {words}, direct UDP, 0.2 s"


def test_a_new_call_of_somebody_who_has_sound_but_plays_none_tells_what_we_send() -> None:
    one = flowing(received=(), sent=("video", "audio"))
    assert one.stats is not None
    one.stats = replace(one.stats, inbound=(one.stats.inbound[0],))
    assert connected_words(one, 0.0) == "alice connected, sending VP8 and Opus, direct UDP, 0.2 s"


def test_a_new_call_before_anything_is_known_of_it() -> None:
    assert (
        connected_words(CallReport("alice", outgoing=True), 0.0) == "alice connected, no media yet, path unknown, 0.0 s"
    )


def test_the_way_of_the_media() -> None:
    assert path_words(PAIR) == "direct UDP"
    assert path_words(replace(PAIR, remote_type="relay")) == "relayed UDP"
    assert path_words(replace(PAIR, local_type="relay", protocol="tcp")) == "relayed TCP"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended("alice", "hung up", 31.2), "alice hung up after 31 s"),
        (Ended("bot", "hung up", 31.2), "hung up on alice after 31 s"),
        (Ended("alice", "left", 5.0), "alice left after 5 s"),
        (Ended("bot", "left", 5.0), "left the call with alice after 5 s"),
        (Ended("", "lost", 5.0), "alice was lost after 5 s"),
        (Ended("alice", "error", 5.0, "ValueError: x"), "alice ended the call on an error after 5 s: ValueError: x"),
        (
            Ended("bot", "error", 5.0, "ValueError: x"),
            "we ended the call with alice on an error after 5 s: ValueError: x",
        ),
        (Ended("alice", "declined", 0.0, "not now"), "the call with alice is over (declined): not now"),
    ],
)
def test_the_end_of_a_call_in_one_line(ended: Ended, words: str) -> None:
    assert ended_words(report(ended=ended)) == words


@pytest.mark.parametrize(
    ("by", "reason", "words"),
    [
        ("alice", "hung up", "alice hung up"),
        ("bot", "hung up", "we hung up"),
        ("alice", "left", "alice left"),
        ("bot", "left", "we left"),
        ("", "left", "alice left"),
        ("alice", "declined", "declined"),
        ("alice", "busy", "busy"),
        ("bot", "no answer", "no answer"),
        ("", "lost", "lost"),
    ],
)
def test_the_state_says_who_ended_it_where_somebody_did(by: str, reason: str, words: str) -> None:
    one = report(ended=Ended(by, reason, 3.0))
    assert one.how == words
    assert (one.to_json()["state"], one.to_json()["ended"]["reason"]) == ("ended", reason)


def test_with_two_of_ours_the_state_names_the_one() -> None:
    ours = report("bot", ended=Ended("caller", "hung up", 3.0))
    ours.own = "caller"
    assert ours.how == "caller hung up"


def test_a_text_message_is_one_line_of_bounded_length() -> None:
    assert text_words(" hello\x1b[2J\n12:00 bot\n") == "hello [2J 12:00 bot"
    assert text_words("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert text_words("x" * (MAX_TEXT + 1)) == "x" * (MAX_TEXT - 1) + "…"


def test_with_two_of_ours_the_line_says_which_one() -> None:
    ours = report("bot", ended=Ended("caller", "hung up", 3.0))
    ours.own = "caller"
    assert ours.who == "caller - bot"
    assert ended_words(ours) == "caller: hung up on bot after 3 s"


def test_figures() -> None:
    one = report()
    assert one.frames("video") == (300, 290, 3)
    assert one.frames("audio") == (500, 500, 3)
    assert one.codecs() == ["VP8", "Opus"]
    assert one.bitrates() == (800_000.0, 80_000.0)


def test_a_codec_that_was_only_agreed_on_is_not_told() -> None:
    one = report()
    assert one.stats is not None
    silent = tuple(replace(entry, frames_sent=0) for entry in one.stats.outbound)
    one.stats = replace(one.stats, inbound=(replace(one.stats.inbound[0], codec=""),), outbound=silent)
    assert one.codecs() == []


def test_a_call_that_never_was_has_figures_too() -> None:
    one = CallReport("alice", outgoing=True, state="failed", error=IceFailed("no path; try a TURN server"))
    assert (one.how, one.codecs(), one.frames("video"), one.bitrates()) == ("not reached", [], (0, 0, 0), (0.0, 0.0))
    assert one.to_json()["error"] == "no path; try a TURN server"
    assert json.dumps(one.to_json())


def test_the_json_of_a_call() -> None:
    found = json.loads(json.dumps(report(ended=Ended("alice", "hung up", 10.0)).to_json()))
    assert found["ended"] == {"by": "alice", "reason": "hung up", "seconds": 10.0, "text": ""}
    assert found["video"] == {
        "framesSent": 300,
        "framesReceived": 290,
        "framesLost": 3,
        "packetsLost": 2,
        "width": 640,
        "height": 480,
        "freezeCount": 0,
        "totalFreezesDuration": 0.0,
    }
    assert found["candidatePair"]["remote"] == {"type": "prflx", "address": "192.0.2.7:6000"}
    assert found["files"][0]["path"] == "recordings/alice.mkv"
    assert "own" not in found


def test_how_a_recording_is() -> None:
    one = report()
    assert (one.recorded, one.size, one.packets_lost, one.frozen) == ("recording", 1000, 4, 0.0)
    assert one.stats is not None
    one.stats = replace(one.stats, state="disconnected")
    assert one.recorded == "not heard"
    one.trouble = "Recording 'alice' ended because the disk is full; free some space."
    assert one.recorded == "recording failed"
    assert one.to_json()["recordingError"] == one.trouble
    assert report(ended=Ended("alice", "left", 10.0)).recorded == "alice left"
    fresh = CallReport("bob", outgoing=True)
    assert (fresh.recorded, fresh.size, fresh.packets_lost, fresh.frozen) == ("no media yet", 0, 0, 0.0)


def test_who_declined_and_why() -> None:
    for text, how in (("in a\nmeeting", "busy: in a meeting"), ("", "busy")):
        error = Rejected("alice is busy; try later", "busy", text)
        assert CallReport("alice", outgoing=True, state="failed", error=error).how == how


def test_the_oldest_finished_reports_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.report.MAX_REPORTS", 2)
    reports: list[CallReport] = []
    running = CallReport("a", outgoing=True)
    for one in (running, CallReport("b", outgoing=True, state="ended"), CallReport("c", outgoing=True)):
        keep(reports, one)
    assert [one.name for one in reports] == ["a", "c"]


def test_files_in_words() -> None:
    one = report()
    assert file_words(one.files) == ["recorded recordings/alice.mkv, 9.9 s"]
    assert file_words([replace(one.files[0], whole=False)]) == ["recorded recordings/alice.mkv, 9.9 s, not whole"]
