"""What the audit reads: the whole log as of one moment, in the order of positions.

One REPEATABLE READ transaction, so heads, rows, images and dead letters
belong together however long the reading takes. Rows come in chunks: the
memory needed does not grow with the log.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from storage import resume
from storage.append import known_keys
from storage.connect import PLANS_TO_AVOID, connect
from storage.parking import match_states

# 10,000 rows of 600 bytes: large enough that a round trip does not count.
_CHUNK_ROWS = 10_000
# A dead letter may hold a megabyte.
_CHUNK_LETTERS = 100
_APPLICATION = "touchline-audit"


class ShardRow(NamedTuple):
    """A shard as of the snapshot."""

    shard: int
    generation: int
    base_position: int
    base_chain: bytes
    head: int
    chain: bytes


class TopicLife(NamedTuple):
    """One life of a topic, by the number that origins carry."""

    number: int
    name: str
    cluster_id: str
    topic_id: str


class LogRow(NamedTuple):
    """A row of `events`; times in microseconds since 2000-01-01 UTC."""

    position: int
    match: str
    seq: int
    event_key: bytes
    body_hash: bytes
    chain: bytes
    topic: int
    source_offset: int
    occurred_at: int
    appended_at: int
    is_fact: bool
    fold_version: int
    payload: bytes


class ImageRow(NamedTuple):
    """A row of `images`."""

    position: int
    match: str
    seq: int
    fold_version: int
    image: bytes


class LetterRow(NamedTuple):
    """A row of `dead_letters`."""

    letter: int
    topic: int
    source_offset: int
    reason: str
    match: str | None
    original: bytes


class ParkedRow(NamedTuple):
    """An event that waits, as stored."""

    parked: int
    topic: int
    source_offset: int
    match: str
    importance: int
    language: str
    original: bytes


class MatchRow(NamedTuple):
    """A row of `matches`."""

    match: str
    bucket: date
    fold_version: int
    is_retired: bool


class ControlState(NamedTuple):
    """How a row of `controls` leaves its match."""

    control: int
    match: str
    kind: str
    state: str
    topic: int | None  # of the record that told it; None: the lane's own
    source_offset: int


_SHARDS = """
SELECT
    s.shard,
    coalesce(d.generation, 0),
    coalesce(d.base_position, 0),
    coalesce(d.base_chain, '00000000-0000-0000-0000-000000000000'),
    coalesce(h.position, d.base_position, 0),
    coalesce(h.chain, d.base_chain, '00000000-0000-0000-0000-000000000000')
FROM (
    SELECT n AS shard FROM generate_series(0, %s::integer - 1) AS n
    UNION
    SELECT shard FROM delivery_shards
) AS s
LEFT JOIN delivery_shards AS d ON s.shard = d.shard
LEFT JOIN LATERAL (
    SELECT e.position, e.chain FROM events AS e
    WHERE e.shard = s.shard ORDER BY e.position DESC LIMIT 1
) AS h ON TRUE
ORDER BY s.shard
"""

_SHARD_NUMBERS = "SELECT shard FROM delivery_shards"

_TOPICS = "SELECT topic, name, cluster_id, topic_id FROM topics"

_RETIRED = "SELECT match FROM matches WHERE shard = %s AND retired_at IS NOT NULL"

_MATCHES = "SELECT match, bucket, fold_version, retired_at IS NOT NULL FROM matches WHERE shard = %s"

_ROWS = """
SELECT
    position, match, seq, event_key, int8send(body_hash), chain, topic, source_offset,
    occurred_at, appended_at, is_fact, fold_version, payload
FROM events WHERE shard = %s AND position > %s
ORDER BY position LIMIT %s
"""

_IMAGES = """
SELECT position, match, seq, fold_version, image
FROM images WHERE shard = %s AND position > %s AND position <= %s
ORDER BY position, match, seq
"""

# Once somebody has settled that records are gone, an audit says it no more.
_LETTERS = """
SELECT d.letter, d.topic, d.source_offset, d.reason, d.match, d.original
FROM dead_letters AS d
WHERE d.partition = %s AND d.letter > %s AND NOT (
    d.reason = 'removed_unread'
    AND EXISTS (SELECT 1 FROM letter_states AS s WHERE s.letter = d.letter AND s.state = 'discarded')
)
ORDER BY d.letter LIMIT %s
"""

# What a redrive has sent, and what somebody has discarded, is settled.
_REFUSED_BY_FOLD = """
SELECT d.letter, d.topic, d.source_offset, d.reason, d.match, d.original
FROM dead_letters AS d
LEFT JOIN letter_states AS s ON d.letter = s.letter
WHERE
    d.partition = %s AND d.letter > %s
    AND d.reason IN ('fold_failed', 'image_full')
    AND coalesce(s.state, 'corrected') = 'corrected'
