"""What two descriptions have in common, and what one of them asks for (RFC 9429 section 5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc import sdp
from peer.rtc.codecs import CAPABILITIES, EXTENSIONS, Codec, common, preferred
from peer.rtc.effects import RemoteMedia, Transceiver
from peer.rtc.sdp import Description, Extension, SdpError, Section

if TYPE_CHECKING:
    from collections.abc import Sequence


def usable(description: Description, section: Section) -> bool:
    """Whether an offered m-line can be taken: part of the bundle, and something that we know."""
    bundle = description.bundle
    if bundle is None:
        bundle = [each.mid for each in description.media if not each.rejected][:1]
    if section.rejected or section.mid not in bundle:
        return False
    if section.kind == "application":
        return section.protocol.endswith("DTLS/SCTP") and section.sctp_port is not None
    if section.kind not in CAPABILITIES or section.value("rtcp-mux") is None:
        return False
    return "RTP/SAVP" in section.protocol and bool(common(CAPABILITIES[section.kind], section.codecs))


def tag(description: Description) -> Section:
    """The m-line that stands for the transport: the first of the bundle that is not rejected (RFC 9143 section 7)."""
    sections = (description.section(mid) for mid in description.bundle or ())
    for section in (*sections, *description.media):
        if section is not None and not section.rejected:
            return section
    raise SdpError("every m-line of it is rejected")


def all_rejected(description: Description) -> bool:
    return all(section.rejected for section in description.media)


def codecs_taken(transceiver: Transceiver, remote: Section) -> list[Codec]:
    """The codecs of an answer: the offer's that we take, in the offerer's order unless the application has its own."""
    found = common(CAPABILITIES[transceiver.kind], remote.codecs)
    return preferred(found, transceiver.preferences) or found


def extensions_taken(remote: Section) -> list[Extension]:
    return [each for each in remote.extensions if each.uri in EXTENSIONS[remote.kind]]


def remote_media(section: Section) -> RemoteMedia:
    repairs = section.repairs
    return RemoteMedia(
        section.streams,
        tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairs),
        tuple(repairs.items()),
        section.sending_layers,
    )


def check_answer(offer: Description, answer: Description) -> None:
    """Raises SdpError when the m-lines of the answer do not fit those of the offer (RFC 9429 section 5.3.1)."""
    offered: Sequence[tuple[str, str]] = [(section.kind, section.mid) for section in offer.media]
    if [(section.kind, section.mid) for section in answer.media] != offered:
        raise SdpError("the m-lines of the answer are not those of the offer")
    for mine, theirs in zip(offer.media, answer.media, strict=True):
        if not theirs.rejected and mine.rejected:
            raise SdpError(f"the answer takes the m-line {theirs.mid}, which the offer rejects")


def needs_negotiation(
    transceiver: Transceiver, local: Description | None, remote: Description | None, *, offered_locally: bool
) -> bool:
    """Whether what is agreed is not what the transceiver is to be (webrtc-pc section 4.7.3, step 5)."""
    if transceiver.stopped:
        return False
    if transceiver.stopping:
        return transceiver.mid is not None
    mine = local.section(transceiver.mid) if local is not None and transceiver.mid else None
    theirs = remote.section(transceiver.mid) if remote is not None and transceiver.mid else None
    if mine is None or theirs is None:
        return True
    if sdp.sends(transceiver.direction) and sdp.sends(mine.direction):
        said = {stream for stream, _ in mine.streams}
        if said != set(transceiver.streams or ("-",)):
            return True
    if offered_locally:
        return transceiver.direction not in (mine.direction, sdp.reverse(theirs.direction))
    return mine.direction != sdp.intersect(transceiver.direction, sdp.reverse(theirs.direction))
