"""Sound, where one packet is one frame: Opus (RFC 7587), PCMU, PCMA and G722 (RFC 3551)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload import Chunk, FrameData

if TYPE_CHECKING:
    from collections.abc import Sequence


class AudioDepacketiser:
    """The payload is the frame; every frame decodes by itself."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when it is empty."""
        if not payload:
            raise ValueError("an audio payload without a byte")
        return Chunk(payload, True, True)

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """The frame of one packet. Raises ValueError for any other number of chunks."""
        if len(chunks) != 1:
            raise ValueError(f"an audio frame is one packet, not {len(chunks)}")
        return FrameData(chunks[0].data, True)
