"""Read live streams from Redis."""

from collections.abc import Iterator
from typing import cast

from redis import Redis

from recovery.audit.stream_check import Entry

# A pack holds up to some thousand events: 20 of them are 20 MB at the worst.
_PAGE = 20
_TIMEOUT_SECONDS = 30.0

_Page = list[tuple[bytes, dict[bytes, bytes]]]


class StreamReads:
    """The streams of an installation; raises redis.RedisError when Redis goes away."""

    def __init__(self, url: str) -> None:
        # retry=None: an audit says what it sees the first time.
        self._redis = Redis.from_url(url, retry=None, socket_timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> "StreamReads":
        return self

    def __exit__(self, *_: object) -> None:
        self._redis.close()

    def ping(self) -> None:
        """Raise redis.RedisError when nobody answers."""
        self._redis.ping()

    @property
    def server_version(self) -> str:
        info = self._redis.info("server")
        for name in ("valkey_version", "redis_version"):
            if name in info:
                return f"{name.partition('_')[0]} {info[name]}"
        return "unknown"

    def entries(self, key: str, after: int = 0) -> Iterator[Entry]:
        """Every entry that ends behind a position, oldest first, also those added while reading."""
        start = b"%d-0" % (after + 1)
        while True:
            page = cast("_Page", self._redis.xrange(key, min=start, count=_PAGE))
            for identifier, fields in page:
                yield Entry(identifier, fields)
            if len(page) < _PAGE:
                return
            start = b"(" + page[-1][0]

    def top(self, key: str) -> Entry | None:
        """The newest entry."""
        newest = cast("_Page", self._redis.xrevrange(key, count=1))
        return Entry(*newest[0]) if newest else None
