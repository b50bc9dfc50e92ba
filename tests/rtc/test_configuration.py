"""A configuration written for aiortc means the same here."""

from __future__ import annotations

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from peer.rtc.configuration import Configuration
from peer.rtc.ice.servers import IceSettings
from signaling.messages import IceServer


def test_nothing_said_asks_no_server() -> None:
    assert Configuration.of(None) == Configuration(ice=IceSettings(servers=()))
    assert Configuration.of(RTCConfiguration()).ice.servers == ()


def test_ours_is_taken_as_it_is() -> None:
    configuration = Configuration(IceSettings(ipv6=False), trickle=False, gather_timeout=0.5)
    assert Configuration.of(configuration) is configuration


def test_servers_in_each_of_their_forms() -> None:
    given = RTCConfiguration(
        [
            RTCIceServer("stun:stun.example"),
            RTCIceServer(["turn:a.example", "turns:a.example"], username="u", credential="c"),
        ]
    )
    assert Configuration.of(given).ice.servers == (
        IceServer(["stun:stun.example"]),
        IceServer(["turn:a.example", "turns:a.example"], "u", "c"),
    )


def test_policies() -> None:
    given = RTCConfiguration(iceTransportPolicy=RTCIceTransportPolicy.RELAY, bundlePolicy=RTCBundlePolicy.MAX_COMPAT)
    assert Configuration.of(given).ice.policy == "relay"
    assert Configuration.of(RTCConfiguration()).ice.policy == "all"


def test_data_channels_from_the_beginning() -> None:
    assert Configuration.of(RTCConfiguration(alwaysNegotiateDataChannels=True)).data_channels
    assert not Configuration.of(RTCConfiguration()).data_channels
