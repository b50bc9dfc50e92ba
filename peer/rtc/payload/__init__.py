"""RTP payload formats, one file per codec: what one packet holds, and how packets become a frame again. Pure.

A depacketiser belongs to one stream: it may remember parameter sets. Bytes from the network are hostile: `parse`
and `assemble` raise `ValueError` for what is no valid payload, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.frames import Codec


class Chunk(NamedTuple):
    """What one packet brings to its frame."""

    data: bytes
    starts_frame: bool
    """The frame begins here for certain, whatever became of the packets before."""
    keyframe: bool
    """This packet belongs to a frame that decodes by itself, as far as the packet alone tells."""


class FrameData(NamedTuple):
    """One frame put together; `data` is empty when its packets held nothing that decodes to a picture."""

    data: bytes
    keyframe: bool
    width: int = 0
    """Pixels, 0 where the frame does not say it."""
    height: int = 0


class Depacketiser(Protocol):
    """Turns the payloads of one stream into frames."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload; keeps no state, so packets may come in any order. Raises ValueError."""
        ...

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """Put the chunks of one frame together, all of them and in order; frames come in order. Raises ValueError."""
        ...


def depacketiser_for(codec: Codec) -> Depacketiser | None:
    """A new depacketiser for `codec` (its name in any case), or None for a codec that is not known here."""
    # Imported here because the formats need the types above.
    from peer.rtc.payload.av1 import Av1Depacketiser
    from peer.rtc.payload.h264 import H264Depacketiser
    from peer.rtc.payload.opus import AudioDepacketiser
    from peer.rtc.payload.vp8 import Vp8Depacketiser
    from peer.rtc.payload.vp9 import Vp9Depacketiser

    known: dict[str, type[Depacketiser]] = {
        "VP8": Vp8Depacketiser,
        "VP9": Vp9Depacketiser,
        "AV1": Av1Depacketiser,
        "H264": H264Depacketiser,
        **dict.fromkeys(("OPUS", "PCMU", "PCMA", "G722"), AudioDepacketiser),
    }
    made = known.get(codec.name.upper())
    return None if made is None else made()
