"""A range of the log as of one moment, with the images that were saved in it, to be folded again."""

from collections.abc import Iterator
from typing import NamedTuple, Self

import psycopg

from schemas.fold import FOLD_VERSION, advance_logged, empty_image
from schemas.image import MatchImage, decode_image
from schemas.live import decode_live
from storage.frozen import frozen

# 5,000 rows of 600 bytes: a round trip does not count, and memory stays small.
_CHUNK_ROWS = 5_000
_LAST_POSITION = 2**63 - 1

_SHARD_OF = "SELECT shard FROM matches WHERE match = %s"

_SHARDS = "SELECT shard FROM delivery_shards ORDER BY shard"

# One statement a scope, so that each keeps to its index.
_COUNT_OF_SHARD = """
SELECT count(*), count(DISTINCT match) FROM events
WHERE shard = %(shard)s AND position BETWEEN %(first)s AND %(last)s
"""

_COUNT_OF_MATCH = """
SELECT count(*), count(DISTINCT match) FROM events
WHERE match = %(match)s AND position BETWEEN %(first)s AND %(last)s
"""

_ROWS_OF_SHARD = """
SELECT shard, position, match, seq, fold_version, payload FROM events
WHERE shard = %(shard)s AND position BETWEEN %(first)s AND %(last)s
ORDER BY position LIMIT %(limit)s
"""

# In its match, seq and position rise together.
_ROWS_OF_MATCH = """
SELECT shard, position, match, seq, fold_version, payload FROM events
WHERE match = %(match)s AND position BETWEEN %(first)s AND %(last)s
ORDER BY seq LIMIT %(limit)s
"""

_IMAGES_OF_SHARD = """
SELECT position, match, seq, fold_version, image FROM images
WHERE shard = %(shard)s AND position BETWEEN %(first)s AND %(last)s ORDER BY position, match, seq
"""

_IMAGES_OF_MATCH = """
SELECT position, match, seq, fold_version, image FROM images
WHERE match = %(match)s AND position BETWEEN %(first)s AND %(last)s ORDER BY seq
"""

_SAVED_BEFORE = """
SELECT image FROM images
WHERE match = %(match)s AND seq < %(seq)s AND fold_version = %(fold)s ORDER BY seq DESC LIMIT 1
"""

_TAIL_BEFORE = """
SELECT payload FROM events WHERE match = %(match)s AND seq > %(saved)s AND seq < %(seq)s ORDER BY seq
"""


class Range(NamedTuple):
    """Positions of one shard, both ends included; with `match`, of its events alone."""

    shard: int
    first: int = 1
    last: int = _LAST_POSITION
    match: str = ""

    def __str__(self) -> str:
        of = f" of match {self.match}" if self.match else ""
        if self.first == 1 and self.last == _LAST_POSITION:
            return f"shard {self.shard}{of}"
        last = "the end" if self.last == _LAST_POSITION else str(self.last)
        return f"shard {self.shard} positions {self.first} to {last}{of}"


class RangeRow(NamedTuple):
    """A row of `events`, as far as a fold reads it."""

    shard: int
    position: int
    match: str
    seq: int
    fold_version: int
    payload: bytes


class SavedRow(NamedTuple):
    """A row of `images`: the state of its match after every event up to `position`."""

    position: int
    match: str
    seq: int
    fold_version: int
    image: bytes


class Counted(NamedTuple):
    """How much a range holds."""

    rows: int
    matches: int


class RangeReads:
    """The log as of one moment; raises psycopg.OperationalError when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._frozen = frozen(dsn, "touchline-replay-fold")

    def __enter__(self) -> Self:
        self._connection: psycopg.Connection = self._frozen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._frozen.__exit__(None, None, None)

    def shards(self) -> list[int]:
        """Every shard that ever had a writer."""
        return [shard for (shard,) in self._connection.execute(_SHARDS)]

    def shard_of(self, match: str) -> int | None:
        """The shard of a match that the log has."""
        row = self._connection.execute(_SHARD_OF, (match,)).fetchone()
        return row[0] if row else None

    def count(self, wanted: Range) -> Counted:
        query = _COUNT_OF_MATCH if wanted.match else _COUNT_OF_SHARD
        row = self._connection.execute(query, wanted._asdict()).fetchone()
        assert row is not None
        return Counted(*row)

    def chunks(self, wanted: Range) -> Iterator[tuple[list[RangeRow], list[SavedRow]]]:
        """The rows of a range in order, with the images saved among them."""
        rows_query = _ROWS_OF_MATCH if wanted.match else _ROWS_OF_SHARD
        images_query = _IMAGES_OF_MATCH if wanted.match else _IMAGES_OF_SHARD
        first = wanted.first
        with self._connection.cursor(binary=True) as cursor:
            while True:
                asked = {**wanted._asdict(), "first": first, "limit": _CHUNK_ROWS}
                rows = [RangeRow._make(row) for row in cursor.execute(rows_query, asked)]
                is_last = len(rows) < _CHUNK_ROWS
                until = wanted.last if is_last else rows[-1].position
                images = cursor.execute(images_query, {**asked, "last": until})
                yield rows, [SavedRow._make(row) for row in images]
                if is_last:
                    return
                first = until + 1

    def image_before(self, match: str, seq: int) -> MatchImage:
        """The image of a match right before an event, by the fold that is installed here."""
        wanted = {"match": match, "seq": seq, "fold": FOLD_VERSION}
        saved = self._connection.execute(_SAVED_BEFORE, wanted, binary=True).fetchone()
        image = decode_image(saved[0]) if saved else empty_image(match)
        tail = self._connection.execute(_TAIL_BEFORE, {**wanted, "saved": image.seq}, binary=True)
        for (payload,) in tail:
            image = advance_logged(image, decode_live(payload).event)
        return image
