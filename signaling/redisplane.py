"""A backplane over Redis, with redis-py (the extra `redis`): one Redis, or one behind a proxy; no Redis Cluster.

Each step is one Lua script, so it happens as a whole or not at all. Mail is published, which is fast and may be lost:
the nodes ask again. docs/many-nodes.md has the keys.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis
from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from signaling.backplane import KEPT, LEASE, Alive, BackplaneDown, Claim
from signaling.bans import SIZE, Ban

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from signaling.backplane import Commit

OP_TIMEOUT: Final = 2.0  # seconds that Redis may take for one thing
SILENCE: Final = 5.0  # seconds without mail after which the connection that it comes over is tested
FORGET: Final = 60.0  # seconds after which a dead node is not listed any more
PREFIX: Final = "webrtc-peer"
MIN_VERSION: Final = 6
_who: Final = msgspec.json.Encoder()
_read: Final = msgspec.json.Decoder(tuple[str, str | None, str | None]).decode

_CLAIM: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('GET', KEYS[1])
if lease then
  local owner, fence = string.match(lease, '^(.*)|(%d+)$')
  if owner ~= ARGV[1] then return {owner, tonumber(fence), now, {}} end
end
local since, left = now, redis.call('PTTL', KEYS[2])
if left > 0 then since = now - (ARGV[3] - left) end
local fence = redis.call('INCR', KEYS[3])
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. fence, 'PX', ARGV[2])
return {ARGV[1], fence, since, redis.call('LRANGE', KEYS[2], 0, -1)}
"""

# ARGV: the lease's value, its time, the journal's time, at, anew, how many records, the records, and channel and
# message of each mail.
_COMMIT: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local at, count = tonumber(ARGV[4]), tonumber(ARGV[6])
local length = redis.call('LLEN', KEYS[2])
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[2])
  length, at = 0, 0
end
if length == at then
  for i = 7, 6 + count do redis.call('RPUSH', KEYS[2], ARGV[i]) end
elseif length ~= at + count then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
for i = 7 + count, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""

_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] == '0' then redis.call('DEL', KEYS[2]) end
return 1
"""

_BEAT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local banned = redis.call('GET', KEYS[2]) or 0
return {now, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'), tonumber(banned)}
"""

