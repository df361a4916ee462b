"""What the relay asks of the log: heads, what follows a place, letters after a letter, a new life.

Always the primary: a standby's head may be behind a stream, which would
look like a fork.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from schemas.log_position import LogPosition
from storage.connect import connect
from storage.reading import LogUnavailableError


class Place(NamedTuple):
    """A position and the chain there: the same place in two logs means the same log up to it."""

    position: int
    chain: bytes


class ShardState(NamedTuple):
    """A shard's log in one snapshot."""

    shard: int
    generation: int
    base: Place  # what lies at or before it was dropped
    head: Place
    chain_at: bytes | None  # at the position that was asked about; None: the log has no such place
    now_ms: int  # the database's clock, milliseconds since 1970


class LoggedRow(NamedTuple):
    """One event of a shard's log."""

    position: int
    chain: bytes
    match: str
    payload: bytes


class LogRun(NamedTuple):
    """Consecutive rows of one shard."""

    shard: int
    generation: int
    rows: list[LoggedRow]


class Followed(NamedTuple):
    """What follows places in the log, and the shards whose log does not hold theirs."""

    runs: list[LogRun]
    astray: list[int]


class Letter(NamedTuple):
    """A dead letter as stored."""

    letter: int
    topic: str  # without the installation's prefix
    partition: int
    offset: int
    reason: str
    detail: str
    rejected_at: datetime
    key: bytes | None
    original: bytes

    @property
    def place(self) -> "LetterPlace":
        return LetterPlace(self.letter, self.rejected_at)


class LetterPlace(NamedTuple):
    """A letter as a restored database, which gives its number to another one, does not have it."""

    letter: int
    rejected_at: datetime


# Heads, and in the same snapshot the chain where each stream ends. Each place is looked up by
# itself: as a plain join, before the first statistics, it read every row of the shard.
_STATES = """
SELECT
    d.shard, d.generation, d.base_position, d.base_chain,
    coalesce(h.position, d.base_position), coalesce(h.chain, d.base_chain),
    CASE WHEN a.position = d.base_position THEN d.base_chain ELSE p.chain END,
    (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint
FROM delivery_shards AS d
LEFT JOIN unnest(%(shards)s::smallint [], %(positions)s::bigint []) AS a (shard, position)
    ON a.shard = d.shard
LEFT JOIN LATERAL (
    SELECT e.position, e.chain FROM events AS e
    WHERE e.shard = d.shard ORDER BY e.position DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT e.chain FROM events AS e
    WHERE e.shard = a.shard AND e.position = a.position LIMIT 1
) AS p ON true
ORDER BY d.shard
"""

# Nothing follows a place that this log does not have.
_FOLLOWING = """
SELECT e.position, e.chain, e.match, e.payload FROM events AS e
WHERE
    e.shard = %(shard)s AND e.position > %(position)s
    AND (
        EXISTS (
            SELECT 1 FROM events AS p
            WHERE p.shard = %(shard)s AND p.position = %(position)s AND p.chain = %(chain)s
        )
        OR EXISTS (
            SELECT 1 FROM delivery_shards AS d
            WHERE d.shard = %(shard)s AND d.base_position = %(position)s AND d.base_chain = %(chain)s
        )
    )
ORDER BY e.position LIMIT %(limit)s
"""

# Nothing follows a place that the log does not hold, and the answer says so: a row without a position.
_AFTER = """
SELECT a.shard, a.generation, e.position, e.chain, e.match, e.payload
FROM unnest(
    %(shards)s::smallint [], %(generations)s::bigint [], %(positions)s::bigint [], %(chains)s::uuid []
) AS a (shard, generation, position, chain)
INNER JOIN delivery_shards AS d ON d.shard = a.shard
CROSS JOIN LATERAL (
    SELECT coalesce(
        d.generation = a.generation
        AND CASE
            WHEN a.position = d.base_position THEN d.base_chain
            ELSE (SELECT l.chain FROM events AS l WHERE l.shard = a.shard AND l.position = a.position)
        END = a.chain, false
    ) AS holds_place
) AS p
LEFT JOIN LATERAL (
    SELECT l.position, l.chain, l.match, l.payload FROM events AS l
    WHERE p.holds_place AND l.shard = a.shard AND l.position > a.position
    ORDER BY l.position LIMIT %(limit)s
) AS e ON true
WHERE e.position IS NOT NULL OR NOT p.holds_place
ORDER BY a.shard, e.position
"""

_CHAIN = """
SELECT coalesce(
    (SELECT e.chain FROM events AS e WHERE e.shard = %(shard)s AND e.position = %(position)s),
    (
        SELECT d.base_chain FROM delivery_shards AS d
        WHERE d.shard = %(shard)s AND d.base_position = %(position)s
    )
)
"""

_GENERATIONS = "SELECT shard, generation FROM delivery_shards"

# Only from the generation that the fork was seen in: of two relays, one raises it.
_RAISE = """
UPDATE delivery_shards
SET generation = greatest(
    generation + 1, (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint, %(at_least)s
)
WHERE shard = %(shard)s AND generation = %(seen)s
RETURNING generation
"""

