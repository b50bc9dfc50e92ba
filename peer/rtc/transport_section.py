"""The path in descriptions: which m-line stands for it, whose credentials it has, who is the DTLS client. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peer.rtc import effects
from peer.rtc.sdp import SdpError

if TYPE_CHECKING:
    from peer.rtc.effects import Effect
    from peer.rtc.sdp import Section


@dataclass(slots=True)
class TransportAgreement:
    """What is agreed about the one transport of the bundle; a rollback goes back to a copy."""

    tag: str = ""
    """Mid of the m-line that stands for the path (the "offerer tagged" one, RFC 9143 section 7.2)."""
    credentials: tuple[str, str] | None = None
    """The other side's ICE user name fragment and password."""
    fingerprints: tuple[tuple[str, str], ...] = ()
    role: str | None = None
    """Our DTLS role, `client` or `server`, once it is agreed."""
    restarting: bool = False
    """Whether an offer of the other side, not answered yet, restarts ICE or moves the path."""
    agreed: bool = False

    def take(self, section: Section, *, lite: bool, is_answer: bool) -> list[Effect]:
        """Read the transport of a remote description.

        Raises:
            SdpError: credentials or fingerprint are missing, or the certificate changed in mid-call.
        """
        credentials, fingerprints = section.credentials, section.fingerprints
        if credentials is None:
            raise SdpError("ICE credentials (a=ice-ufrag, a=ice-pwd) are missing")
        if not fingerprints:
            raise SdpError("the DTLS fingerprint (a=fingerprint) is missing")
        if is_answer and self.role is None and section.setup not in ("active", "passive"):
            raise SdpError("the answer does not say who begins the DTLS handshake (a=setup)")
        if self.agreed and set(fingerprints) != set(self.fingerprints):
            # RFC 8842 section 5.5 would begin another association; whoever can send a description could take the
            # call over that way.
            raise SdpError("the DTLS fingerprint changed in mid-call; hang up and call again")
        # Where another m-line becomes the first of the bundle, as that one was stopped or as its place is used again,
        # RFC 9143 goes on over the same transport. Chromium and Firefox make a new one, with candidates and a DTLS
        # handshake of its own, and mostly under the same credentials. (We never offer such a thing.)
        moved = self.agreed and not is_answer and section.mid != self.tag
        restarted = self.agreed and credentials != self.credentials
        self.restarting = not is_answer and (moved or restarted)
        self.tag, self.credentials, self.fingerprints = section.mid, credentials, fingerprints
        return [
            effects.RemoteTransport(*credentials, lite, fingerprints, restarted=restarted, moved=moved),
            effects.RemoteCandidates(tuple(section.candidates), section.candidates_end),
        ]

    def stands_on(self, mid: str) -> bool:
        """Whether this m-line stands for a path that is agreed: we never reject it, as browsers would begin anew."""
        return self.agreed and mid == self.tag

    def answering_setup(self, offer: Section) -> str:
        """What our answer says of the DTLS role: as agreed (RFC 8842 section 5.3), else active if we may be."""
        if self.role is not None:
            return "active" if self.role == "client" else "passive"
        return "passive" if offer.setup == "active" else "active"

    def agree(self, answer: Section, *, answered_locally: bool) -> list[Effect]:
        """Offer and answer are there. The role of an association that there is stays, whatever is said again."""
        self.agreed, self.restarting, self.tag = True, False, answer.mid
        if self.role is not None:
            return []
        active = answer.setup == "active"
        self.role = "client" if active == answered_locally else "server"
        return [effects.RoleAgreed(self.role)]
