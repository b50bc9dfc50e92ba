"""How a connection is to be made: aiortc's `RTCConfiguration`, or ours, which says more."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from peer.rtc.ice.servers import IceSettings, MalformedUrl, parse_server_url
from signaling.messages import IceServer


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a `PeerConnection` is made with.

    Everything is one bundle on one transport, whatever bundle policy a configuration of aiortc's asks for.
    """

    ice: IceSettings = field(default_factory=IceSettings)
    trickle: bool | None = None
    """False: `setLocalDescription` waits, at most `gather_timeout`, for candidates, for a signaling that carries
    descriptions only (WHIP, plain HTTP). None: that too, unless somebody listens to `icecandidate`."""
    gather_timeout: float = 1.0
    """Seconds; one deadline for all servers."""
    data_channels: bool = False
    """Whether the first offer has an m-line for data channels, before all others, though none was created yet."""

    @classmethod
    def of(cls, given: RTCConfiguration | Configuration | None) -> Configuration:
        """From what the constructor got. Without any, no server is used: there is none that everybody may use.

        Raises:
            ValueError: a URL in aiortc's configuration is none. Servers that cannot be used are told later, one by one.
        """
        if given is None:
            return cls()
        if isinstance(given, Configuration):
            return given
        servers = tuple(_server(each) for each in given.iceServers or ())
        relay = given.iceTransportPolicy == RTCIceTransportPolicy.RELAY
        settings = IceSettings(servers=servers, policy="relay" if relay else "all")
        return cls(settings, data_channels=given.alwaysNegotiateDataChannels)


def _server(given: RTCIceServer) -> IceServer:
    urls = [given.urls] if isinstance(given.urls, str) else list(given.urls)
    for url in urls:
        try:
            parse_server_url(url, given.username, given.credential)
        except MalformedUrl as error:
            raise ValueError(f"{url}: {error}") from error
        except ValueError:
            continue
    return IceServer(urls, given.username, given.credential)
