"""Records calls with GStreamer, as bench/record.py asks: one JSON request a line, one JSON answer a line.

Runs under the system's Python, which has GStreamer's bindings; the media stays in GStreamer's own threads.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

CODECS = {"VP8": "rtpvp8depay", "H264": "rtph264depay ! h264parse", "OPUS": "rtpopusdepay ! opusparse"}


def load() -> tuple[Any, Any, Any]:
    """GStreamer's modules, or an exit with 1 where they or the elements are not there."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstSdp", "1.0")
        gi.require_version("GstWebRTC", "1.0")
        from gi.repository import Gst, GstSdp, GstWebRTC
    except (ImportError, ValueError):
        sys.exit(1)
    Gst.init(None)
    if not all(Gst.ElementFactory.find(name) for name in ("webrtcbin", "nicesrc", "matroskamux", "dtlsdec")):
        sys.exit(1)
    return Gst, GstSdp, GstWebRTC


class Call:
    """One pipeline: webrtcbin, a depacketiser for each track, and a muxer."""

    def __init__(self, modules: tuple[Any, Any, Any], path: str) -> None:
        self._gst, self._sdp, self._webrtc = modules
        self._pipeline = self._gst.parse_launch(
            f"matroskamux name=mux ! filesink location={path} webrtcbin name=bin bundle-policy=max-bundle"
        )
        self._bin, self._mux = self._pipeline.get_by_name("bin"), self._pipeline.get_by_name("mux")
        self._bin.connect("pad-added", self._pad_added)
        self._gathered = threading.Event()
        self._bin.connect("notify::ice-gathering-state", self._gathering)
        self._pipeline.set_state(self._gst.State.PLAYING)

    def answer(self, offer: str) -> str:
        _, message = self._sdp.SDPMessage.new_from_text(offer)
        description = self._webrtc.WebRTCSessionDescription.new(self._webrtc.WebRTCSDPType.OFFER, message)
        self._wait("set-remote-description", description)
        reply = self._wait("create-answer", None)
        self._wait("set-local-description", reply.get_value("answer"))
        self._gathered.wait(10)
        return str(self._bin.get_property("local-description").sdp.as_text())

    def close(self) -> None:
        for pad in self._mux.sinkpads:  # webrtcbin passes no end of stream on
            pad.send_event(self._gst.Event.new_eos())
        kinds = self._gst.MessageType.EOS | self._gst.MessageType.ERROR
        self._pipeline.get_bus().timed_pop_filtered(2 * self._gst.SECOND, kinds)
        self._pipeline.set_state(self._gst.State.NULL)

    def _wait(self, signal: str, argument: Any) -> Any:
        promise = self._gst.Promise.new()
        self._bin.emit(signal, argument, promise)
        promise.wait()
        return promise.get_reply()

    def _gathering(self, *_: Any) -> None:
        if self._bin.get_property("ice-gathering-state") == self._webrtc.WebRTCICEGatheringState.COMPLETE:
            self._gathered.set()

    def _pad_added(self, _: Any, pad: Any) -> None:
        encoding = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        chain = self._gst.parse_bin_from_description(f"queue ! {CODECS[encoding.upper()]}", True)
        self._pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))
        kind = "audio" if encoding.upper() == "OPUS" else "video"
        chain.get_static_pad("src").link(self._mux.request_pad_simple(f"{kind}_%u"))


def main() -> None:
    modules = load()
    if "--check" in sys.argv:
        return
    calls = []
    for line in sys.stdin:
        request = json.loads(line)
        if "close" in request:
            for call in calls:
                call.close()
            print("true", flush=True)
            return
        calls.append(Call(modules, f"{sys.argv[1]}/call{request['number']}.mkv"))
        print(json.dumps(calls[-1].answer(request["offer"])), flush=True)


if __name__ == "__main__":
    main()
