"""What two descriptions have in common, and what one of them asks for (RFC 9429 section 5). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from peer.rtc import codecs, sdp
from peer.rtc.codecs import EXTENSIONS, RECEIVABLE, Codec, common, preferred
from peer.rtc.effects import RemoteMedia, Transceiver
from peer.rtc.sdp import Description, Extension, SdpError, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEDIA = re.compile(r"(UDP/TLS/|TCP/DTLS/)?RTP/S?AVPF?")
"""RFC 9429 section 5.1.2: all of them mean the same, as the fingerprint says that it is DTLS-SRTP."""
_DATA = re.compile(r"((UDP|TCP)/)?DTLS/SCTP")


def usable(offer: Description, data_mid: str | None = None) -> list[Section]:
    """The m-lines of an offer that can be taken: part of the one bundle, and something that we know.

    Where there is no bundle, the first of them has the transport, and the others have none. Of several for data
    channels the one with `data_mid` is taken, else the first.
    """
    fitting = [section for section in offer.media if _fits(section)]
    if offer.bundle is None:
        return fitting[:1]
    inside = {section.mid: section for section in fitting if section.mid in offer.bundle}
    data = [mid for mid, section in inside.items() if section.kind == "application"]
    chosen = data_mid if data_mid in data else next(iter(data), None)
    return [section for mid, section in inside.items() if section.kind != "application" or mid == chosen]


def _fits(section: Section) -> bool:
    if section.rejected:
        return False
    if section.kind == "application":
        named = section.protocol == "DTLS/SCTP" or section.formats[0] == "webrtc-datachannel"
        return _DATA.fullmatch(section.protocol) is not None and named and section.sctp_port is not None
    if section.kind not in RECEIVABLE or section.value("rtcp-mux") is None:
        return False
    known = [each for each in RECEIVABLE[section.kind] if each.is_main]
    return _MEDIA.fullmatch(section.protocol) is not None and any(
        codecs.matches(own, each) for each in section.codecs for own in known
    )


def tag(description: Description) -> Section:
    """The m-line that stands for the transport: the first of the bundle that is taken (RFC 9143 section 7.3)."""
    taken = usable(description)
    by_mid = {section.mid: section for section in taken}
    for mid in description.bundle or ():
        if mid in by_mid:
            return by_mid[mid]
    for section in (*taken, *description.media):
        if not section.rejected:
            return section
    raise SdpError("every m-line of it is rejected")


def all_rejected(description: Description) -> bool:
    return all(section.rejected for section in description.media)


def codecs_taken(transceiver: Transceiver, offer: Section) -> list[Codec]:
    """The codecs of an answer: the offer's that we take, in the offerer's order unless the application has its own."""
    return codecs.one_event(preferred(common(RECEIVABLE[transceiver.kind], offer.codecs), transceiver.preferences))


def extensions_taken(offer: Section) -> list[Extension]:
    """The header extensions of an answer; what the offerer only sends we only receive (RFC 8285 section 6)."""
    found: dict[str, Extension] = {}
    for each in offer.extensions:
        if each.uri in EXTENSIONS[offer.kind] and each.direction != "inactive":
            found.setdefault(each.uri, Extension(each.id, each.uri, sdp.reverse(each.direction)))
    return list(found.values())


def extensions_agreed(local: Section, remote: Section) -> tuple[Extension, ...]:
    known = {(each.id, each.uri) for each in remote.extensions}
    return tuple(each for each in local.extensions if (each.id, each.uri) in known)


def remote_media(section: Section) -> RemoteMedia:
    repairs = section.repairs
    return RemoteMedia(
        section.streams,
        tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairs),
        tuple(repairs.items()),
        tuple(section.sending_layers),
    )


def check_answer(offer: Description, answer: Description) -> None:
    """Raises SdpError when the m-lines of the answer do not fit those of the offer (RFC 9429 section 5.3.1)."""
    offered: Sequence[tuple[str, str]] = [(section.kind, section.mid) for section in offer.media]
    if [(section.kind, section.mid) for section in answer.media] != offered:
        raise SdpError("the m-lines of the answer are not those of the offer")
    live = [section for section in answer.media if not section.rejected]
    if len(live) > 1:
        for section in live:
            if section.mid not in (answer.bundle or ()):
                raise SdpError(f"the answer leaves the m-line {section.mid} out of the bundle; there is one transport")
    for mine, theirs in zip(offer.media, answer.media, strict=True):
        if not theirs.rejected:
            _check_taken(mine, theirs)


def _check_taken(mine: Section, theirs: Section) -> None:
    if mine.rejected:
        raise SdpError(f"the answer takes the m-line {theirs.mid}, which the offer rejects")
    if theirs.kind == "application":
        if theirs.sctp_port is None:
            raise SdpError(f"the port of the data channels (a=sctp-port) is missing in the m-line {theirs.mid}")
    elif not codecs.agreed(mine.codecs, theirs.codecs):
        raise SdpError(f"the answer takes the m-line {theirs.mid} without a codec that was offered")
    elif theirs.value("rtcp-mux") is None:
        raise SdpError(f"the answer does not take RTCP on the same port (a=rtcp-mux) in the m-line {theirs.mid}")


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
