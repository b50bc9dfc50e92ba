"""Descriptions to negotiate with: those that browsers wrote (`fixtures/`), and small ones made here line by line."""

from __future__ import annotations

from pathlib import Path

from peer.rtc.effects import LocalTransport, Transceiver
from peer.rtc.jsep import Session

FIXTURES = {path.stem: path.read_bytes().decode() for path in sorted((Path(__file__).parent / "fixtures").glob("*"))}
"""Captured from Chromium and Firefox, but `safari-offer`: that one is composed after what is documented of Safari."""
ANSWERS = [name for name in FIXTURES if name.endswith("-answer")]
OFFERS = [name for name in FIXTURES if name not in ANSWERS]

FINGERPRINT = ("sha-256", ":".join(["AB"] * 32))
PATH = [
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    f"a=fingerprint:{' '.join(FINGERPRINT)}",
    "a=setup:actpass",
]


def local(name: str = "ours") -> LocalTransport:
    """The path of a side, told apart by `name`."""
    return LocalTransport(f"{name}ufrag", f"{name}password0123456789"[:32], (("sha-256", ":".join(["0C"] * 32)),))


def text(*sections: list[str], session: tuple[str, ...] = (), bundle: str | None = None) -> str:
    """A description of these m-lines; `bundle`: the mids of the group instead of all, "" for no group."""
    mids = " ".join(line[6:] for section in sections for line in section if line.startswith("a=mid:"))
    group = [] if bundle == "" else [f"a=group:BUNDLE {bundle or mids}"]
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *group, *session]
    return "\r\n".join([*lines, *(line for section in sections for line in section)]) + "\r\n"


def audio(mid: str = "0", *lines: str, path: list[str] = PATH) -> list[str]:
    return ["m=audio 9 UDP/TLS/RTP/SAVPF 111", f"a=mid:{mid}", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", *lines, *path]


def video(mid: str = "1", *lines: str, formats: str = "96", mapping: str = "96 VP8/90000") -> list[str]:
    head = [f"m=video 9 UDP/TLS/RTP/SAVPF {formats}", f"a=mid:{mid}", "a=rtcp-mux", f"a=rtpmap:{mapping}"]
    return [*head, *lines, *PATH]


def data(mid: str = "2", *lines: str) -> list[str]:
    head = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", f"a=mid:{mid}", "a=sctp-port:5000"]
    return [*head, *lines, *PATH]


def rejected(section: list[str]) -> list[str]:
    """The m-line with port 0."""
    kind, _, rest = section[0].split(" ", 2)
    return [f"{kind} 0 {rest}", *section[1:]]


def session(*transceivers: Transceiver, data: bool = False) -> Session:
    made = Session(1)
    for each in transceivers:
        made.add(each)
    made.data.wanted = data
    return made


def sending(kind: str, direction: str = "sendrecv") -> Transceiver:
    """A transceiver with a track."""
    return Transceiver(kind, direction, streams=("stream",), track_id="track", cname="us", ssrc=1, rtx_ssrc=2)


def answered(text: str, *transceivers: Transceiver) -> tuple[Session, str]:
    """A session that took an offer and answered it, and the answer."""
    made = session(*transceivers)
    made.set_remote("offer", text)
    answer = made.create_answer(local())
    made.set_local("answer", answer)
    return made, answer


def connected(offerer: Session, answerer: Session) -> None:
    """One round of offer and answer."""
    offer = offerer.create_offer(local("offerer"))
    offerer.set_local("offer", offer)
    answerer.set_remote("offer", offer)
    answer = answerer.create_answer(local("answerer"))
    answerer.set_local("answer", answer)
    offerer.set_remote("answer", answer)
