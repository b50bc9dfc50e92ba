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
    agreed: bool = False
    agreed_tag: str = ""

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
        moved = self.agreed and not is_answer and section.mid != self.tag and credentials != self.credentials
        if self.agreed and fingerprints != self.fingerprints and not moved:
            # RFC 8842 section 5.5 would begin another association; whoever can send a description could take the
            # call over that way.
            raise SdpError("the DTLS fingerprint changed in mid-call; hang up and call again")
        restarted = self.agreed and credentials != self.credentials
        self.restarting = self.restarting or restarted
        self.tag, self.credentials, self.fingerprints = section.mid, credentials, fingerprints
        if moved:
            self.role = None
        complete = section.candidates_end
        return [
            effects.RemoteTransport(*credentials, lite, fingerprints, restarted=restarted, moved=moved),
            effects.RemoteCandidates(tuple(section.candidates), complete),
        ]

    def offered(self, tag: Section) -> list[Effect]:
        """An offer of ours is on its way."""
        return [effects.BundleMoves(agreed=False)] if self.agreed and tag.mid != self.agreed_tag else []

    def answering_setup(self, offer: Section) -> str:
        """What our answer says of the DTLS role: as agreed, else active unless the offerer wants to be that."""
        if self.role is not None:
            return "active" if self.role == "client" else "passive"
        return "passive" if offer.setup == "active" else "active"

    def agree(self, answer: Section, *, answered_locally: bool) -> list[Effect]:
        """Offer and answer are there."""
        moved = self.agreed and answer.mid != self.agreed_tag
        self.agreed, self.restarting = True, False
        self.tag = self.agreed_tag = answer.mid
        if self.role is not None:
            return [effects.BundleMoves(agreed=True)] if moved else []
        active = answer.setup == "active"
        self.role = "client" if active == answered_locally else "server"
        return [effects.RoleAgreed(self.role)]
