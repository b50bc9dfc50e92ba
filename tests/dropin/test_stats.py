"""Programs that read statistics."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

from aiortc import (
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCRemoteInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCStatsReport,
    RTCTransportStats,
)

from tests.dropin.kit import PATIENCE, collected, connect, flows, source

if TYPE_CHECKING:
    from tests.dropin.kit import Make

REMOTE = {"remote-inbound-rtp", "remote-outbound-rtp"}


def of_type(report: RTCStatsReport, kind: str) -> list[Any]:
    return [each for each in report.values() if each.type == kind]


async def complete(pc: Any, types: set[str]) -> RTCStatsReport:
    """The statistics, once the other side's reports are in them too."""
    async with asyncio.timeout(PATIENCE):
        while True:
            report = await pc.getStats()
            if types <= {each.type for each in report.values()}:
                return report
            await asyncio.sleep(0.02)


async def test_what_a_call_counts(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for kind in ("audio", "video"):
        caller.addTrack(source(kind))
    arriving = collected(callee, "track")
    assert of_type(await caller.getStats(), "inbound-rtp") == []
    await connect(caller, callee)
    for _ in range(2):
        await flows(arriving.get_nowait())

    sent = await complete(caller, {"outbound-rtp", "transport", "remote-inbound-rtp"})
    received = await complete(callee, {"inbound-rtp", "transport", "remote-outbound-rtp"})
    for report in (sent, received):
        assert isinstance(report, RTCStatsReport)
        for key, each in report.items():
            assert key == each.id
            assert isinstance(each.timestamp, datetime.datetime)

    assert sorted(each.kind for each in of_type(sent, "outbound-rtp")) == ["audio", "video"]
    for each in of_type(sent, "outbound-rtp"):
        assert isinstance(each, RTCOutboundRtpStreamStats)
        assert each.packetsSent > 0
        assert each.bytesSent > 0
        assert f"a=ssrc:{each.ssrc} " in caller.localDescription.sdp
        assert each.transportId in sent
        assert each.trackId
    for each in of_type(sent, "remote-inbound-rtp"):
        assert isinstance(each, RTCRemoteInboundRtpStreamStats)
        assert each.packetsReceived > 0
        assert (each.packetsLost, each.fractionLost) == (0, 0)
        assert each.jitter >= 0
        assert each.roundTripTime is None or each.roundTripTime < 1
    counted = of_type(received, "inbound-rtp")
    assert sorted(each.kind for each in counted) == ["audio", "video"]
    for each in counted:
        assert isinstance(each, RTCInboundRtpStreamStats)
        assert each.packetsReceived > 0
        assert each.packetsLost == 0
        assert each.jitter >= 0
        assert each.transportId in received
    assert {each.ssrc for each in counted} == {each.ssrc for each in of_type(sent, "outbound-rtp")}
    for each in of_type(received, "remote-outbound-rtp"):
        assert isinstance(each, RTCRemoteOutboundRtpStreamStats)
        assert each.packetsSent > 0
        assert each.bytesSent > 0
        assert isinstance(each.remoteTimestamp, datetime.datetime)

    for report, stream in ((sent, "outbound-rtp"), (received, "inbound-rtp")):
        (number,) = {each.transportId for each in of_type(report, stream)}
        transport = report[number]
        assert isinstance(transport, RTCTransportStats)
        for count in ("packetsSent", "packetsReceived", "bytesSent", "bytesReceived"):
            assert getattr(transport, count) > 0
        assert (transport.iceRole, transport.dtlsState) == (
            "controlling" if report is sent else "controlled",
            "connected",
        )

    for part, kind in ((caller.getSenders()[0], "outbound-rtp"), (callee.getReceivers()[0], "inbound-rtp")):
        own = await part.getStats()
        (one,) = of_type(own, kind)
        assert one.kind == "audio"
        assert of_type(own, "transport")
