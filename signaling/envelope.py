"""What can still be said of a message that does not parse. No I/O, no clock."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from signaling.bounds import MAX_LABEL
from signaling.codes import Code, ProtocolError


class _Envelope(msgspec.Struct):
    type: Any = None
    version: Any = None
    to: Any = None
    session: Any = None


_envelope_decoder: Final = msgspec.json.Decoder(_Envelope)


def explained(error: ProtocolError, raw: bytes, known: int) -> ProtocolError:
    """`error` with what else can be read of the message: its target and session, or the version it asks for."""
    if error.code is not Code.BAD_MESSAGE:
        return error
    try:
        envelope = _envelope_decoder.decode(raw)
    except (ValueError, RecursionError):
        return error
    if envelope.type in ("join", "resume") and type(envelope.version) is int and envelope.version != known:
        return unsupported(envelope.version, known)
    error.to = _short(envelope.to)
    error.session = _short(envelope.session)
    return error


def unreadable(error: Exception) -> ProtocolError:
    """What a decoder does not take, as its sender is told it."""
    if isinstance(error, msgspec.ValidationError):
        # "Expected `str`, got `int` - at `$.description.sdp`" without the notation for the top.
        text = str(error).replace("`$.", "`")[:200]
        return ProtocolError(Code.BAD_MESSAGE, f"The message cannot be used: {text}; correct it.")
    if isinstance(error, RecursionError):
        return ProtocolError(Code.BAD_JSON, "The JSON is nested too deep; send flatter data.")
    # msgspec.DecodeError, UnicodeDecodeError
    return ProtocolError(Code.BAD_JSON, f"The text is not JSON ({str(error)[:200]}); send one object.")


def unsupported(version: int, known: int) -> ProtocolError:
    """The refusal of a version that is not `known`."""
    text = f"This server speaks version {known} of the protocol, not {str(version)[:20]}; join with version {known}."
    return ProtocolError(Code.UNSUPPORTED_VERSION, text)


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and 1 <= len(value) <= MAX_LABEL else None
