"""What readers ask about matches: the image at the head of the log, and the list of matches."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.fold import FOLD_VERSION, advance_logged, empty_image
from schemas.identity import ZERO_CHAIN
from schemas.image import MatchImage, decode_image
from schemas.live import decode_live
from schemas.log_position import LogPosition
from storage.log_reads import OtherHistoryError
from storage.reading import LogReader


class MatchView(NamedTuple):
    """The image of a match and where it is in the log; no image before its first event.

    `chain` and `position` are those of its last event: None when that event
    was dropped from the log, and 0 where nobody asked the log for it.
    """

    match: str
    generation: int
    image: MatchImage | None
    chain: bytes | None = ZERO_CHAIN
    position: int = 0

    @property
    def seq(self) -> int:
        return 0 if self.image is None else self.image.seq


class Asked(NamedTuple):
    """A match to read, what the caller knows of it already, and where the caller stands in the shard."""

    match: str
    shard: int
    known: MatchView | None = None
    place: LogPosition | None = None


class Listed(NamedTuple):
    """A match of the list, and where its log ended."""

    match: str
    shard: int
    generation: int
    seq: int
    chain: bytes
    updated_at: datetime


# One statement, so one snapshot: generation, the newest image of this fold
# above what is known, and every event after it. ORDER BY inside the lateral keeps the plan
# on the (match, seq) index while the tables are young and without statistics.
_VIEWS = """
WITH asked AS (
    SELECT
        a.match, a.shard, a.known_generation, a.known_seq, a.known_chain, a.generation, a.position, a.chain
    FROM unnest(
        %(matches)s::text [], %(shards)s::smallint [], %(generations)s::bigint [], %(seqs)s::integer [],
        %(chains)s::uuid [],
        %(place_generations)s::bigint [], %(place_positions)s::bigint [], %(place_chains)s::uuid []
    ) AS a (match, shard, known_generation, known_seq, known_chain, generation, position, chain)
),

placed AS (
    SELECT
        a.match,
        d.generation,
        coalesce(k.seq, 0) AS known_seq,
        a.generation IS NULL OR coalesce(
            d.generation = a.generation
            AND CASE
                WHEN a.position = d.base_position THEN d.base_chain
                ELSE (SELECT p.chain FROM events AS p WHERE p.shard = a.shard AND p.position = a.position)
            END = a.chain, false
        ) AS holds_place
    FROM asked AS a
    INNER JOIN delivery_shards AS d ON d.shard = a.shard
    LEFT JOIN LATERAL (
        SELECT e.seq FROM events AS e
        WHERE
            d.generation = a.known_generation AND e.match = a.match AND e.seq = a.known_seq
            AND e.chain = a.known_chain
        LIMIT 1
    ) AS k ON true
),

saved AS (
    SELECT p.match, p.known_seq, i.seq, i.image
    FROM placed AS p
    LEFT JOIN LATERAL (
        SELECT m.seq, m.image FROM images AS m
        WHERE m.match = p.match AND m.seq > p.known_seq AND m.fold_version = %(fold)s
        ORDER BY m.seq DESC LIMIT 1
    ) AS i ON true
)

SELECT p.match, 0 AS part, p.generation AS number, NULL::json AS document, NULL::uuid AS chain, 0 AS position
FROM placed AS p
UNION ALL
SELECT p.match, 1, p.known_seq, NULL, NULL, 0 FROM placed AS p WHERE p.known_seq > 0
UNION ALL
SELECT s.match, 2, s.seq, s.image, e.chain, coalesce(e.position, 0)
FROM saved AS s LEFT JOIN events AS e ON e.match = s.match AND e.seq = s.seq
WHERE s.seq IS NOT NULL
UNION ALL
SELECT s.match, 3, e.seq, e.payload, e.chain, e.position
FROM saved AS s
CROSS JOIN LATERAL (
    SELECT l.seq, l.payload, l.chain, l.position FROM events AS l
    WHERE l.match = s.match AND l.seq > coalesce(s.seq, s.known_seq) ORDER BY l.seq
) AS e
UNION ALL
SELECT p.match, 4, 0, NULL, NULL, 0 FROM placed AS p WHERE NOT p.holds_place
"""
_GENERATION, _KNOWN, _IMAGE, _EVENT = 0, 1, 2, 3

_LIST = """
SELECT m.match, m.shard, d.generation, e.seq, e.chain, e.appended_at
FROM matches AS m
INNER JOIN delivery_shards AS d ON d.shard = m.shard
CROSS JOIN LATERAL (
    SELECT l.seq, l.chain, l.appended_at FROM events AS l WHERE l.match = m.match ORDER BY l.seq DESC LIMIT 1
) AS e
WHERE m.retired_at IS NULL
ORDER BY m.bucket DESC, m.match
LIMIT %(limit)s
"""


def advanced(view: MatchView, payload: bytes, chain: bytes) -> MatchView:
    """The view after the next event of the log; its position is not known."""
    image = empty_image(view.match) if view.image is None else view.image
    return view._replace(image=advance_logged(image, decode_live(payload).event), chain=chain, position=0)


class MatchQueries:
    """Asks about matches; every answer is one snapshot, and each raises LogUnavailableError."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    async def listed(self, limit: int) -> list[Listed]:
        """Matches that have events, newest day first."""
        return [Listed(*row) for row in await self._reader.rows(_LIST, {"limit": limit})]

    async def view(self, asked: Asked) -> MatchView:
        """The image of one match at its head."""
        return (await self.views([asked]))[asked.match]

    async def views(self, asked: Sequence[Asked]) -> dict[str, MatchView]:
        """The image of each match at its head: the newest of saved and known, plus the fold of the tail.

        What the caller knows is used only while the log holds it. Raises OtherHistoryError when
        the log does not hold the place where the caller stands in a shard.
        """
        known = {a.match: a.known for a in asked if a.known is not None}
        parameters = {
            "matches": [a.match for a in asked],
            "shards": [a.shard for a in asked],
            "generations": [a.known.generation if a.known else 0 for a in asked],
            "seqs": [a.known.seq if a.known else 0 for a in asked],
            "chains": [UUID(bytes=a.known.chain) if a.known and a.known.chain else None for a in asked],
            "place_generations": [a.place and a.place.generation for a in asked],
            "place_positions": [a.place and a.place.position for a in asked],
            "place_chains": [a.place and UUID(bytes=a.place.chain) for a in asked],
            "fold": FOLD_VERSION,
        }
        rows = await self._reader.rows(_VIEWS, parameters)
        rows.sort(key=lambda row: row[1:3])
        found = {a.match: MatchView(a.match, 0, None) for a in asked}
        for match, part, number, document, chain, position in rows:
            if part == _GENERATION:
                found[match] = MatchView(match, number, None)
            elif part == _KNOWN:
                found[match] = known[match]
            elif part == _IMAGE:
                image = decode_image(document)
                found[match] = found[match]._replace(image=image, chain=chain, position=position)
            elif part == _EVENT:
                found[match] = advanced(found[match], document, chain)._replace(position=position)
            else:
                raise OtherHistoryError(f"match {match}")
        return found
