"""What readers ask about matches: the image at the head of the log, and the list of matches."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.fold import FOLD_VERSION, advance_logged, empty_image
from schemas.image import MatchImage, decode_image
from schemas.live import decode_live
from storage.reading import LogReader


class MatchView(NamedTuple):
    """The image of a match and the log life it belongs to; no image before its first event."""

    match: str
    generation: int
    image: MatchImage | None

    @property
    def seq(self) -> int:
        return 0 if self.image is None else self.image.seq


class Asked(NamedTuple):
    """A match to look at, and what the caller knows of it already."""

    match: str
    shard: int
    known: MatchView | None = None


class Listed(NamedTuple):
    """A match of the list, and where its log ended."""

    match: str
    shard: int
    generation: int
    seq: int
    updated_at: datetime


# One statement, so one snapshot: generation, the newest image of this fold
# above what is known, and every event after it. ORDER BY inside the lateral keeps the plan
# on the (match, seq) index while the tables are young and without statistics.
_VIEWS = """
WITH asked AS (
    SELECT a.match, a.shard, a.known_generation, a.known_seq
    FROM unnest(
        %(matches)s::text [], %(shards)s::smallint [], %(generations)s::bigint [], %(seqs)s::integer []
    ) AS a (match, shard, known_generation, known_seq)
),

placed AS (
    SELECT
        a.match,
        d.generation,
        CASE WHEN d.generation = a.known_generation THEN a.known_seq ELSE 0 END AS known_seq
    FROM asked AS a INNER JOIN delivery_shards AS d ON d.shard = a.shard
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

SELECT p.match, 0 AS part, p.generation AS number, NULL::json AS document FROM placed AS p
UNION ALL
SELECT s.match, 1, s.seq, s.image FROM saved AS s WHERE s.seq IS NOT NULL
UNION ALL
SELECT s.match, 2, e.seq, e.payload
FROM saved AS s
CROSS JOIN LATERAL (
    SELECT l.seq, l.payload FROM events AS l
    WHERE l.match = s.match AND l.seq > coalesce(s.seq, s.known_seq) ORDER BY l.seq
) AS e
"""
_GENERATION, _IMAGE, _EVENT = 0, 1, 2

_LIST = """
SELECT m.match, m.shard, d.generation, e.seq, e.appended_at
FROM matches AS m
INNER JOIN delivery_shards AS d ON d.shard = m.shard
CROSS JOIN LATERAL (
    SELECT l.seq, l.appended_at FROM events AS l WHERE l.match = m.match ORDER BY l.seq DESC LIMIT 1
) AS e
WHERE m.retired_at IS NULL
ORDER BY m.bucket DESC, m.match
LIMIT %(limit)s
"""


def advanced(view: MatchView, payload: bytes) -> MatchView:
    """The view after the next event of the log."""
    image = empty_image(view.match) if view.image is None else view.image
    return view._replace(image=advance_logged(image, decode_live(payload).event))


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

        What the caller knows is used only while its generation is still the log's.
        """
        known = {a.match: a.known for a in asked if a.known is not None}
        parameters = {
            "matches": [a.match for a in asked],
            "shards": [a.shard for a in asked],
            "generations": [a.known.generation if a.known else 0 for a in asked],
            "seqs": [a.known.seq if a.known else 0 for a in asked],
            "fold": FOLD_VERSION,
        }
        rows = await self._reader.rows(_VIEWS, parameters)
        rows.sort(key=lambda row: row[1:3])
        found = {a.match: MatchView(a.match, 0, None) for a in asked}
        for match, part, number, document in rows:
            if part == _GENERATION:
                kept = known.get(match)
                found[match] = kept if kept and kept.generation == number else MatchView(match, number, None)
            elif part == _IMAGE:
                found[match] = found[match]._replace(image=decode_image(document))
            else:
                found[match] = advanced(found[match], document)
        return found