# KEYS: the bans, by when they end, and their number. ARGV: how many are kept, channel and message of the word to all,
# and of each its room and whom, and the end.
_BAN: Final = """
for i = 4, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1] - 3600)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""


class RedisBackplane:
    """A node's end of a Redis at `url` (`redis://`, `rediss://`, `unix://`). Raises ValueError for another URL."""

    def __init__(self, url: str, node: str, *, prefix: str = PREFIX) -> None:
        self.node = node
        self._prefix = prefix
        self._redis = Redis.from_url(
            url,
            socket_timeout=None,  # `_call` has one; redis-py's, of each read and write, cost more than these
            socket_connect_timeout=OP_TIMEOUT,
            driver_info=DriverInfo(lib_version=redis.__version__),  # else it reads a file for each connection
            retry=Retry(NoBackoff(), 1),  # a connection that broke while it was idle
        )

    async def claim(self, room: str) -> Claim:
        keys = (*self._keys(room), f"{self._prefix}:fence")
        answer = await self._call(self._redis.eval(_CLAIM, 3, *keys, self.node, _ms(LEASE), _ms(KEPT)))
        owner, fence, since, records = answer
        return Claim(owner.decode(), fence, records, since / 1000)

    async def commit(self, commits: list[Commit]) -> list[bool]:
        commands = []
        for one in commits:
            mail = [part for node, data in one.mail for part in (self._channel(node), data)]
            head = (self._lease(one.fence), _ms(LEASE), _ms(KEPT), one.at, int(one.anew), len(one.records))
            commands.append(("EVAL", _COMMIT, 2, *self._keys(one.room), *head, *one.records, *mail))
        return [bool(answer) for answer in await self._call(self._execute(commands))]

    async def renew(self, leases: list[tuple[str, int]]) -> list[bool]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for room, fence in leases:
                pipe.eval(_RENEW, 2, *self._keys(room), self._lease(fence), _ms(LEASE), _ms(KEPT))
            return [bool(answer) for answer in await self._call(pipe.execute())]

    async def release(self, room: str, fence: int, *, keep: bool) -> None:
        await self._call(self._redis.eval(_RELEASE, 2, *self._keys(room), self._lease(fence), int(keep)))

    async def send(self, mail: list[tuple[str, bytes]]) -> None:
        await self._call(self._execute([("PUBLISH", self._channel(node), data) for node, data in mail]))

    async def beat(self) -> Alive:
        keys = (f"{self._prefix}:nodes", f"{self._prefix}:banned")
        now, scored, banned = await self._call(self._redis.eval(_BEAT, 2, *keys, self.node, _ms(FORGET)))
        nodes = {node.decode(): float(score) / 1000 for node, score in zip(scored[::2], scored[1::2], strict=True)}
        return Alive(now / 1000, nodes, banned)

    async def ban(self, bans: list[Ban], word: bytes) -> None:
        keys = (f"{self._prefix}:bans", f"{self._prefix}:banned")
        pairs = [part for ban in bans for part in (_who.encode((ban.room, ban.name, ban.bearer)), ban.until)]
        await self._call(self._redis.eval(_BAN, 2, *keys, SIZE, f"{self._prefix}:all", word, *pairs))

    async def bans(self) -> list[Ban]:
        scored = await self._call(self._redis.zrange(f"{self._prefix}:bans", 0, -1, withscores=True))
        found = [(*_read(who), until) for who, until in scored]
        return [Ban(room, until, name, bearer) for room, name, bearer, until in found]

    async def mail(self) -> AsyncIterator[bytes]:
        async with self._redis.pubsub() as inbox:
            await self._call(inbox.subscribe(self._channel(self.node), f"{self._prefix}:all"))
            asked = False
            while True:
                with _translated():
                    message = await inbox.get_message(timeout=SILENCE)
                if message is not None:
                    asked = False
                    if message["type"] == "message":
                        yield message["data"]
                elif asked:
                    raise BackplaneDown("Redis answers nothing any more")
                else:
                    asked = True
                    await self._call(inbox.ping())

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _call(self, work: Awaitable[Any] | Any) -> Any:
        with _translated():
            async with asyncio.timeout(2 * OP_TIMEOUT):
                return await work

    async def _execute(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The answers to commands that are sent together: what a message takes, so without redis-py's pipeline.

        Its packing, its retries and its records of each step take more time than all that nodes do for a message.
        """
        packed = [pack_command(command) for command in commands]
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(packed)
            return [await connection.read_response() for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)  # answers that were not read are nobody else's
            raise
        finally:
            await pool.release(connection)

    def _keys(self, room: str) -> tuple[str, str]:
        return f"{self._prefix}:lease:{room}", f"{self._prefix}:journal:{room}"

    def _channel(self, node: str) -> str:
        return f"{self._prefix}:node:{node}"

    def _lease(self, fence: int) -> str:
        return f"{self.node}|{fence}"


def look(url: str) -> str:
    """What there is at `url`, in a few words; blocks for some seconds at most. Raises ValueError: nothing for nodes."""
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=OP_TIMEOUT, socket_timeout=OP_TIMEOUT)
    except ValueError:  # whose text may hold a part of the password
        raise ValueError("this is not the URL of a Redis; write one like redis://localhost:6379") from None
    try:
        about: Any = client.info()
    except (RedisError, OSError) as error:
        raise ValueError(f"Redis cannot be used ({str(error)[:200]}); start it, or correct --redis") from None
    finally:
        client.close()
    version = str(about.get("redis_version", "0"))
    if int(version.partition(".")[0]) < MIN_VERSION:
        raise ValueError(f"this is Redis {version}; nodes need version {MIN_VERSION} or later")
    if about.get("role") == "slave":
        raise ValueError("this Redis is a replica, which takes no writes; write the URL of its primary")
    keeps = "its data" if about.get("aof_enabled") else "nothing when it restarts (appendonly yes is better)"
    return f"Redis {version} answers; it keeps {keeps}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise BackplaneDown(f"{type(error).__name__}: {error}"[:200]) from error


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
