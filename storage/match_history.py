"""One match's log from its first event, with the places and times at which it was appended."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Self

import psycopg

from storage.frozen import frozen

# 5,000 rows of 600 bytes: a round trip does not count, and memory stays small.
_CHUNK_ROWS = 5_000

_PLACE = """
SELECT m.shard, coalesce(d.generation, 0), m.retired_at, coalesce(
    (SELECT e.seq FROM events AS e WHERE e.match = m.match ORDER BY e.seq DESC LIMIT 1), 0
)
FROM matches AS m LEFT JOIN delivery_shards AS d ON d.shard = m.shard
WHERE m.match = %(match)s
"""

_ROWS = """
SELECT seq, position, appended_at, payload FROM events
WHERE match = %(match)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s
"""

_LIKE = """
SELECT match FROM matches WHERE position(lower(%(part)s) IN lower(match)) > 0
ORDER BY bucket DESC, match LIMIT %(limit)s
"""


class MatchPlace(NamedTuple):
    """Where the log of a match is, and where it ends."""

    shard: int
    generation: int
    retired_at: datetime | None
    head_seq: int


class HistoryRow(NamedTuple):
    """One event as it was appended."""

    seq: int
    position: int
    appended_at: datetime
    payload: bytes


class MatchHistory:
    """One match as of one moment; raises psycopg.OperationalError when the database is away."""

    def __init__(self, dsn: str, match: str) -> None:
        self._frozen = frozen(dsn, "touchline-match")
        self._match = match

    def __enter__(self) -> Self:
        self._connection: psycopg.Connection = self._frozen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._frozen.__exit__(None, None, None)

    def place(self) -> MatchPlace | None:
        """Where the match is; None when the log never heard of it."""
        row = self._connection.execute(_PLACE, {"match": self._match}).fetchone()
        return MatchPlace(*row) if row else None

    def like(self, limit: int) -> list[str]:
        """Matches whose id contains this one's, newest day first."""
        rows = self._connection.execute(_LIKE, {"part": self._match, "limit": limit})
        return [match for (match,) in rows]

    def rows(self) -> Iterator[HistoryRow]:
        """Every event, in the order of seq."""
        after = 0
        with self._connection.cursor(binary=True) as cursor:
            while True:
                wanted = {"match": self._match, "after": after, "limit": _CHUNK_ROWS}
                chunk = [HistoryRow._make(row) for row in cursor.execute(_ROWS, wanted)]
                yield from chunk
                if len(chunk) < _CHUNK_ROWS:
                    return
                after = chunk[-1].seq
