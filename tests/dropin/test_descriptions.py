"""Programs that make, pass on, read and get wrong descriptions and candidates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import InvalidStateError, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp, candidate_to_sdp

from tests.dropin.kit import (
    Colour,
    Tone,
    answer,
    coming,
    connect,
    in_state,
    negotiate,
    offer,
    picture,
    sent,
    until,
    within,
)

if TYPE_CHECKING:
    from tests.dropin.kit import Make

CANDIDATE = "1 1 udp 2130706431 127.0.0.1 9 typ host"


def lines(description: Any, name: str) -> list[str]:
    """The values of all attributes of that name."""
    return re.findall(rf"^a={name}:?(.*?)\r?$", description.sdp, re.MULTILINE)


async def test_explicit_descriptions_over_json(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    assert (caller.localDescription, caller.remoteDescription) == (None, None)
    caller.addTrack(Tone())
    made = await caller.createOffer()
    assert isinstance(made, RTCSessionDescription)
    assert (made.type, caller.localDescription, caller.signalingState) == ("offer", None, "stable")
    await caller.setLocalDescription(made)
    await callee.setRemoteDescription(await sent(caller.localDescription))
    assert (callee.remoteDescription.type, callee.localDescription) == ("offer", None)
    back = await callee.createAnswer()
    assert (back.type, callee.localDescription, callee.signalingState) == ("answer", None, "have-remote-offer")
    await callee.setLocalDescription(back)
    await caller.setRemoteDescription(await sent(callee.localDescription))
    assert (caller.localDescription.type, caller.remoteDescription.type) == ("offer", "answer")
    assert (callee.localDescription.type, callee.remoteDescription.type) == ("answer", "offer")
    await in_state("connected", caller, callee)


async def test_implicit_descriptions(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    seen = coming(callee, "track")
    await caller.setLocalDescription()
    await callee.setRemoteDescription(await sent(caller.localDescription))
    await callee.setLocalDescription()
    await caller.setRemoteDescription(await sent(callee.localDescription))
    assert (caller.localDescription.type, callee.localDescription.type) == ("offer", "answer")
    await picture(await within(seen))


async def test_what_an_offer_says(make: Make) -> None:
    pc = make()
    pc.addTrack(Tone())
    video = pc.addTransceiver("video", direction="recvonly")
    pc.createDataChannel("any")
    assert [each.mid for each in pc.getTransceivers()] == [None, None]
    await pc.setLocalDescription()
    assert [each.mid for each in pc.getTransceivers()] == ["0", "1"]
    assert video.currentDirection is None

    description = SessionDescription.parse(pc.localDescription.sdp)
    audio, video, data = description.media
    assert [(media.kind, media.rtp.muxId) for media in description.media] == [
        *(("audio", "0"), ("video", "1"), ("application", "2"))
    ]
    assert (audio.direction, video.direction) == ("sendrecv", "recvonly")
    assert [group.items for group in description.group if group.semantic == "BUNDLE"] == [["0", "1", "2"]]
    assert {codec.name for codec in audio.rtp.codecs} >= {"opus", "PCMU", "PCMA"}
    assert {codec.name for codec in video.rtp.codecs} >= {"VP8", "H264", "rtx"}
    assert (data.profile, data.fmt, data.sctp_port) == ("UDP/DTLS/SCTP", ["webrtc-datachannel"], 5000)
    for media in description.media:
        assert media.dtls.role == "auto"
        assert "sha-256" in {each.algorithm for each in media.dtls.fingerprints}
        assert media.ice.usernameFragment
        assert media.ice.password
    assert all(candidate.type == "host" for candidate in audio.ice_candidates)
    assert audio.ice_candidates, "the description is not enough for a program that knows no trickle"
    assert audio.msid.endswith(f" {pc.getSenders()[0].track.id}")


async def test_an_answer_fits_its_offer(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.createDataChannel("any")
    caller.addTrack(Colour())
    caller.addTrack(Tone())
    callee.addTrack(Tone())
    there = await offer(caller)
    back = await answer(callee, there)
    asked, said = (SessionDescription.parse(each.sdp) for each in (there, back))
    assert [(m.kind, m.rtp.muxId) for m in said.media] == [(m.kind, m.rtp.muxId) for m in asked.media]
    assert [m.direction for m in said.media if m.kind != "application"] == ["recvonly", "sendrecv"]
    assert {m.dtls.role for m in said.media} == {"client"}
    for here, other in zip(asked.media, said.media, strict=True):
        numbers = {codec.payloadType: codec.mimeType for codec in here.rtp.codecs}
        assert {codec.payloadType: codec.mimeType for codec in other.rtp.codecs}.items() <= numbers.items()
    await caller.setRemoteDescription(back)
    await in_state("connected", caller, callee)


async def test_candidates_come_one_by_one(make_caller: Make, make_callee: Make) -> None:
    """Descriptions without candidates, as from a browser that trickles them, and the candidates afterwards."""
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    seen = coming(callee, "track")

    def stripped(description: RTCSessionDescription) -> tuple[RTCSessionDescription, list[Any]]:
        text = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", description.sdp)
        found = []
        for line in lines(description, "candidate"):
            candidate = candidate_from_sdp(line)
            candidate.sdpMid, candidate.sdpMLineIndex = "0", 0
            found.append(candidate)
        assert found
        return RTCSessionDescription(sdp=text, type=description.type), found

    there, from_caller = stripped(await offer(caller))
    back, from_callee = stripped(await answer(callee, there))
    await caller.setRemoteDescription(back)
    for pc, candidates in ((callee, from_caller), (caller, from_callee)):
        for candidate in candidates:
            await pc.addIceCandidate(candidate)
        await pc.addIceCandidate(None)
    await in_state("connected", caller, callee)
    await picture(await within(seen))
    for pc, candidates in ((callee, from_caller), (caller, from_callee)):
        said = set(lines(pc.remoteDescription, "candidate"))
        assert {candidate_to_sdp(candidate) for candidate in candidates} <= said


async def test_a_candidate_names_its_section_either_way(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.createDataChannel("any")
    await connect(caller, callee)
    for pc in (caller, callee):
        for port, where in ((9, {"sdpMid": "0"}), (10, {"sdpMLineIndex": 0})):
            candidate = candidate_from_sdp(CANDIDATE.replace(" 9 ", f" {port} "))
            vars(candidate).update(where)
            await pc.addIceCandidate(candidate)
            assert any(f" 127.0.0.1 {port} typ host" in line for line in lines(pc.remoteDescription, "candidate"))


async def test_a_candidate_of_no_section(make: Make) -> None:
    with pytest.raises(ValueError, match="."):
        await make().addIceCandidate(candidate_from_sdp(CANDIDATE))


async def test_descriptions_out_of_turn(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    with pytest.raises(InvalidStateError):
        await caller.createAnswer()
    there = await offer(caller)
    with pytest.raises(InvalidStateError):
        await caller.createAnswer()
    back = await answer(callee, there)
    with pytest.raises(InvalidStateError):
        await callee.setRemoteDescription(back)
    with pytest.raises(InvalidStateError):
        await callee.setLocalDescription(back)
    await caller.setRemoteDescription(back)
    with pytest.raises(InvalidStateError):
        await caller.setRemoteDescription(back)
    await in_state("connected", caller, callee)


NEEDED = ("ice-ufrag", "ice-pwd", "rtcp-mux")


async def test_offers_that_cannot_be_used(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    there = await offer(caller)
    for name in NEEDED:
        broken = RTCSessionDescription(sdp=re.sub(rf"a={name}.*\r\n", "", there.sdp), type="offer")
        with pytest.raises(ValueError, match="."):
            await callee.setRemoteDescription(broken)
        assert callee.signalingState == "stable"
    # It can still be called by an offer that is right.
    await caller.setRemoteDescription(await answer(callee, there))
    await in_state("connected", caller, callee)


async def test_answers_that_cannot_be_used(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    back = await answer(callee, await offer(caller))
    undecided = RTCSessionDescription(sdp=back.sdp.replace("a=setup:active", "a=setup:actpass"), type="answer")
    with pytest.raises(ValueError, match="."):
        await caller.setRemoteDescription(undecided)
    other = RTCSessionDescription(sdp=back.sdp.replace("a=mid:0", "a=mid:5"), type="answer")
    with pytest.raises(ValueError, match="."):
        await caller.setRemoteDescription(other)
    assert caller.signalingState == "have-local-offer"
    await caller.setRemoteDescription(back)
    await in_state("connected", caller, callee)


async def test_an_answer_may_be_passive(make_caller: Make, make_callee: Make) -> None:
    """The application turns the roles round; the offerer then is the DTLS client."""
    caller, callee = make_caller(), make_callee()
    caller.createDataChannel("any")
    await callee.setRemoteDescription(await offer(caller))
    made = await callee.createAnswer()
    made.sdp = made.sdp.replace("a=setup:active", "a=setup:passive")
    await callee.setLocalDescription(made)
    await caller.setRemoteDescription(await sent(callee.localDescription))
    await in_state("connected", caller, callee)


async def test_an_offer_is_made_again_before_it_is_answered(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    await offer(caller)
    caller.addTrack(Colour())
    seen = []
    callee.on("track", seen.append)
    await negotiate(caller, callee)
    await in_state("connected", caller, callee)
    assert [track.kind for track in seen] == ["audio", "video"]
    await picture(seen[1])


async def test_complete_candidates_are_marked(make: Make) -> None:
    pc = make()
    pc.createDataChannel("any")
    await pc.setLocalDescription()
    await until(pc, "icegatheringstatechange", lambda: pc.iceGatheringState == "complete")
    assert lines(pc.localDescription, "candidate")
    assert lines(pc.localDescription, "end-of-candidates")


def test_what_a_description_can_be() -> None:
    with pytest.raises(ValueError, match="'type' must be in"):
        RTCSessionDescription(sdp="", type="question")
