"""The jitter buffer: packets in, frames out in order, and what to ask the sender for and when. Pure.

A packet that is next in line goes straight to its frame. Behind a gap packets are held; the gap is asked for (NACK)
until a deadline. Then sound goes on without it. Of video nothing can be decoded without it but a keyframe: one is asked
for, and what comes first, the keyframe or the missing packet, ends the waiting; at the latest MAX_VIDEO_HOLD does. So
nothing is ever held longer, whatever was lost before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from peer.rtc.assembly import AssembledFrame, AudioAssembler, Counters, VideoAssembler
from peer.rtc.nack import MAX_MISSING, Missing, MissingPackets
from peer.rtc.payload import Chunk, depacketiser_for
from peer.rtc.rtp import MAX_DROPOUT, signed_difference

if TYPE_CHECKING:
    from peer.rtc.frames import Codec

__all__ = ["AssembledFrame", "Counters", "Feedback", "JitterBuffer"]

VIDEO = ("VP8", "VP9", "AV1", "H264")
MAX_HELD_PACKETS = 2048
MAX_HELD_BYTES = 2 << 20
MIN_VIDEO_WAIT = 0.200
MAX_VIDEO_WAIT = 0.400
MAX_VIDEO_HOLD = 1.0
MAX_AUDIO_WAIT = 0.200
REPAIR_AUDIO_WAIT = 0.100
"""What it may take until lost sound came again: it is noticed by the next packet, so the delay is 120 ms in all."""
REPAIR_GRACE = 0.040
"""Beyond a round trip: for the sender to answer, and for us to read it, which may wait (`IceSettings.max_pause`)."""
DEFAULT_RTT = 0.100
MAX_RTT = 1.0
MIN_PLI_INTERVAL = 0.300
MAX_PLI_INTERVAL = 1.0
MAX_AUDIO_MISSING = 10
"""Packets of sound, 20 ms mostly: what misses more was away, and its beginning would come too late in any case."""
REMEMBERED = 1024
UNANSWERED = 10
"""Gaps in sound in a row of which nothing came although it was asked for: the sender keeps none, waiting is useless."""
MALFORMED = PADDING = Chunk(b"", False, False)


class Feedback(NamedTuple):
    """What to ask the sender for, now."""

    nack: list[int]
    """16-bit sequence numbers of packets to send again (generic NACK, RFC 4585), in order."""
    pli: bool
    """Whether to ask for a keyframe (picture loss indication)."""


NOTHING = Feedback([], False)


class _Held(NamedTuple):
    timestamp: int
    chunk: Chunk | None
    arrival: float
    marker: bool


class JitterBuffer:
    """Puts the packets of one stream (one SSRC at a time) in order and together; all times are seconds.

    `retransmission`: missing packets are asked for; by default so for video. Many senders send sound again although
    they do not say so, others never do: those are still asked, but not waited for. `hand_out_broken`: after a loss go
    on handing out whole frames although the pictures they build on are missing. Raises ValueError for a codec without a
    payload format here (`peer.rtc.payload.depacketiser_for`).
    """

    def __init__(self, codec: Codec, *, retransmission: bool | None = None, hand_out_broken: bool = False) -> None:
        depacketiser = depacketiser_for(codec)
        if depacketiser is None:
            raise ValueError(f"no payload format for {codec.name} is known here: negotiate another codec")
        self.counters = Counters()
        self.video = codec.name.upper() in VIDEO
        self._assembler: VideoAssembler | AudioAssembler
        if self.video:
            self._assembler = VideoAssembler(depacketiser, self.counters, hand_out_broken=hand_out_broken)
        else:
            self._assembler = AudioAssembler(depacketiser, self.counters, codec.clock_rate)
        self._parse = depacketiser.parse
        self._retransmission = self.video if retransmission is None else retransmission
        self._unanswered = 0
        self._most_missing = MAX_MISSING if self.video else MAX_AUDIO_MISSING
        self._skip_to_keyframe = self.video and not hand_out_broken
        self._missing = MissingPackets()
        self._gaps = self._missing.packets
        """The same; whether there are any is asked for each packet."""
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._keyframe = -1
        """Sequence number of the newest packet that began a keyframe behind a gap."""
        self._given_up: dict[int, Missing] = {}
        self._highest = 0
        self._next = -1
        self._stray: tuple[int, int, bytes, float, bool] | None = None
        self._stray_count = 0
        self._rtt = DEFAULT_RTT
        self._rtts: deque[float] = deque(maxlen=5)
        """As measured elsewhere."""
        self._rtt_measured = False
        self._pli_sent = float("-inf")
        self._pli_tries = 0

    @property
    def rtt(self) -> float:
        """Round-trip time in use: what `set_rtt` said, else measured on retransmissions, else a guess."""
        return self._rtt

    def set_rtt(self, seconds: float) -> None:
        """The round-trip time to the sender, measured elsewhere, again and again: the shortest of the last counts.

        A machine that is busy at one moment makes one longer, and what is lost would be asked for again too late.
        """
        self._rtts.append(min(max(seconds, 0.0), MAX_RTT))
        self._rtt = min(self._rtts)

    @property
    def deadline(self) -> float:
        """Seconds after which a missing packet is given up, or for video a keyframe is asked for to replace it."""
        if self.video:
            return min(max(0.1 + 3 * self._rtt, MIN_VIDEO_WAIT), MAX_VIDEO_WAIT)
        assert isinstance(self._assembler, AudioAssembler)
        wait = self._assembler.target
        if self._retransmission and self._unanswered < UNANSWERED:
            wait = max(wait, REPAIR_AUDIO_WAIT, self._rtt + REPAIR_GRACE)
        return min(wait, MAX_AUDIO_WAIT)

    # Packets in

    def add(self, sequence_number: int, timestamp: int, payload: bytes, now: float, *, marker: bool = False) -> bool:
        """Take one packet as it came: 16-bit sequence number, 32-bit timestamp, payload without padding.

        An unwrapped retransmission (RFC 4588) comes with its original sequence number. An empty payload is padding:
        it fills its place. A payload that is malformed costs its frame, and is counted. Returns whether `frames`,
        `feedback` or `next_wakeup` may have something new to say; of most packets, nothing follows.
        """
        self.counters.received += 1
        if sequence_number != self._next:
            self._add_out_of_line(sequence_number, timestamp, payload, now, marker=marker)
            return True
        self._highest += 1
        self._next = (sequence_number + 1) & 0xFFFF
        try:
            chunk = self._parse(payload) if payload else None
        except ValueError:
            chunk = self._malformed()
        if self._gaps:
            self._missing.arrived()
            self._hold(self._highest, _Held(timestamp, chunk, now, marker))
            return True
        assembler = self._assembler
        assembler.put(timestamp, chunk, now, marker=marker)
        return bool(assembler.ready) or assembler.waiting

    def _malformed(self) -> Chunk:
        self.counters.malformed += 1
        return MALFORMED

    def _add_out_of_line(self, number: int, timestamp: int, payload: bytes, now: float, *, marker: bool) -> None:
        """Place a packet that is not the next one: the first, one after a gap, or a late one."""
        if self._next < 0:
            self._begin(number)
        ahead = signed_difference(number, self._highest, 16)
        if not -MAX_DROPOUT < ahead <= MAX_DROPOUT:
            self._add_stray((number, timestamp, payload, now, marker))
            return
        sequence = self._highest + ahead
        if ahead <= 0 and sequence not in self._missing:
            self._count_useless(sequence, now)
            return
        try:
            chunk = self._parse(payload) if payload else None
        except ValueError:
            chunk = self._malformed()
        packet = _Held(timestamp, chunk, now, marker)
        if ahead > 0:
            if len(self._missing) + ahead - 1 > self._most_missing:
                self._give_up(self._missing.below(sequence))
                self.counters.lost_given_up += ahead - 1
                self._assembler.lost()
            elif ahead > 1:
                self._missing.notice(self._highest + 1, sequence, now)
            self._highest, self._next = sequence, (number + 1) & 0xFFFF
        elif self._fill(sequence, packet, now):
            return
        self._missing.arrived()
        if self._missing:
            self._hold(sequence, packet)
        else:
            self._assembler.put(timestamp, chunk, now, marker=marker)

    def _begin(self, number: int) -> None:
        self._highest = number - 1 + (1 << 16)
        self._next = number

    def _add_stray(self, packet: tuple[int, int, bytes, float, bool]) -> None:
        """One packet from far away is dropped, two in a row mean that the sender started anew (RFC 3550 A.1)."""
        before, self._stray = self._stray, packet
        in_a_row = self.counters.received == self._stray_count + 1
        self._stray_count = self.counters.received
        if before is None or not in_a_row or packet[0] != (before[0] + 1) & 0xFFFF:
            return
        self.reset()
        for number, timestamp, payload, now, marker in (before, packet):
            self.counters.received -= 1
            self.add(number, timestamp, payload, now, marker=marker)

    def _count_useless(self, sequence: int, now: float) -> None:
        given_up = self._given_up.pop(sequence, None)
        if given_up is None:
            self.counters.duplicates += 1
            return
        self.counters.late += 1
        if given_up.tries:
            self._unanswered = 0
            self._learn_rtt(now - given_up.asked, given_up.tries)
        elif isinstance(self._assembler, AudioAssembler):
            self._assembler.overdue(now - given_up.noticed)

    def _fill(self, sequence: int, packet: _Held, now: float) -> bool:
        """A missing packet came; True when it was the first missing one, and so what it held up is released."""
        head = sequence == self._missing.first()
        missing = self._missing.found(sequence)
        if missing.tries:
            self.counters.recovered += 1
            self._unanswered = 0
            self._learn_rtt(now - missing.asked, missing.tries)
        else:
            self.counters.reordered += 1
        if head:
            self._assembler.put(packet.timestamp, packet.chunk, packet.arrival, marker=packet.marker)
            self._release(sequence + 1)
        return head

    def _learn_rtt(self, sample: float, tries: int) -> None:
        """Karn's rule: what came after a second request says little; it serves while nothing better does."""
        if self._rtts or (tries > 1 and self._rtt_measured):
            return
        sample = min(sample, MAX_RTT)
        # Slowly down: a packet that was only late seems to answer at once.
        gain = (1 / 4 if sample > self._rtt else 1 / 16) if self._rtt_measured else 1
        self._rtt += (sample - self._rtt) * gain
        self._rtt_measured = True

    def _hold(self, sequence: int, packet: _Held) -> None:
        self._held[sequence] = packet
        chunk = packet.chunk or PADDING
        self._held_bytes += len(chunk.data)
        if chunk.keyframe and chunk.starts_frame:
            self._keyframe = sequence
        if self._held_bytes > MAX_HELD_BYTES or len(self._held) > MAX_HELD_PACKETS:
            self._give_up(self._missing.below(self._highest))

    def _release(self, start: int) -> None:
        """Hand on what is held from `start` up to the next gap."""
        stop = self._missing.first() if self._missing else self._highest + 1
        put = self._assembler.put
        for sequence in range(start, stop):
            timestamp, chunk, arrival, marker = self._held.pop(sequence)
            if chunk is not None:
                self._held_bytes -= len(chunk.data)
            put(timestamp, chunk, arrival, marker=marker)

    # Frames out

    @property
    def calm(self) -> bool:
        """Whether nothing is missing: then `feedback` and `next_wakeup` have nothing to say."""
        return not self._gaps and not self._assembler.waiting

    def frames(self, now: float) -> list[AssembledFrame]:
        """The frames that are ready, in order; gives up what is missing for longer than the deadline."""
        if self._gaps:
            self._expire(now)
        elif not self._assembler.waiting:
            self._pli_tries = 0
        return self._assembler.take()

    def _expire(self, now: float) -> None:
        """Give up what is missing for too long; there has to be something."""
        wait = self.deadline
        if self._skip_to_keyframe:
            if self._keyframe in self._held and (self._assembler.waiting or self._overdue(now)):
                # What is before it cannot be decoded, or comes too late: it is not worth waiting for.
                self._give_up(self._missing.below(self._keyframe))
            wait = MAX_VIDEO_HOLD
        if self._gaps and self._missing.first_noticed() + wait <= now:
            self._give_up(self._missing.expired(now, wait))

    def _overdue(self, now: float) -> bool:
        return bool(self._gaps) and self._missing.first_noticed() + self.deadline <= now

    def _give_up(self, sequences: list[int]) -> None:
        """Wait no longer for these, the lowest ones that are missing, and hand on what they held up."""
        self._unanswered += any(self._gaps[sequence].tries for sequence in sequences)
        for sequence in sequences:
            self._given_up[sequence] = self._missing.found(sequence)
            if len(self._given_up) > REMEMBERED:
                del self._given_up[next(iter(self._given_up))]
            self._assembler.lost()
            self._release(sequence + 1)
        self.counters.lost_given_up += len(sequences)

    # Feedback

    def feedback(self, now: float) -> Feedback:
        """What to ask for now; each call counts as asked, so send all of it."""
        nack: list[int] = []
        if self._gaps:
            self._expire(now)
            if self._retransmission:
                nack = [sequence & 0xFFFF for sequence in self._missing.due(now, self._rtt)]
                self.counters.nacks += len(nack)
        wanted = self._assembler.waiting or (self._skip_to_keyframe and self._overdue(now))
        pli = wanted and self._pli_due() <= now
        if pli:
            self.counters.plis += 1
            self._pli_sent = now
            self._pli_tries = min(self._pli_tries + 1, 8)
        elif not wanted:
            self._pli_tries = 0
        return Feedback(nack, pli) if nack or pli else NOTHING

    def _pli_due(self) -> float:
        """Seconds: when the next PLI may go out, as long as a keyframe is waited for; infinity before any packet."""
        if self._next < 0:
            return float("inf")
        assert isinstance(self._assembler, VideoAssembler)
        interval = max(MIN_PLI_INTERVAL, 2 * self._rtt) * (1 << max(self._pli_tries - 1, 0))
        due = self._pli_sent + min(interval, MAX_PLI_INTERVAL)
        # A keyframe that is arriving gets its time.
        began = self._assembler.keyframe_since
        return due if began is None else max(due, began + MAX_PLI_INTERVAL)

    def next_wakeup(self, now: float) -> float | None:
        """When `frames` or `feedback` will have something without a further packet (maybe now); None for never."""
        wakeup = float("inf")
        if self._gaps:
            noticed = self._missing.first_noticed()
            wakeup = noticed + self.deadline
            if self._skip_to_keyframe and wakeup <= now:
                wakeup = min(noticed + MAX_VIDEO_HOLD, self._pli_due())
            if self._retransmission:
                wakeup = min(wakeup, self._missing.wakeup(now))
        if self._assembler.waiting:
            wakeup = min(wakeup, self._pli_due())
        return None if wakeup == float("inf") else max(wakeup, now)

    def reset(self) -> None:
        """The sender starts anew (another SSRC, say): hand on what is whole, forget the rest, begin with any number."""
        if self._missing:
            self._give_up(self._missing.below(self._highest))
        self._assembler.reset()
        self._given_up.clear()
        self._stray = None
        self._next = -1
        self.counters.resets += 1