# Letters of one partition commit in the order of their numbers, because its
# shard is locked by whoever writes them. Across partitions they do not: a
# cursor over all of them would skip what a slower lane commits later.
# In the same snapshot a place is looked up, too: a database that was restored,
# or that lost commits in a failover, gives numbers again which were copied.
_LETTERS = """
SELECT
    d.letter, c.name, c.partition, d.source_offset, d.reason, d.detail, d.rejected_at,
    d.record_key, d.original
FROM unnest(
    %(names)s::text [], %(partitions)s::smallint [], %(letters)s::bigint [],
    %(moments)s::timestamptz []
) AS c (name, partition, letter, rejected_at)
LEFT JOIN dead_letters AS k
    ON k.letter = c.letter AND k.partition = c.partition AND k.rejected_at = c.rejected_at
CROSS JOIN LATERAL (
    SELECT
        l.letter, l.source_offset, l.reason, l.detail, l.rejected_at, l.record_key, l.original
    FROM dead_letters AS l
    WHERE
        l.topic IN (SELECT t.topic FROM topics AS t WHERE t.name = c.name)
        AND l.partition = c.partition AND l.letter > coalesce(k.letter, 0)
    ORDER BY l.letter LIMIT %(limit)s
) AS d
ORDER BY d.letter LIMIT %(limit)s
"""

# Raw bytes for these: a UUID object or decoded JSON costs more than the rest of a row.
_AS_BYTES = ("json", "uuid")


class RelayReads:
    """The relay's connection to the primary. Not thread-safe.

    Every method raises LogUnavailableError, and the next call connects anew.
    """

    def __init__(self, dsn: str, application: str) -> None:
        self._dsn = dsn
        self._application = application
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def generations(self) -> dict[int, int]:
        """The generation of every shard that ever had a writer."""
        return dict(self._rows(_GENERATIONS, {}))

    def states(self, positions: Mapping[int, int]) -> list[ShardState]:
        """Every shard's log; `positions` asks for the chain at one place of each."""
        rows = self._rows(_STATES, {"shards": list(positions), "positions": list(positions.values())})
        return [
            ShardState(shard, generation, Place(base, base_chain), Place(head, head_chain), chain_at, now)
            for shard, generation, base, base_chain, head, head_chain, chain_at, now in rows
        ]

    def following(self, shard: int, place: Place, limit: int) -> list[LoggedRow]:
        """At most `limit` rows that follow a place, in order; none when this log has no such place."""
        rows = self._rows(
            _FOLLOWING,
            {
                "shard": shard,
                "position": place.position,
                "chain": UUID(bytes=place.chain),
                "limit": limit,
            },
        )
        return [LoggedRow(*row) for row in rows]

    def after(self, places: Mapping[int, LogPosition], limit: int) -> Followed:
        """For each shard, read up to a place: at most `limit` rows after it, in order.

        Those whose log does not hold the place are named: it began another generation,
        dropped the place, or lost it and has another history there.
        """
        rows = self._rows(
            _AFTER,
            {
                "shards": list(places),
                "generations": [place.generation for place in places.values()],
                "positions": [place.position for place in places.values()],
                "chains": [UUID(bytes=place.chain) for place in places.values()],
                "limit": limit,
            },
        )
        runs: dict[int, LogRun] = {}
        astray: list[int] = []
        for shard, generation, *row in rows:
            if row[0] is None:
                astray.append(shard)
                continue
            if shard not in runs:
                runs[shard] = LogRun(shard, generation, [])
            runs[shard].rows.append(LoggedRow(*row))
        return Followed(list(runs.values()), astray)

    def place_at(self, shard: int, position: int) -> Place | None:
        """The log's place at a position; None when it has none."""
        ((chain,),) = self._rows(_CHAIN, {"shard": shard, "position": position})
        return None if chain is None else Place(position, chain)

    def raise_generation(self, shard: int, seen: int, at_least: int) -> int | None:
        """Begin a new life of a shard's log; None when another relay did so already."""
        rows = self._rows(_RAISE, {"shard": shard, "seen": seen, "at_least": at_least})
        return int(rows[0][0]) if rows else None

    def letters_after(self, places: Mapping[tuple[str, int], LetterPlace | None], limit: int) -> list[Letter]:
        """The first `limit` letters that follow the place of their (topic, partition), in order.

        From the first one on where there is no place, or the table does not have it.
        """
        rows = self._rows(
            _LETTERS,
            {
                "names": [name for name, _ in places],
                "partitions": [partition for _, partition in places],
                "letters": [place and place.letter for place in places.values()],
                "moments": [place and place.rejected_at for place in places.values()],
                "limit": limit,
            },
        )
        return [Letter(*row) for row in rows]

    def _rows(self, query: LiteralString, parameters: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = _connect(self._dsn, self._application)
            with self._connection.cursor(binary=True) as cursor:
                return cursor.execute(query, parameters).fetchall()
        except psycopg.Error as error:
            # Whatever it is, a table that is not there yet included: said, and tried again later.
            self.close()
            raise LogUnavailableError(str(error).strip() or type(error).__name__) from error


def _connect(dsn: str, application: str) -> psycopg.Connection:
    connection = connect(dsn, application)
    for kind in _AS_BYTES:
        connection.adapters.register_loader(kind, ByteaBinaryLoader)
    return connection
