"""Reading live streams from an event loop: packs after a place, and packs before it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schemas.identity import CHAIN_BYTES
from schemas.log_position import LogPosition, Span
from schemas.pack import PackError, unpack
from storage.streams import StreamsUnavailableError, stream_name

_CONNECT_SECONDS = 1.0
# On top of a blocking read's own time: beyond it the server hangs.
_ANSWER_SECONDS = 1.5


class Pack(NamedTuple):
    """One entry of a stream: the events at positions `first` to `last`.

    A damaged entry has no payloads, or not as many as its positions say; one
    of a release before has no chains, so nothing says what it continues.
    """

    shard: int
    generation: int
    first: int
    last: int
    payloads: list[bytes]
    chains: bytes  # before the first event, then after each

    @property
    def is_whole(self) -> bool:
        events = self.last - self.first + 1
        return len(self.payloads) == events and len(self.chains) == (events + 1) * CHAIN_BYTES

    @property
    def span(self) -> Span:
        return Span(self.generation, self.first, self.chains)


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

    async def after(self, places: Mapping[int, LogPosition], block: timedelta, count: int) -> list[Pack]:
        """For each shard, read up to a place: packs that end after it, in order.

        Waits up to `block` when there are none. A pack may begin at or before
        the position. Raises StreamsUnavailableError.
        """
        at = {stream_name(shard, place.generation): shard for shard, place in places.items()}
        ids = {name: f"{places[shard].position}-0" for name, shard in at.items()}
        milliseconds = max(1, block // timedelta(milliseconds=1))  # 0 would mean for ever
        try:
            found = await self._redis.xread(ids, count=count, block=milliseconds)
        except (RedisError, OSError) as error:
            raise StreamsUnavailableError(_detail(error)) from error
        return [
            _pack(shard, places[shard].generation, entry, fields)
            for name, entries in found or ()
            for shard in (at[name.decode()],)
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
        chains = fields.get(b"h", b"")
        return Pack(shard, generation, int(fields[b"f"]), last, unpack(fields[b"e"]), chains)
    except (KeyError, ValueError, PackError):
        return Pack(shard, generation, last, last, [], b"")


def _detail(error: Any) -> str:
    return str(error).strip() or type(error).__name__
