"""Recording awareness (RFC 7866): whoever records a call says so in its session descriptions. Pure.

The attribute is `a=record:on`, `off` or `paused` (section 11.5.1), of the session or of a medium. Programs that do not
know it pass it over, so it reaches everybody whom a description reaches.
"""

from __future__ import annotations

import re

_ON = re.compile(r"^a=record:on[ \t]*\r?$", re.MULTILINE)
_MEDIA = re.compile(r"^m=", re.MULTILINE)


def announces_recording(sdp: str) -> bool:
    """Whether who wrote the description says that it records the session, or any medium of it."""
    return _ON.search(sdp) is not None


def with_recording_announced(sdp: str) -> str:
    """The description with the words that its sender records the whole session."""
    if announces_recording(sdp):
        return sdp
    media = _MEDIA.search(sdp)
    at = media.start() if media else len(sdp)
    return f"{sdp[:at]}a=record:on\r\n{sdp[at:]}"
