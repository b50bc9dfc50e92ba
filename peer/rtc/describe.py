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


def session(sections: list[Section], bundle: Sequence[str], *, number: int, version: int) -> Description:
    lines = [
        "v=0",
        f"o=- {number} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {' '.join(bundle)}"] if bundle else []),
        "a=extmap-allow-mixed",
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
    layers: Sequence[str] = (),
) -> Section:
    """The m-line of a transceiver, without the transport; `layers` are those of simulcast that are taken."""
    numbers = " ".join(str(codec.payload_type) for codec in codecs)
    lines = ["c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", f"a=mid:{mid}", f"a={direction}"]
    if sdp.sends(direction):
        lines += [f"a=msid:{stream} {transceiver.track_id}" for stream in transceiver.streams or ("-",)]
    lines += ["a=rtcp-mux", "a=rtcp-rsize"]
    for each in extensions:
        lines.append(f"a=extmap:{each.id} {each.uri}")
    for codec in codecs:
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.rtpmap}")
        lines += [f"a=rtcp-fb:{codec.payload_type} {feedback}" for feedback in codec.feedback]
        if codec.parameters:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if layers:
        lines += [f"a=rid:{layer} recv" for layer in layers]
        lines.append(f"a=simulcast:recv {';'.join(layers)}")
    if sdp.sends(direction):
        lines += _ssrcs(transceiver, codecs)
    return Section(f"m={transceiver.kind} 9 UDP/TLS/RTP/SAVPF {numbers}", lines)


def _ssrcs(transceiver: Transceiver, codecs: Sequence[Codec]) -> list[str]:
    """RFC 5576: which SSRCs we send, and which of them retransmits the other."""
    lines = []
    retransmits = any(codec.is_rtx for codec in codecs)
    if retransmits:
        lines.append(f"a=ssrc-group:FID {transceiver.ssrc} {transceiver.rtx_ssrc}")
    ours = (transceiver.ssrc, transceiver.rtx_ssrc) if retransmits else (transceiver.ssrc,)
    return [*lines, *(f"a=ssrc:{ssrc} cname:{transceiver.cname}" for ssrc in ours)]


def data(mid: str, *, legacy: bool) -> Section:
    """The m-line of the data channels (RFC 8841), for an old browser as it was before."""
    lines = ["c=IN IP4 0.0.0.0", f"a=mid:{mid}"]
    if legacy:
        return Section(
            f"m=application 9 DTLS/SCTP {SCTP_PORT}", [*lines, f"a=sctpmap:{SCTP_PORT} webrtc-datachannel 65535"]
        )
    lines += [f"a=sctp-port:{SCTP_PORT}", f"a=max-message-size:{MAX_MESSAGE_SIZE}"]
    return Section("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", lines)


def rejected(model: Section, mid: str) -> Section:
    """An m-line with port 0 in the place of `model`."""
    formats = " ".join(model.formats)
    lines = ["c=IN IP4 0.0.0.0", *([f"a=mid:{mid}"] if mid else []), "a=inactive"]
    return Section(f"m={model.kind} 0 {model.protocol} {formats}", lines)


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
    """The text of a description with the candidates found so far on each m-line of the bundle."""
    lines = [f"a={candidate}" for candidate in candidates]
    if complete:
        lines.append("a=end-of-candidates")
    taking_part = set(description.bundle or ())
    sections = [
        Section(each.mline, [*each.lines, *lines]) if each.mid in taking_part else each for each in description.media
    ]
    return str(Description(description.session, sections))
