"""Text messages over a data channel (RFC 8831): the first channel carries ours, all of the other side are heard."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiortc.exceptions import InvalidStateError

from peer.errors import CallEnded, Error, UsageError
from peer.rtc.textaccount import TextAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import RTCDataChannel

    from peer.rtc.connection import PeerConnection

logger = logging.getLogger(__name__)

LABEL = "chat"
MAX_BYTES = 64 * 1024
"""Bytes of one message: what every implementation takes (RFC 8841 section 6.1)."""
MAX_BUFFERED = 1 << 20
"""Bytes on their way beyond which a writer waits."""


class TextChannel:
    """The text side of one connection."""

    def __init__(
        self, pc: PeerConnection, received: Callable[[str | bytes], None], account: TextAccount | None = None
    ) -> None:
        """`account`: of the call's connection before, to go on where it broke."""
        self._pc = pc
        self.account = account or TextAccount()
        self._again: list[str | bytes] = []
        self._received = received
        self._channel: RTCDataChannel | None = None
        self._open = asyncio.Event()
        """Whether there is nothing to wait for: the channel is open, or closed for good."""
        self._low = asyncio.Event()
        self._closed = False
        pc.on("datachannel", self._offered)

    def create(self) -> None:
        """Open the channel from our side, with the first offer."""
        self._use(self._pc.createDataChannel(LABEL))

    def resume(self, heard: int) -> None:
        """The other side has heard so many messages of ours over the connection before: it is sent the others again."""
        self._again = self.account.unheard(heard)
        self._say_again()

    async def write(self, text: str | bytes, timeout: float) -> None:
        """Send one message, waiting while the channel opens or too much is on its way.

        Raises:
            UsageError: longer than 64 KiB.
            CallEnded: the channel is closed.
            Error: the other side has no data channel, or does not take the message in time.
        """
        size = len(text.encode(errors="replace")) if isinstance(text, str) else len(text)
        if size > MAX_BYTES:
            raise UsageError(f"a message of more than {MAX_BYTES} bytes cannot be sent; split it")
        if self._channel is None and self._pc.sctp is None:
            raise Error("the other side has no data channel; have it create one (any label)")
        try:
            async with asyncio.timeout(timeout):
                await self._open.wait()
                await self._room_to_write()
        except TimeoutError:
            raise Error(f"the data channel did not take the message within {timeout:g} s; try again") from None
        if self._closed or self._channel is None:
            raise CallEnded("the data channel is closed; call again")
        try:
            self._channel.send(text)
            self.account.said(text)
        except InvalidStateError as error:
            raise CallEnded("the data channel is closed; call again") from error
        except UnicodeEncodeError as error:
            raise UsageError(f"that is no text that can be sent ({error.reason}); send valid Unicode") from error
        except ValueError as error:
            raise UsageError(f"the other side takes no message of that length ({error}); split it") from error

    def close(self) -> None:
        """The connection is over: whoever waits to write learns it."""
        self._closed = True
        self._open.set()
        self._low.set()

    async def _room_to_write(self) -> None:
        channel = self._channel
        while channel is not None and channel.bufferedAmount > MAX_BUFFERED and not self._closed:
            self._low.clear()
            await self._low.wait()

    def _offered(self, channel: RTCDataChannel) -> None:
        if self._channel is None or self._channel.readyState in ("closing", "closed"):
            self._use(channel)
        else:
            channel.on("message", self._on_message)

    def _use(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = MAX_BUFFERED // 2
        channel.on("bufferedamountlow", self._low.set)
        channel.on("open", self._on_open)
        channel.on("message", self._on_main_message)
        if channel.readyState == "open":
            self._on_open()

    def _on_open(self) -> None:
        self._say_again()
        self._open.set()

    def _say_again(self) -> None:
        """Before anything new, so that the order stays."""
        if self._channel is not None and self._channel.readyState == "open":
            again, self._again = self._again, []
            for text in again:
                self._channel.send(text)

    def _on_main_message(self, message: str | bytes) -> None:
        if not self._closed:
            self.account.heard += 1
        self._on_message(message)

    def _on_message(self, message: str | bytes) -> None:
        if self._closed:
            return  # what comes over a connection that was given up comes again over the next
        if len(message) > MAX_BYTES:  # what our description says is the most; it keeps who does not read us small
            logger.debug("a message of %d is passed over", len(message))
            return
        # An exception out of here would end aiortc's connection, not only the message.
        try:
            self._received(message)
        except Exception:
            logger.exception("a message could not be handed on")
