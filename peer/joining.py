"""`peer.join`: into a room of a signaling server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from peer.beginning import RoomOptions
from peer.room import Room
from peer.websocket import WebSocketConnect
from signaling.messages import BadIceServer, IceServer, parse_ice_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Sequence
    from types import TracebackType

    from peer.channel import Connect
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.rtc.ice.servers import IceSettings
    from peer.tokens import TokenSource


@dataclass
class Joining:
    """What `join()` gives: await it for the room, or use it as an async context manager that leaves."""

    connect: Connect
    room: str
    name: str
    options: RoomOptions
    joined: Room | None = field(default=None, init=False)

    async def _join(self) -> Room:
        # aiortc and FFmpeg take half a second to load: here, beside the wait for the server, not in the first call.
        loading = asyncio.create_task(asyncio.to_thread(import_module, "peer.link"))
        try:
            channel = await self.connect(self.room, self.name)
        except BaseException:
            await loading
            raise
        try:
            await loading
        except BaseException:
            await channel.close()
            raise
        self.joined = Room(self.connect, channel, self.options)
        return self.joined

    def __await__(self) -> Generator[Any, None, Room]:
        return self._join().__await__()

    async def __aenter__(self) -> Room:
        return await self._join()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.joined is not None:
            await self.joined.leave()


def join(
    url: str | Connect,
    *,
    room: str,
    name: str,
    video: str | PictureSourceBase | None = None,
    audio: str | SoundSourceBase | None = None,
    ice_servers: Sequence[str | IceServer] = (),
    network: IceSettings | None = None,
    connect_timeout: float | None = None,
    timeout: float = 10.0,
    token: TokenSource | None = None,
) -> Joining:
    """Join a room under a name: `async with peer.join(url, room="lab", name="bot") as room`, or await it.

    Args:
        url: of the signaling server, or a `Connect` such as `MemoryHub().connect`.
        room: the room's name, 1 to 64 characters.
        name: ours, not taken by anybody in it.
        video: what calls show unless they say otherwise: `test`, `camera`, `display`, `file:PATH[,loop]`, None, or a
            source such as `PictureSource`.
        audio: what calls carry as sound: `test`, `microphone`, `file:PATH[,loop]`, None, or a source.
        ice_servers: besides those the server hands out: `stun:HOST[:PORT]`, `turn:USER:PASSWORD@HOST[:PORT]`, or JSON
            as in browsers.
        network: ports, addresses, deadlines and more servers of the connections, see `peer.IceSettings`.
        connect_timeout: seconds that a call may take from its answer to flowing media, 15 unless `network` says else.
        timeout: seconds that the signaling server may take to answer.
        token: an access token, for a server that wants one; or an async function that gives a fresh one, which is asked
            whenever we connect, and before the token so far ends.

    Raises (when awaited or entered):
        Unreachable: the signaling server does not answer.
        SignalingError: it refused: name taken, room full, no token or a bad one.
        UsageError: a bad URL, ICE server or name.
    """
    connect = WebSocketConnect(url, timeout=timeout, token=token) if isinstance(url, str) else url
    servers = tuple(server for entry in ice_servers for server in ice_server(entry))
    return Joining(connect, room, name, RoomOptions(video, audio, servers, network, connect_timeout))


class WithSources(Protocol):
    """A plan that names where to join, and what to send there."""

    @property
    def url(self) -> str | Connect: ...
    @property
    def room(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def video(self) -> str: ...
    @property
    def audio(self) -> str: ...
    @property
    def ice_servers(self) -> Sequence[str]: ...
    @property
    def network(self) -> IceSettings | None: ...
    @property
    def token(self) -> TokenSource | None: ...


@asynccontextmanager
async def joined(plan: WithSources) -> AsyncIterator[Room]:
    """In the room of a plan, with its sources, which are opened before and closed after.

    Raises what `join` raises, and DeviceError or UsageError for a source that cannot be opened.
    """
    from peer.media import open_media

    media = await open_media(plan.video, plan.audio)
    try:
        joining = join(
            plan.url,
            room=plan.room,
            name=plan.name,
            video=media.pictures,
            audio=media.sound,
            ice_servers=plan.ice_servers,
            network=plan.network,
            token=plan.token,
        )
        async with joining as room:
            yield room
    finally:
        await media.close()


def ice_server(entry: str | IceServer) -> list[IceServer]:
    """The ICE servers that a text describes.

    Raises:
        UsageError: it describes none.
    """
    from peer.errors import UsageError

    if isinstance(entry, IceServer):
        return [entry]
    try:
        return parse_ice_server(entry)
    except BadIceServer as error:
        raise UsageError(str(error)) from error