ORDER BY d.letter LIMIT %s
"""

_LAST_LETTERS = """
SELECT t.name, d.partition, max(d.letter) FROM dead_letters AS d
INNER JOIN topics AS t ON d.topic = t.topic GROUP BY t.name, d.partition
"""

_HAS_LETTER = "SELECT 1 FROM dead_letters WHERE letter = %s AND rejected_at = %s"

_PARKED = """
SELECT parked, topic, source_offset, match, importance, language, original
FROM parked WHERE shard = %s AND parked > %s
ORDER BY parked LIMIT %s
"""

_CONTROLS = """
SELECT control, match, kind, state, topic, coalesce(source_offset, -1)
FROM controls WHERE shard = %s ORDER BY control
"""

_REDRIVEN = """
SELECT t.topic, a.source_offset FROM letter_actions AS a
INNER JOIN topics AS t ON a.topic = t.name
WHERE a.what = 'sent' AND a.partition = %s AND a.source_offset IS NOT NULL
"""

_CHAIN_AT = """
SELECT
    d.generation,
    (SELECT e.chain FROM events AS e WHERE e.shard = d.shard AND e.position = %(position)s),
    coalesce(
        (SELECT e.position FROM events AS e WHERE e.shard = d.shard ORDER BY e.position DESC LIMIT 1),
        d.base_position
    )
