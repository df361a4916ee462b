"""The append's statements: the one transaction that stores events at their places.

The places themselves are worked out in sinks/shard_log.py; here is the proof
that they still hold when the rows arrive.

Order matters inside it: the shard rows are locked and the fences proved
first, as a statement of its own, and only then are heads and keys read. A
snapshot taken before the lock wait would miscount.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from schemas.identity import ZERO_CHAIN
from storage.simple_query import CopyIn, run

FENCED = "TL001"
HEAD_MOVED = "TL002"
# A warning that comes with a commit which stopped waiting for the standby.
_NOT_REPLICATED = "01000"


class Head(NamedTuple):
    """The end of a shard's log as committed."""

    position: int
    chain: bytes
    appended_at_us: int  # microseconds since 2000-01-01, 0 on an empty log


class Ownership(NamedTuple):
    """What a writer holds of a shard."""

    shard: int
    generation: int
    fence: UUID


class StaleFenceError(RuntimeError):
    """Another writer took the shards: this one must stop, and not take them back."""

    def __init__(self, shards: Sequence[int]) -> None:
        super().__init__(f"another writer holds shard {', '.join(map(str, shards))}")
        self.shards = tuple(shards)


class UncertainCommitError(psycopg.OperationalError):
    """The commit was cancelled while it waited for the standby: it may be lost in a failover."""


class Expectation(NamedTuple):
    """What must still be true of a shard for an append to happen."""

    shard: int
    fence: UUID
    head: int


# On another timeline the server may lack commits that nobody here remembers: a new generation,
# in the statement that notes the timeline, so that no crash comes in between.
_TAKE = """
INSERT INTO delivery_shards AS d (shard, generation, fence, timeline)
VALUES (%(shard)s, (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint, %(fence)s, current_timeline())
ON CONFLICT (shard) DO UPDATE SET
    fence = excluded.fence,
    timeline = excluded.timeline,
    generation = CASE
        WHEN d.timeline <> excluded.timeline THEN greatest(d.generation + 1, excluded.generation)
        ELSE d.generation
    END
RETURNING generation
"""

_GENERATIONS = "SELECT shard, generation FROM delivery_shards WHERE shard = ANY(%s::smallint [])"

_HEAD = """
SELECT
    position,
    chain,
    (extract(EPOCH FROM appended_at - timestamptz '2000-01-01 00:00+00') * 1000000)::bigint
FROM events WHERE shard = %(shard)s ORDER BY position DESC LIMIT 1
"""

_BASE = "SELECT base_position, base_chain FROM delivery_shards WHERE shard = %(shard)s"

_KNOWN = "SELECT event_key, body_hash FROM events WHERE event_key = ANY(%s::uuid [])"

_SETTLED = """
WITH o AS (
    SELECT * FROM unnest(%s::smallint [], %s::smallint [], %s::bigint [])
        AS u (topic, partition, source_offset)
)

SELECT o.topic, o.partition, o.source_offset FROM o
WHERE
    EXISTS (
        SELECT FROM dead_letters AS d
        WHERE d.topic = o.topic AND d.partition = o.partition AND d.source_offset = o.source_offset
    )
    OR EXISTS (
        SELECT FROM parked AS p
        WHERE p.topic = o.topic AND p.shard = o.partition AND p.source_offset = o.source_offset
    )
    OR EXISTS (
        SELECT FROM controls AS c
        WHERE c.topic = o.topic AND c.shard = o.partition AND c.source_offset = o.source_offset
    )
"""

_CHECK = sql.SQL("SELECT check_append({shards}::smallint [], {fences}::uuid [], {heads}::bigint []);")


def take_shard(connection: psycopg.Connection, shard: int) -> Ownership:
    """Become the shard's writer: a new random fence, so whoever held it is refused from now on.

    Where the server writes another timeline than the one on which a writer
    last knew that nothing was missing, the shard begins its next generation.
    """
    fence = uuid4()
    row = connection.execute(_TAKE, {"shard": shard, "fence": fence}).fetchone()
    assert row is not None
    return Ownership(shard, row[0], fence)


