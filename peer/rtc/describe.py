"""The descriptions that we write: offers and answers, section by section (RFC 9429 sections 5.2 and 5.3). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc import sdp
from peer.rtc.sdp import Description, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.codecs import Codec
    from peer.rtc.effects import LocalTransport, Transceiver
    from peer.rtc.sdp import Extension

MAX_MESSAGE_SIZE = 256 * 1024
"""Bytes of a data channel message that we take."""
SCTP_PORT = 5000


def session(sections: list[Section], bundle: Sequence[str] | None, *, number: int, version: int) -> Description:
    """The whole description; `bundle` is None in an answer to an offer without the group (RFC 9143 section 7.3)."""
    lines = [
        "v=0",
        f"o=- {number} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([] if bundle is None else [" ".join(("a=group:BUNDLE", *bundle))]),
        "a=msid-semantic:WMS *",
    ]
    return Description(lines, sections)


def media(
    transceiver: Transceiver,
    mid: str,
    direction: str,
    codecs: Sequence[Codec],
    extensions: Sequence[Extension],
    *,
    offered: Section | None = None,
) -> Section:
    """The m-line of a transceiver, without the transport; `offered` is what it answers."""
    numbers = " ".join(str(codec.payload_type) for codec in codecs)
    protocol = "UDP/TLS/RTP/SAVPF" if offered is None else offered.protocol  # RFC 9429 section 5.3.1: the same
    lines = ["c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", f"a=mid:{mid}", f"a={direction}"]
    if sdp.sends(direction):
        lines += [f"a=msid:{stream} {transceiver.track_id}".rstrip() for stream in transceiver.streams or ("-",)]
    lines.append("a=rtcp-mux")
    lines += [f"a={each}" for each in ("rtcp-rsize", "extmap-allow-mixed") if offered is None or offered.values(each)]
    for each in extensions:
        one_way = "" if each.direction == "sendrecv" else f"/{each.direction}"
        lines.append(f"a=extmap:{each.id}{one_way} {each.uri}")
    for codec in codecs:
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.rtpmap}")
        lines += [f"a=rtcp-fb:{codec.payload_type} {feedback}" for feedback in codec.feedback]
        if codec.parameters:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if offered is not None and sdp.receives(direction):
        lines += _layers(offered)
    if sdp.sends(direction) and transceiver.ssrc:
        lines += _ssrcs(transceiver, codecs)
    return Section(f"m={transceiver.kind} 9 {protocol} {numbers}", lines)


def _layers(offered: Section) -> list[str]:
    """All simulcast layers are taken, under the restrictions that they were offered with (RFC 8851 section 6.3)."""
    layers = offered.sending_layers
    if not layers:
        return []
    rids = [f"a=rid:{layer} recv {restrictions}".rstrip() for layer, restrictions in layers.items()]
    return [*rids, f"a=simulcast:recv {';'.join(layers)}"]


def _ssrcs(transceiver: Transceiver, codecs: Sequence[Codec]) -> list[str]:
    """RFC 5576: which SSRCs we send, and which of them retransmits the other."""
    lines = []
    retransmits = any(codec.is_rtx for codec in codecs)
    if retransmits:
        lines.append(f"a=ssrc-group:FID {transceiver.ssrc} {transceiver.rtx_ssrc}")
    ours = (transceiver.ssrc, transceiver.rtx_ssrc) if retransmits else (transceiver.ssrc,)
    return [*lines, *(f"a=ssrc:{ssrc} cname:{transceiver.cname}" for ssrc in ours)]


def data(mid: str, *, legacy: bool, offered: Section | None = None) -> Section:
    """The m-line of the data channels (RFC 8841), for an old browser as it was before; `offered` is what it answers."""
    lines = ["c=IN IP4 0.0.0.0", f"a=mid:{mid}"]
    if legacy:
        return Section(
            f"m=application 9 DTLS/SCTP {SCTP_PORT}", [*lines, f"a=sctpmap:{SCTP_PORT} webrtc-datachannel 65535"]
        )
    lines += [f"a=sctp-port:{SCTP_PORT}", f"a=max-message-size:{MAX_MESSAGE_SIZE}"]
    protocol = "UDP/DTLS/SCTP" if offered is None else offered.protocol
    return Section(f"m=application 9 {protocol} webrtc-datachannel", lines)


def rejected(model: Section, mid: str) -> Section:
    """An m-line with port 0 in the place of `model`."""
    formats = " ".join(model.formats)
    return Section(f"m={model.kind} 0 {model.protocol} {formats}", ["c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=inactive"])


def with_transport(section: Section, transport: LocalTransport, setup: str) -> Section:
    """Every section of a bundle names the transport: the other side may take only the first, or only its own."""
    lines = [
        f"a=ice-ufrag:{transport.username_fragment}",
        f"a=ice-pwd:{transport.password}",
        "a=ice-options:trickle",
        *(f"a=fingerprint:{name} {value}" for name, value in transport.fingerprints),
        f"a=setup:{setup}",
    ]
    return Section(section.mline, [*section.lines, *lines])


def with_candidates(description: Description, candidates: Sequence[str], *, complete: bool) -> str:
    """The text of a description with the candidates found so far on each m-line that has the path."""
    lines = [f"a={candidate}" for candidate in candidates]
    if complete:
        lines.append("a=end-of-candidates")
    sections = [
        each if each.rejected or each.credentials is None else Section(each.mline, [*each.lines, *lines])
        for each in description.media
    ]
    return str(Description(description.session, sections))
