"""What readers ask of the log: heads, a match's events after a seq, one event, a shard's tail."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from storage.reading import LogReader


class ShardHead(NamedTuple):
    """Where a shard's log ends, as committed; also how far somebody has read it."""

    shard: int
    generation: int
    position: int


class MatchHead(NamedTuple):
    """Where a match's log ends, as committed; 0 before its first event, generation 0 before any log."""

    generation: int
    seq: int


class Page(NamedTuple):
    """Events of a match after a seq, in order, and where its log ended at that moment."""

    generation: int
    head_seq: int
    seqs: list[int]
    payloads: list[bytes]  # LiveEvent JSON, as stored

    @property
    def is_complete(self) -> bool:
        """Whether nothing lies between the last event here and the head."""
        return not self.seqs or self.seqs[-1] == self.head_seq


class LogRow(NamedTuple):
    """One event of a shard's log."""

    shard: int
    position: int
    match: str
    seq: int
    payload: bytes


class StoredEvent(NamedTuple):
    """One event with its place and its proof."""

    match: str
    seq: int
    shard: int
    position: int
    generation: int
    chain: bytes
    payload: bytes
    appended_at: datetime


_SHARD_HEADS = """
SELECT d.shard, d.generation, coalesce(h.position, d.base_position)
FROM delivery_shards AS d
LEFT JOIN LATERAL (
    SELECT e.position FROM events AS e WHERE e.shard = d.shard ORDER BY e.position DESC LIMIT 1
) AS h ON true
"""

_MATCH_HEADS = """
SELECT a.match, coalesce(d.generation, 0), coalesce(h.seq, 0)
FROM unnest(%(matches)s::text [], %(shards)s::smallint []) AS a (match, shard)
LEFT JOIN delivery_shards AS d ON d.shard = a.shard
LEFT JOIN LATERAL (
    SELECT e.seq FROM events AS e WHERE e.match = a.match ORDER BY e.seq DESC LIMIT 1
) AS h ON true
"""

# The head comes from the same snapshot as the rows, and also when there are none.
_PAGE = """
SELECT h.generation, h.head_seq, e.seq, e.payload
FROM (
    SELECT
        coalesce((SELECT d.generation FROM delivery_shards AS d WHERE d.shard = %(shard)s), 0) AS generation,
        coalesce(
            (SELECT m.seq FROM events AS m WHERE m.match = %(match)s ORDER BY m.seq DESC LIMIT 1), 0
        ) AS head_seq
) AS h
LEFT JOIN LATERAL (
    SELECT l.seq, l.payload FROM events AS l
    WHERE l.match = %(match)s AND l.seq > %(after_seq)s
    ORDER BY l.seq LIMIT %(limit)s
) AS e ON true
ORDER BY e.seq
"""

# A shard whose generation is no longer the caller's has nothing to say to it.
_AFTER = """
SELECT a.shard, e.position, e.match, e.seq, e.payload
FROM unnest(%(shards)s::smallint [], %(generations)s::bigint [], %(positions)s::bigint [])
    AS a (shard, generation, position)
INNER JOIN delivery_shards AS d ON d.shard = a.shard AND d.generation = a.generation
CROSS JOIN LATERAL (
    SELECT l.position, l.match, l.seq, l.payload FROM events AS l
    WHERE l.shard = a.shard AND l.position > a.position
    ORDER BY l.position LIMIT %(limit)s
) AS e
ORDER BY a.shard, e.position
"""

_EVENT = """
SELECT e.match, e.seq, e.shard, e.position, d.generation, e.chain, e.payload, e.appended_at
FROM events AS e INNER JOIN delivery_shards AS d ON d.shard = e.shard
WHERE e.event_key = %(key)s
"""


class LogQueries:
    """Asks the log; every answer is one snapshot, and each raises LogUnavailableError."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    async def shard_heads(self) -> list[ShardHead]:
        """The head of every shard that has ever had a writer."""
        return [ShardHead(*row) for row in await self._reader.rows(_SHARD_HEADS)]

    async def match_heads(self, shard_of: Mapping[str, int]) -> dict[str, MatchHead]:
        """The head of each match, given with its shard."""
        parameters = {"matches": list(shard_of), "shards": list(shard_of.values())}
        rows = await self._reader.rows(_MATCH_HEADS, parameters)
        return {match: MatchHead(generation, seq) for match, generation, seq in rows}

    async def events_after(self, match: str, shard: int, after_seq: int, limit: int) -> Page:
        """At most `limit` events of a match after `after_seq`."""
        parameters = {"match": match, "shard": shard, "after_seq": after_seq, "limit": limit}
        rows = await self._reader.rows(_PAGE, parameters)
        found = [row for row in rows if row[2] is not None]
        return Page(rows[0][0], rows[0][1], [row[2] for row in found], [row[3] for row in found])

    async def shards_after(self, places: Mapping[int, ShardHead], limit: int) -> dict[int, list[LogRow]]:
        """For each shard, read up to a place: at most `limit` rows after it, in order."""
        parameters = {
            "shards": list(places),
            "generations": [place.generation for place in places.values()],
            "positions": [place.position for place in places.values()],
            "limit": limit,
        }
        found: dict[int, list[LogRow]] = {}
        for row in await self._reader.rows(_AFTER, parameters):
            found.setdefault(row[0], []).append(LogRow(*row))
        return found

    async def event_by_key(self, key: bytes) -> StoredEvent | None:
        """The event with this identity."""
        rows = await self._reader.rows(_EVENT, {"key": UUID(bytes=key)})
        if not rows:
            return None
        match, seq, shard, position, generation, chain, payload, appended_at = rows[0]
        return StoredEvent(match, seq, shard, position, generation, chain.bytes, payload, appended_at)
