"""What the log says about one match, and about lines that came to nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from storage.connect import connect

_HEAD = """
SELECT h.seq, h.events, h.first_position, h.last_position, coalesce(d.generation, 0)
FROM (
    SELECT
        coalesce(max(e.seq), 0) AS seq,
        count(*) AS events,
        coalesce(min(e.position), 0) AS first_position,
        coalesce(max(e.position), 0) AS last_position
    FROM events AS e WHERE e.match = %(match)s
) AS h
LEFT JOIN delivery_shards AS d ON d.shard = %(shard)s
"""

_ROWS = """
SELECT seq, payload::text FROM events WHERE match = %(match)s ORDER BY seq
"""

# By what was sent, because a line that is no record names no match.
_LETTERS = """
SELECT l.reason, l.original FROM dead_letters AS l
WHERE l.rejected_at >= %(since)s
    AND (l.match = %(match)s OR l.original = ANY(%(originals)s::bytea []))
"""

_NOW = "SELECT clock_timestamp()"


class MatchHead(NamedTuple):
    """Where a match's log ends, and between which positions it lies; 0 before its first event."""

    seq: int
    events: int
    first_position: int
    last_position: int
    generation: int  # of the shard


class Letter(NamedTuple):
    """Why a line came to nothing."""

    reason: str
    original: bytes


class MatchReport:
    """Asks about one match; raises psycopg.OperationalError when the database is away."""

    def __init__(self, dsn: str, match: str, shard: int) -> None:
        self._dsn = dsn
        self._match = match
        self._shard = shard
        self._connection: psycopg.Connection | None = None
        self.since = self._begin()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def head(self) -> MatchHead:
        row = self._open().execute(_HEAD, {"match": self._match, "shard": self._shard}).fetchone()
        assert row is not None
        return MatchHead(*row)

    def payloads(self) -> list[tuple[int, bytes]]:
        """Every row's seq and LiveEvent JSON, in order of seq."""
        rows = self._open().execute(_ROWS, {"match": self._match})
        return [(seq, payload.encode()) for seq, payload in rows]

    def letters(self, originals: Sequence[bytes]) -> list[Letter]:
        """Dead letters since this report began: of the match, or with one of these originals."""
        parameters = {"match": self._match, "since": self.since, "originals": list(originals)}
        return [
            Letter(reason, bytes(original)) for reason, original in self._open().execute(_LETTERS, parameters)
        ]

    def _begin(self) -> datetime:
        """The database's own clock: it is the one that stamps dead letters."""
        row = self._open().execute(_NOW).fetchone()
        assert row is not None
        since: datetime = row[0]
        return since

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, "touchline-replay")
        return self._connection
