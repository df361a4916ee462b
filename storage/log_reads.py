"""What readers ask of the log: heads, a match's events after a seq, one event, a shard's tail."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from schemas.identity import ZERO_CHAIN
from schemas.log_position import LogPosition
from storage.reading import LogReader


class OtherHistoryError(RuntimeError):
    """The log does not hold the place of its reader: it lost it, dropped it or began another generation."""


class ShardSnapshot(NamedTuple):
    """A shard's log in one snapshot, and whether it holds the place that it was asked about."""

    shard: int
    head: LogPosition
    base: int  # what lies at or before this position was dropped
    holds_place: bool  # False also where no place was given

    def lost(self, place: LogPosition) -> bool:
        """Whether a place that the log does not hold is of another history, and was not only dropped."""
        return self.head.generation == place.generation and place.position >= self.base


class MatchHead(NamedTuple):
    """Where a match's log ends, as committed; 0 before its first event, generation 0 before any log."""

    generation: int
    seq: int
    chain: bytes


class Page(NamedTuple):
    """Events of a match after a seq, in order, and where its log ended at that moment."""

    generation: int
    head_seq: int
    chain: bytes | None  # at the seq that was asked about; None: nobody knows it, or no event has that seq
    seqs: list[int]
    payloads: list[bytes]  # LiveEvent JSON, as stored
    chains: list[bytes]  # after each of them
    end: LogPosition | None = None  # a place in the shard's log, at the last of them or behind it

    @property
    def is_complete(self) -> bool:
        """Whether nothing lies between the last event here and the head."""
        return not self.seqs or self.seqs[-1] == self.head_seq

    @property
    def last_chain(self) -> bytes | None:
        """The chain at the last event here, or where the page begins when it has none."""
        return self.chains[-1] if self.chains else self.chain


class LogRow(NamedTuple):
    """One event of a shard's log."""

    shard: int
    position: int
    chain: bytes
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


# The place of a reader is proven in the same snapshot. Each place is looked up by itself: as a plain
# join, before the first statistics, it read every row of the shard.
_SHARD_HEADS = """
SELECT
    d.shard, d.generation, coalesce(h.position, d.base_position), coalesce(h.chain, d.base_chain),
    d.base_position,
    coalesce(
        d.generation = a.generation
        AND CASE WHEN a.position = d.base_position THEN d.base_chain ELSE p.chain END = a.chain, false
    )
FROM delivery_shards AS d
LEFT JOIN unnest(
    %(shards)s::smallint [], %(generations)s::bigint [], %(positions)s::bigint [], %(chains)s::uuid []
) AS a (shard, generation, position, chain)
    ON a.shard = d.shard
LEFT JOIN LATERAL (
    SELECT e.position, e.chain FROM events AS e
    WHERE e.shard = d.shard ORDER BY e.position DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT e.chain FROM events AS e
    WHERE e.shard = a.shard AND e.position = a.position LIMIT 1
) AS p ON true
"""

_MATCH_HEADS = """
SELECT a.match, coalesce(d.generation, 0), coalesce(h.seq, 0), h.chain
FROM unnest(%(matches)s::text [], %(shards)s::smallint []) AS a (match, shard)
LEFT JOIN delivery_shards AS d ON d.shard = a.shard
LEFT JOIN LATERAL (
    SELECT e.seq, e.chain FROM events AS e WHERE e.match = a.match ORDER BY e.seq DESC LIMIT 1
) AS h ON true
"""

# The head comes from the same snapshot as the rows, and also when there are none.
_PAGE = """
SELECT h.generation, h.head_seq, h.chain, h.holds_place, e.seq, e.payload, e.chain, e.position
FROM (
    SELECT
        coalesce((SELECT d.generation FROM delivery_shards AS d WHERE d.shard = %(shard)s), 0) AS generation,
        coalesce(
            (SELECT m.seq FROM events AS m WHERE m.match = %(match)s ORDER BY m.seq DESC LIMIT 1), 0
        ) AS head_seq,
        (SELECT s.chain FROM events AS s WHERE s.match = %(match)s AND s.seq = %(after_seq)s) AS chain,
        coalesce((
            SELECT
                CASE
                    WHEN d.base_position = %(position)s THEN d.base_chain
                    ELSE (
                        SELECT p.chain FROM events AS p
                        WHERE p.shard = %(shard)s AND p.position = %(position)s
                    )
                END = %(chain)s
            FROM delivery_shards AS d WHERE d.shard = %(shard)s AND d.generation = %(generation)s
        ), false) AS holds_place
) AS h
LEFT JOIN LATERAL (
    SELECT l.seq, l.payload, l.chain, l.position FROM events AS l
    WHERE l.match = %(match)s AND l.seq > %(after_seq)s
    ORDER BY l.seq LIMIT %(limit)s
) AS e ON true
ORDER BY e.seq
"""

