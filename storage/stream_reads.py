"""Reading live streams from an event loop: packs after a place, and packs before it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schemas.pack import PackError, unpack
from storage.log_reads import ShardHead
from storage.streams import StreamsUnavailableError, stream_name

_CONNECT_SECONDS = 1.0
# On top of a blocking read's own time: beyond it the server hangs.
_ANSWER_SECONDS = 1.5


class Pack(NamedTuple):
    """One entry of a stream: the events at positions `first` to `last`.

    A damaged entry has no payloads, or not as many as its positions say.
    """

    shard: int
    generation: int
    first: int
    last: int
    payloads: list[bytes]

    @property
    def is_whole(self) -> bool:
        return len(self.payloads) == self.last - self.first + 1


class StreamReader:
    """Reads packs; connects again by itself on the next call after an outage."""

    def __init__(self, url: str) -> None:
        # Any: redis-py types its answers for every protocol and decoding at once.
        self._redis: Any = Redis.from_url(
            url,
            protocol=2,
            # The caller decides when to ask again: it reads the log meanwhile.
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        """Ask for nothing; raise StreamsUnavailableError."""
        try:
            await self._redis.execute_command("PING")
        except (RedisError, OSError) as error:
            raise StreamsUnavailableError(_detail(error)) from error

    async def after(self, places: Mapping[int, ShardHead], block: timedelta, count: int) -> list[Pack]:
        """For each shard, read up to a place: packs that end after it, in order.

        Waits up to `block` when there are none. A pack may begin at or before
        the position. Raises StreamsUnavailableError.
        """
        at = {stream_name(place.shard, place.generation): place for place in places.values()}
        ids = {name: f"{place.position}-0" for name, place in at.items()}
        milliseconds = max(1, block // timedelta(milliseconds=1))  # 0 would mean for ever
        try:
            found = await self._redis.xread(ids, count=count, block=milliseconds)
        except (RedisError, OSError) as error:
            raise StreamsUnavailableError(_detail(error)) from error
        return [
            _pack(place.shard, place.generation, entry, fields)
            for name, entries in found or ()
            for place in (at[name.decode()],)
            for entry, fields in entries
        ]

    async def before(self, shard: int, generation: int, position: int | None, count: int) -> list[Pack]:
        """At most `count` packs that end before `position` (None: the end), newest first."""
        top = "+" if position is None else f"({position}-0"
        try:
            entries = await self._redis.xrevrange(stream_name(shard, generation), max=top, count=count)
        except (RedisError, OSError) as error:
            raise StreamsUnavailableError(_detail(error)) from error
        return [_pack(shard, generation, entry, fields) for entry, fields in entries]


def _pack(shard: int, generation: int, entry: bytes, fields: Mapping[bytes, bytes]) -> Pack:
    last = int(entry.partition(b"-")[0])
    try:
        return Pack(shard, generation, int(fields[b"f"]), last, unpack(fields[b"e"]))
    except (KeyError, ValueError, PackError):
        return Pack(shard, generation, last, last, [])


def _detail(error: Any) -> str:
    return str(error).strip() or type(error).__name__