def read_head(connection: psycopg.Connection, shard: int) -> Head:
    """The shard's last row, or its base when there is none."""
    row = connection.execute(_HEAD, {"shard": shard}).fetchone()
    if row is not None:
        return Head(row[0], row[1].bytes, row[2])
    base = connection.execute(_BASE, {"shard": shard}).fetchone()
    return Head(base[0], base[1].bytes, 0) if base else Head(0, ZERO_CHAIN, 0)


def known_keys(connection: psycopg.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Of these event keys, those that the log has, with their body hash."""
    rows = connection.execute(_KNOWN, ([UUID(bytes=key) for key in keys],)).fetchall()
    return {key.bytes: body.to_bytes(8, "big", signed=True) for key, body in rows}


def settled_origins(
    connection: psycopg.Connection, origins: Sequence[tuple[int, int, int]]
) -> set[tuple[int, int, int]]:
    """Of these (topic number, partition, offset), those that are dead letters, parked or obeyed already."""
    topics, partitions, offsets = map(list, zip(*origins, strict=True))
    rows = connection.execute(_SETTLED, (topics, partitions, offsets)).fetchall()
    return {(topic, partition, offset) for topic, partition, offset in rows}


def check(connection: psycopg.Connection, expected: Sequence[Expectation]) -> bytes:
    """The append's first statement, as the bytes of a query."""
    ordered = sorted(expected)
    statement = _CHECK.format(
        shards=sql.Literal([e.shard for e in ordered]),
        fences=sql.Literal([str(e.fence) for e in ordered]),
        heads=sql.Literal([e.head for e in ordered]),
    )
    return statement.as_bytes(connection)


def append(connection: psycopg.Connection, expected: Sequence[Expectation], copies: Sequence[CopyIn]) -> None:
    """Check and copy in one transaction and one round trip.

    Raises StaleFenceError, or psycopg's error: HEAD_MOVED in `sqlstate` when
    a head is not where it was, UniqueViolation when a key is there already.
    The transaction is rolled back unless the connection broke; then the
    outcome of a COMMIT under way is unknown, and comparing heads tells.
    """
    try:
        _commit(connection, b"BEGIN;" + check(connection, expected), copies)
    except psycopg.Error as error:
        roll_back(connection)
        raise_if_fenced(error, expected)
        raise


def lock_and_look_up(
    connection: psycopg.Connection, expected: Sequence[Expectation], keys: Sequence[bytes]
) -> dict[bytes, bytes]:
    """Open the append's transaction: lock, prove, then look keys up; `finish` or `roll_back` ends it."""
    try:
        connection.execute("BEGIN")
        connection.execute(check(connection, expected), prepare=False)
        return known_keys(connection, keys) if keys else {}
    except psycopg.Error as error:
        roll_back(connection)
        raise_if_fenced(error, expected)
        raise


def finish(connection: psycopg.Connection, copies: Sequence[CopyIn]) -> None:
    """End a transaction that `lock_and_look_up` opened."""
    try:
        _commit(connection, b"", copies)
    except psycopg.Error:
        roll_back(connection)
        raise


def _commit(connection: psycopg.Connection, head: bytes, copies: Sequence[CopyIn]) -> None:
    """Run `head` and the copies and commit; raise UncertainCommitError when only this server has it."""
    doubts: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.sqlstate == _NOT_REPLICATED:
            doubts.append(diagnostic.message_primary or "")

    connection.add_notice_handler(note)
    try:
        run(connection, head, copies, b"COMMIT")
    finally:
        connection.remove_notice_handler(note)
    if doubts:
        raise UncertainCommitError(f"the commit did not wait for the standby: {doubts[0]}")


def generations(connection: psycopg.Connection, shards: Sequence[int]) -> dict[int, int]:
    """The life of each shard's log as readers know it."""
    return dict(connection.execute(_GENERATIONS, (list(shards),)).fetchall())


def roll_back(connection: psycopg.Connection) -> None:
    """End whatever is open; a broken connection has nothing open."""
    try:
        connection.execute("ROLLBACK", prepare=False)
    except psycopg.Error:
        connection.close()


def raise_if_fenced(error: psycopg.Error, expected: Sequence[Expectation]) -> None:
    if error.sqlstate == FENCED:
        raise StaleFenceError([e.shard for e in expected]) from error
