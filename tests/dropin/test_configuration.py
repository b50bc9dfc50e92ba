"""Programs that say how to connect."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from tests.dropin.kit import Colour, Tone, collected, coming, connect, flows, local_only, until, within

if TYPE_CHECKING:
    from tests.dropin.kit import Make


@pytest.mark.parametrize("policy", list(RTCBundlePolicy), ids=lambda policy: policy.value)
async def test_every_bundle_policy_connects(make_caller: Make, make_callee: Make, policy: RTCBundlePolicy) -> None:
    caller, callee = make_caller(local_only(bundlePolicy=policy)), make_callee()
    for track in (Tone(), Colour()):
        caller.addTrack(track)
    channel = caller.createDataChannel("any")
    arriving, there = collected(callee, "track"), coming(callee, "datachannel")
    await connect(caller, callee)
    for _ in range(2):
        await flows(arriving.get_nowait())
    await within(there)
    await until(channel, "open", lambda: channel.readyState == "open")


async def test_data_channels_may_come_first(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(local_only(alwaysNegotiateDataChannels=True)), make_callee()
    caller.addTrack(Tone())
    arriving = coming(callee, "track")
    await connect(caller, callee)
    kinds = [line.split(" ")[0] for line in caller.localDescription.sdp.splitlines() if line.startswith("m=")]
    assert kinds == ["m=application", "m=audio"]
    await flows(await within(arriving))
    there = coming(callee, "datachannel")
    caller.createDataChannel("no new offer is needed")
    await within(there)


async def test_servers_are_named_in_several_ways(make_caller: Make, make_callee: Make) -> None:
    """The servers are there and say that they do not know what is wanted; the call does not need them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    servers = [
        RTCIceServer("stun:127.0.0.1"),
        RTCIceServer(urls=["turn:127.0.0.1", f"turn:127.0.0.1:{port}?transport=tcp"], username="u", credential="c"),
        RTCIceServer(urls="turns:127.0.0.1:5349?transport=tcp", username="u", credential="c"),
    ]
    make_caller(RTCConfiguration(iceServers=servers)).createDataChannel("never offered")
    make_callee(RTCConfiguration(iceServers=[RTCIceServer(f"stun:127.0.0.1:{port}")])).addTrack(Tone())


@pytest.mark.parametrize("url", ["http:127.0.0.1", "stun", "stun:127.0.0.1?transport=udp"])
async def test_servers_that_cannot_be(make: Make, url: str) -> None:
    with pytest.raises(ValueError, match="."):
        make(RTCConfiguration(iceServers=[RTCIceServer(url)])).createDataChannel("any")


async def test_relays_only_and_none_there(make: Make) -> None:
    pc = make(local_only(iceTransportPolicy=RTCIceTransportPolicy.RELAY))
    pc.createDataChannel("any")
    await pc.setLocalDescription()
    await until(pc, "icegatheringstatechange", lambda: pc.iceGatheringState == "complete")
    assert "a=candidate" not in pc.localDescription.sdp