FROM delivery_shards AS d WHERE d.shard = %(shard)s
"""

_IS_READY = "SELECT to_regclass('events') IS NOT NULL AND to_regclass('delivery_shards') IS NOT NULL"


class AuditReads:
    """The log as of one moment, and a look at how it is now.

    Raises psycopg.OperationalError when the database goes away.
    """

    def __init__(self, dsn: str) -> None:
        self._now = _open(dsn)
        self._snapshot = _open(dsn)

    def __enter__(self) -> "AuditReads":
        return self

    def __exit__(self, *_: object) -> None:
        self._snapshot.close()
        self._now.close()

    @property
    def server_version(self) -> str:
        return self._now.info.parameter_status("server_version") or ""

    def is_ready(self) -> bool:
        """Whether the database has the log's tables."""
        row = self._now.execute(_IS_READY).fetchone()
        return row is not None and row[0]

    def freeze(self) -> None:
        """Fix the moment that every later read is about."""
        if self._snapshot.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._snapshot.execute("ROLLBACK")
        self._snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._snapshot.execute("SELECT 1")

    def shards(self, count: int) -> dict[int, ShardRow]:
        """The shards of an installation, and any other with an owner; one of generation 0 never had one."""
        return {row[0]: ShardRow(*row) for row in self._select(_SHARDS, count)}

    def topics(self) -> list[TopicLife]:
        return [TopicLife(*row) for row in self._select(_TOPICS)]

    def retired_matches(self, shard: int) -> set[str]:
        return {row[0] for row in self._select(_RETIRED, shard)}

    def row_chunks(self, shard: int, after: int) -> Iterator[tuple[list[LogRow], list[ImageRow]]]:
        """The rows behind a position with the images saved at theirs; the last chunk has what lies beyond."""
        while True:
            rows = [LogRow._make(row) for row in self._select(_ROWS, shard, after, _CHUNK_ROWS)]
            is_last = len(rows) < _CHUNK_ROWS
            until = 2**63 - 1 if is_last else rows[-1].position
            yield rows, [ImageRow._make(row) for row in self._select(_IMAGES, shard, after, until)]
            if is_last:
                return
            after = until

    def matches(self, shard: int) -> list[MatchRow]:
        """The matches that the table has in a shard."""
        return [MatchRow._make(row) for row in self._select(_MATCHES, shard)]

    def chain_at(self, shard: int, position: int) -> bytes | None:
        """The chain of a row; None when there is no row."""
        found = self._select(_CHAIN_AT, {"shard": shard, "position": position})
        return found[0][1] if found else None

    def letters(self, shard: int) -> Iterator[LetterRow]:
        """The dead letters that came from a shard's partition."""
        return self._letters(_LETTERS, shard)

    def refused_by_fold(self, shard: int) -> Iterator[LetterRow]:
        """Those of them that the fold refused, and that wait."""
        return self._letters(_REFUSED_BY_FOLD, shard)

    def _letters(self, query: str, shard: int) -> Iterator[LetterRow]:
        after = 0
        while True:
            rows = [LetterRow._make(row) for row in self._select(query, shard, after, _CHUNK_LETTERS)]
            yield from rows
            if len(rows) < _CHUNK_LETTERS:
                return
            after = rows[-1].letter

    def parked(self, shard: int) -> Iterator[ParkedRow]:
        """The events of a shard that wait."""
        after = 0
        while True:
            rows = [ParkedRow._make(row) for row in self._select(_PARKED, shard, after, _CHUNK_ROWS)]
            yield from rows
            if len(rows) < _CHUNK_ROWS:
                return
            after = rows[-1].parked

    def controls(self, shard: int) -> list[ControlState]:
        """What parked and opened the matches of a shard, in the order in which it was done."""
        return [ControlState._make(row) for row in self._select(_CONTROLS, shard)]

    def redriven(self, shard: int) -> set[tuple[int, int]]:
        """Topic number and offset of the records that redrives wrote."""
        return {(row[0], row[1]) for row in self._select(_REDRIVEN, shard)}

    def parked_matches(self, shard: int) -> dict[str, str]:
        """The matches of a shard that are parked or being released."""
        return match_states(self._snapshot, shard)

    def _select(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """By position, or by name where the one argument is a mapping."""
        by_name = arguments[0] if arguments and isinstance(arguments[0], dict) else None
        with self._snapshot.cursor(binary=True) as cursor:
            return cursor.execute(query, by_name or arguments).fetchall()

    # As it is now, not as of the snapshot.

    def progress(self) -> dict[tuple[int, int], int]:
        """(shard, topic number) -> the offset that the log reads next, as far as the log tells."""
        shards = [row[0] for row in self._now.execute(_SHARD_NUMBERS).fetchall()]
        return {
            (shard, topic): offset
            for shard in shards
            for topic, offset in resume.next_offsets(self._now, shard).items()
        }

    def topics_now(self) -> list[TopicLife]:
        return [TopicLife(*row) for row in self._now.execute(_TOPICS)]

    def last_letters_now(self) -> dict[tuple[str, int], int]:
        """(raw topic, partition) -> the last dead letter that came from it."""
        return {(row[0], row[1]): row[2] for row in self._now.execute(_LAST_LETTERS).fetchall()}

    def has_letter_now(self, letter: int, rejected_at: datetime) -> bool:
        """Whether the table has this letter, and not another one under its number."""
        found = self._now.execute(_HAS_LETTER, (letter, rejected_at)).fetchone()
        return found is not None

    def shards_now(self, count: int) -> dict[int, ShardRow]:
        with self._now.cursor(binary=True) as cursor:
            return {row[0]: ShardRow(*row) for row in cursor.execute(_SHARDS, (count,))}

    def rows_now(self, shard: int, after: int, limit: int) -> list[LogRow]:
        """At most `limit` rows behind a position."""
        with self._now.cursor(binary=True) as cursor:
            return [LogRow._make(row) for row in cursor.execute(_ROWS, (shard, after, limit))]

    def bodies_now(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Of these event keys, those that the log has, with their body hash."""
        return known_keys(self._now, keys) if keys else {}

    def chain_now(self, shard: int, position: int) -> tuple[int, bytes | None, int]:
        """Generation, chain at a position (None without such a row) and head, in one statement."""
        with self._now.cursor(binary=True) as cursor:
            row = cursor.execute(_CHAIN_AT, {"shard": shard, "position": position}).fetchone()
        return (row[0], row[1], row[2]) if row else (0, None, 0)


def _open(dsn: str) -> psycopg.Connection:
    connection = connect(dsn, _APPLICATION)
    # An audit reads for as long as it takes.
    for bound in ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(psycopg.sql.SQL("SET {} = 0").format(psycopg.sql.Identifier(bound)))
    # It reads everything: the planner may choose how.
    for plan in PLANS_TO_AVOID:
        connection.execute(psycopg.sql.SQL("SET {} = on").format(psycopg.sql.Identifier(plan)))
    # Bytes as they are stored: a payload is compared byte by byte, and objects
    # for 16-byte keys and times would cost more than all checks together.
    connection.adapters.register_loader("json", ByteaBinaryLoader)
    connection.adapters.register_loader("uuid", ByteaBinaryLoader)
    connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
    return connection