# A shard answers also when it has no row to give: that its log does not hold the place is an answer.
_AFTER = """
SELECT
    a.shard, d.generation, coalesce(h.position, d.base_position), coalesce(h.chain, d.base_chain),
    d.base_position, p.holds_place, e.position, e.chain, e.match, e.seq, e.payload
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
    SELECT l.position, l.chain FROM events AS l WHERE l.shard = a.shard ORDER BY l.position DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT l.position, l.chain, l.match, l.seq, l.payload FROM events AS l
    WHERE p.holds_place AND l.shard = a.shard AND l.position > a.position
    ORDER BY l.position LIMIT %(limit)s
) AS e ON true
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

    async def shard_heads(self, places: Mapping[int, LogPosition]) -> list[ShardSnapshot]:
        """The head of every shard that has ever had a writer; some readers have a place in theirs."""
        rows = await self._reader.rows(_SHARD_HEADS, _columns(places))
        return [_snapshot(row) for row in rows]

    async def match_heads(self, shard_of: Mapping[str, int]) -> dict[str, MatchHead]:
        """The head of each match, given with its shard."""
        parameters = {"matches": list(shard_of), "shards": list(shard_of.values())}
        rows = await self._reader.rows(_MATCH_HEADS, parameters)
        return {
            match: MatchHead(generation, seq, chain or ZERO_CHAIN) for match, generation, seq, chain in rows
        }

    async def events_after(
        self, match: str, shard: int, after_seq: int, limit: int, place: LogPosition | None = None
    ) -> Page:
        """At most `limit` events of a match after `after_seq`.

        Raises OtherHistoryError when the log does not hold the place where the caller stands in the shard.
        """
        parameters = {
            "match": match,
            "shard": shard,
            "after_seq": after_seq,
            "limit": limit,
            "generation": place and place.generation,
            "position": place and place.position,
            "chain": place and UUID(bytes=place.chain),
        }
        rows = await self._reader.rows(_PAGE, parameters)
        generation, head_seq, chain, holds_place = rows[0][:4]
        if place is not None and not holds_place:
            raise OtherHistoryError(f"shard {shard}")
        found = [row[4:] for row in rows if row[4] is not None]
        return Page(
            generation,
            head_seq,
            chain if after_seq else ZERO_CHAIN,
            [seq for seq, _, _, _ in found],
            [payload for _, payload, _, _ in found],
            [chain for _, _, chain, _ in found],
            LogPosition(generation, found[-1][3], found[-1][2]) if found else None,
        )

    async def shards_after(
        self, places: Mapping[int, LogPosition], limit: int
    ) -> list[tuple[ShardSnapshot, list[LogRow]]]:
        """For each shard, read up to a place: at most `limit` rows after it, in order.

        None from a shard whose log does not hold the place.
        """
        found: dict[int, tuple[ShardSnapshot, list[LogRow]]] = {}
        for row in await self._reader.rows(_AFTER, {**_columns(places), "limit": limit}):
            _, rows = found.setdefault(row[0], (_snapshot(row[:6]), []))
            if row[6] is not None:
                rows.append(LogRow(row[0], *row[6:]))
        return list(found.values())

    async def event_by_key(self, key: bytes) -> StoredEvent | None:
        """The event with this identity."""
        rows = await self._reader.rows(_EVENT, {"key": UUID(bytes=key)})
        return StoredEvent(*rows[0]) if rows else None


def _columns(places: Mapping[int, LogPosition]) -> dict[str, object]:
    return {
        "shards": list(places),
        "generations": [place.generation for place in places.values()],
        "positions": [place.position for place in places.values()],
        "chains": [UUID(bytes=place.chain) for place in places.values()],
    }


def _snapshot(row: Sequence[Any]) -> ShardSnapshot:
    shard, generation, position, chain, base, holds_place = row
    return ShardSnapshot(shard, LogPosition(generation, position, chain), base, holds_place)
