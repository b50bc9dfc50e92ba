"""Programs that send and receive sound and pictures."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import MediaStreamError, MediaStreamTrack, RTCRtpReceiver, RTCRtpSender

from tests.dropin.kit import (
    BLUE,
    GREEN,
    RED,
    Colour,
    Tone,
    collected,
    coming,
    connect,
    ended,
    flows,
    in_state,
    local_only,
    picture,
    sound,
    source,
    within,
)
from tests.harness.encoders import video_encoder

if TYPE_CHECKING:
    from tests.dropin.kit import Make


async def test_sound_and_pictures_go_both_ways(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    tracks: dict[Any, dict[str, Any]] = {caller: {}, callee: {}}
    for pc in (caller, callee):
        pc.addTrack(Tone())
        pc.addTrack(Colour())

        @pc.on("track")
        def on_track(track: MediaStreamTrack, pc: Any = pc) -> None:
            tracks[pc][track.kind] = track

    await connect(caller, callee)
    for pc in (caller, callee):
        assert set(tracks[pc]) == {"audio", "video"}
        assert [each.currentDirection for each in pc.getTransceivers()] == ["sendrecv", "sendrecv"]
        assert [each.receiver.track for each in pc.getTransceivers()] == [tracks[pc]["audio"], tracks[pc]["video"]]
    await asyncio.gather(*(flows(track) for pc in (caller, callee) for track in tracks[pc].values()))


async def test_what_a_remote_track_gives(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    sent = {"audio": Tone(), "video": Colour(width=96, height=64)}
    for track in sent.values():
        caller.addTrack(track)
    arriving = collected(callee, "track")
    await connect(caller, callee)
    tracks = {track.kind: track for track in (arriving.get_nowait(), arriving.get_nowait())}
    for kind, track in tracks.items():
        assert isinstance(track, MediaStreamTrack)
        assert (track.id, track.readyState) == (sent[kind].id, "live")

    sounds = [await sound(tracks["audio"]) for _ in range(3)]
    for frame in sounds:
        assert (frame.format.name, frame.layout.name, frame.sample_rate, frame.samples) == ("s16", "stereo", 48000, 960)
        assert frame.time_base == Fraction(1, 48000)
    assert [after.pts - before.pts for before, after in zip(sounds, sounds[1:], strict=False)] == [960, 960]

    pictures = [await picture(tracks["video"]) for _ in range(3)]
    for frame in pictures:
        assert (frame.format.name, frame.width, frame.height) == ("yuv420p", 96, 64)
        assert frame.time_base == Fraction(1, 90000)
    assert pictures[0].pts < pictures[1].pts < pictures[2].pts


async def test_only_the_caller_sends(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for kind in ("audio", "video"):
        caller.addTrack(source(kind))
    silence = collected(caller, "track")
    arriving = collected(callee, "track")
    await connect(caller, callee)
    assert [each.currentDirection for each in caller.getTransceivers()] == ["sendonly", "sendonly"]
    assert [each.currentDirection for each in callee.getTransceivers()] == ["recvonly", "recvonly"]
    assert silence.empty()
    for _ in range(2):
        await flows(arriving.get_nowait())


async def test_the_caller_asks_to_receive(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for kind in ("audio", "video"):
        caller.addTransceiver(kind, direction="recvonly")
        callee.addTrack(source(kind))
    arriving = collected(caller, "track")
    silence = collected(callee, "track")
    await connect(caller, callee)
    assert [each.currentDirection for each in caller.getTransceivers()] == ["recvonly", "recvonly"]
    assert [each.currentDirection for each in callee.getTransceivers()] == ["sendonly", "sendonly"]
    assert silence.empty()
    for _ in range(2):
        await flows(arriving.get_nowait())


async def test_a_transceiver_with_a_track_that_only_sends(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    transceiver = caller.addTransceiver(Colour(), direction="sendonly")
    callee.addTrack(Colour(GREEN))
    arriving = coming(callee, "track")
    silence = collected(caller, "track")
    await connect(caller, callee)
    assert (transceiver.direction, transceiver.currentDirection, transceiver.mid) == ("sendonly", "sendonly", "0")
    await picture(await within(arriving), RED)
    assert silence.empty()


async def test_several_pictures_keep_apart(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    colours = [RED, GREEN, BLUE]
    for colour in colours:
        caller.addTransceiver(Colour(colour), direction="sendonly")
    arriving = collected(callee, "track")
    await connect(caller, callee)
    tracks = [arriving.get_nowait() for _ in colours]
    assert [each.receiver.track for each in callee.getTransceivers()] == tracks
    await asyncio.gather(*(picture(track, colour) for track, colour in zip(tracks, colours, strict=True)))


async def test_what_comes_is_sent_back(make_caller: Make, make_callee: Make) -> None:
    """The callee adds a track of its own for each that it is told of: both use the same transceiver."""
    caller, callee = make_caller(), make_callee()

    class Inverted(MediaStreamTrack):
        kind = "video"

        def __init__(self, track: MediaStreamTrack) -> None:
            super().__init__()
            self._track = track

        async def recv(self) -> Any:
            frame = await self._track.recv()
            inverted = type(frame).from_ndarray(255 - frame.to_ndarray(format="rgb24"))
            inverted.pts, inverted.time_base = frame.pts, frame.time_base
            return inverted

    @callee.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        callee.addTrack(track if track.kind == "audio" else Inverted(track))

    for track in (Tone(), Colour((255, 255, 0))):
        caller.addTrack(track)
    arriving = collected(caller, "track")
    await connect(caller, callee)
    assert [each.currentDirection for each in callee.getTransceivers()] == ["sendrecv", "sendrecv"]
    tracks = {track.kind: track for track in (arriving.get_nowait(), arriving.get_nowait())}
    await asyncio.gather(sound(tracks["audio"]), picture(tracks["video"], BLUE))


async def test_the_track_that_is_sent_is_replaced(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    red, green = Colour(), Colour(GREEN)
    sender = caller.addTrack(red)
    arriving = coming(callee, "track")
    await connect(caller, callee)
    track = await within(arriving)
    await picture(track, RED)
    sender.replaceTrack(green)
    assert sender.track is green
    await picture(track, GREEN)
    sender.replaceTrack(None)
    assert sender.track is None
    sender.replaceTrack(Colour(BLUE))
    await picture(track, BLUE)
    assert (red.readyState, track.readyState) == ("live", "live")


@pytest.mark.parametrize("kind, codec", [("audio", "PCMU"), ("audio", "G722"), ("video", "H264")])
async def test_codecs_can_be_preferred(make_caller: Make, make_callee: Make, kind: str, codec: str) -> None:
    caller, callee = make_caller(), make_callee()
    transceiver = caller.addTransceiver(source(kind))
    known = RTCRtpSender.getCapabilities(kind).codecs
    transceiver.setCodecPreferences([each for each in known if each.mimeType.lower() == f"{kind}/{codec.lower()}"])
    arriving = coming(callee, "track")
    await connect(caller, callee)
    for pc in (caller, callee):
        maps = [line for line in pc.localDescription.sdp.splitlines() if line.startswith("a=rtpmap")]
        assert maps
        assert all(f" {codec}/" in line for line in maps)
    frame = await flows(await within(arriving))
    if kind == "audio":
        assert (frame.format.name, frame.sample_rate) == ("s16", 8000 if codec == "PCMU" else 16000)


async def test_the_answering_side_prefers_codecs(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    transceiver = callee.addTransceiver("video", direction="recvonly")
    known = RTCRtpReceiver.getCapabilities("video").codecs
    transceiver.setCodecPreferences([each for each in known if each.mimeType == "video/H264"])
    arriving = coming(callee, "track")
    await connect(caller, callee)
    assert "VP8/90000" not in callee.localDescription.sdp
    await picture(await within(arriving), RED)


@pytest.mark.parametrize("closer", ["caller", "callee"])
async def test_remote_tracks_end_with_the_call(make_caller: Make, make_callee: Make, closer: str) -> None:
    caller, callee = make_caller(), make_callee()
    told: asyncio.Queue[str] = asyncio.Queue()
    tracks: list[MediaStreamTrack] = []
    sent = [Tone(), Colour()]

    @callee.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        tracks.append(track)

        @track.on("ended")
        async def on_ended() -> None:
            told.put_nowait(track.kind)

    for each in sent:
        caller.addTrack(each)
    await connect(caller, callee)
    await asyncio.gather(*(flows(track) for track in tracks))
    await (caller if closer == "caller" else callee).close()
    await asyncio.gather(*(ended(track) for track in tracks))
    assert [track.readyState for track in tracks] == ["ended", "ended"]
    assert sorted([await within(told.get()) for _ in tracks]) == ["audio", "video"]
    for track in tracks:
        with pytest.raises(MediaStreamError):
            await track.recv()
    await in_state("closed", caller, callee)
    assert [track.readyState for track in sent] == ["ended", "ended"]  # a sender stops its track


async def test_a_program_may_leave_what_comes_unread(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for kind in ("audio", "video"):
        caller.addTrack(source(kind))
        callee.addTrack(source(kind))
    told = coming(caller, "track")
    await connect(caller, callee)
    await flows(await within(told))  # one of the four
    await callee.close()
    await in_state("closed", caller)


async def test_who_speaks_is_known(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    arriving = coming(callee, "track")
    await connect(caller, callee)
    receiver = callee.getReceivers()[0]
    await sound(await within(arriving))
    sources = receiver.getSynchronizationSources()
    assert [f"a=ssrc:{each.source} " in caller.localDescription.sdp for each in sources] == [True]


@pytest.mark.parametrize("codec", ["opus", "vp8"])
async def test_a_track_may_give_encoded_packets(make_caller: Make, make_callee: Make, codec: str) -> None:
    from av import CodecContext, Packet

    kind = "audio" if codec == "opus" else "video"

    class Encoded(MediaStreamTrack):
        """The same frames as ever, encoded here."""

        def __init__(self) -> None:
            super().__init__()
            self.kind = kind
            self._frames = source(kind)
            self._encoder: Any
            if kind == "audio":
                self._encoder = CodecContext.create("libopus", "w")
                self._encoder.sample_rate, self._encoder.layout, self._encoder.format = 48000, "mono", "s16"
            else:
                self._encoder = video_encoder("libvpx", (64, 48))
                self._encoder.gop_size = 1

        async def recv(self) -> Packet:
            while True:
                frame = await self._frames.recv()
                for packet in self._encoder.encode(frame):
                    return packet

    caller, callee = make_caller(), make_callee()
    caller.addTrack(Encoded())
    arriving = coming(callee, "track")
    await connect(caller, callee)
    await flows(await within(arriving))


async def test_two_calls_in_one_program(make_caller: Make, make_callee: Make) -> None:
    """What comes in one call goes out in another."""
    caller, middle_in, middle_out, callee = make_caller(), make_callee(), make_caller(), make_callee(local_only())
    caller.addTrack(Colour(GREEN))
    first = coming(middle_in, "track")
    await connect(caller, middle_in)
    middle_out.addTrack(await within(first))
    second = coming(callee, "track")
    await connect(middle_out, callee)
    await picture(await within(second), GREEN)
