"""Whether the log still has what its writer saw committed: a failover or a restore may have taken it.

A commit holds events, whose chain proves all events before them, or it
leaves a commit token, which proves all commits without events before it.
The log loses the last commits first, so the last of both proves everything.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import psycopg

from storage.append import Ownership, StaleFenceError

TOKEN_BYTES = 16
# Of a shard: far more than lie between a snapshot that is restored and now.
_TOKENS_KEPT = 100_000


class CommitToken(NamedTuple):
    """A proof of the commits of a shard that hold none of its events; number 0 before the first."""

    number: int
    token: bytes


NO_TOKEN = CommitToken(0, bytes(TOKEN_BYTES))


class Committed(NamedTuple):
    """The head and the last commit token of a shard, as its writer saw them committed."""

    position: int
    chain: bytes
    token: CommitToken = NO_TOKEN
    generation: int = 0  # 0 when a snapshot of an earlier release does not say


class ShardHistory(NamedTuple):
    """A shard as the database has it, beside what its writer saw."""

    shard: int
    generation: int  # 0: the database does not know the shard
    timeline: int | None  # on which a writer last knew that nothing was missing
    position: int  # of the head
    token_number: int  # of the last commit token
    has_events: bool  # whether the writer's chain is at the writer's position
    has_token: bool  # whether the writer's commit token is there, or was pruned


class History(NamedTuple):
    """The shards of a writer in one snapshot; `timeline` is the server's, None on a standby."""

    timeline: int | None
    shards: list[ShardHistory]


_TIMELINE = "SELECT current_timeline()"

_HISTORY = """
SELECT
    a.shard, coalesce(d.generation, 0), d.timeline,
    coalesce(h.position, d.base_position, 0), coalesce(l.number, 0),
    CASE
        WHEN a.position > coalesce(d.base_position, 0) THEN e.chain IS NOT NULL AND e.chain = a.chain
        WHEN a.position = d.base_position THEN d.base_chain = a.chain
        ELSE true
    END,
    a.number = 0 OR coalesce(k.token = a.token, a.number < f.number, false)
FROM
    unnest(%(shards)s::smallint [], %(positions)s::bigint [], %(chains)s::uuid [],
        %(numbers)s::bigint [], %(tokens)s::uuid [])
        AS a (shard, position, chain, number, token)
LEFT JOIN delivery_shards AS d ON d.shard = a.shard
LEFT JOIN LATERAL (
    SELECT r.position FROM events AS r WHERE r.shard = a.shard ORDER BY r.position DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT r.chain FROM events AS r WHERE r.shard = a.shard AND r.position = a.position
) AS e ON true
LEFT JOIN LATERAL (
    SELECT t.token FROM commit_tokens AS t WHERE t.shard = a.shard AND t.number = a.number
) AS k ON true
LEFT JOIN LATERAL (
    SELECT t.number FROM commit_tokens AS t WHERE t.shard = a.shard ORDER BY t.number LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT t.number FROM commit_tokens AS t WHERE t.shard = a.shard ORDER BY t.number DESC LIMIT 1
) AS l ON true
"""

_FORGOTTEN = """
SELECT a.name FROM unnest(%s::text [], %s::smallint []) AS a (name, topic)
WHERE NOT EXISTS (SELECT FROM topics AS t WHERE t.topic = a.topic AND t.name = a.name)
ORDER BY a.name
"""

_LAST = """
SELECT number, token FROM commit_tokens WHERE shard = %s ORDER BY number DESC LIMIT 1
"""

# Above the writer's own generation too: the database may have lost that one.
_RAISE = """
UPDATE delivery_shards AS d
SET
    generation = greatest(
        d.generation + 1, o.generation + 1, (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint
    ),
    timeline = current_timeline()
FROM unnest(%(shards)s::smallint [], %(fences)s::uuid [], %(generations)s::bigint [])
    AS o (shard, fence, generation)
WHERE d.shard = o.shard AND d.fence = o.fence
RETURNING d.shard, d.generation
"""

_NOTE_TIMELINE = """
UPDATE delivery_shards AS d SET timeline = current_timeline()
FROM unnest(%(shards)s::smallint [], %(fences)s::uuid []) AS o (shard, fence)
WHERE d.shard = o.shard AND d.fence = o.fence
"""

_PRUNE = """
DELETE FROM commit_tokens WHERE shard = %(shard)s AND number < (
    SELECT max(t.number) - %(kept)s FROM commit_tokens AS t WHERE t.shard = %(shard)s
)
"""


def next_token(last: CommitToken, holds: Iterable[bytes]) -> CommitToken:
    """The token of a commit without events, over what it holds."""
    digest = blake2b(last.token, digest_size=TOKEN_BYTES)
    for part in holds:
        digest.update(len(part).to_bytes(4, "big") + part)
    return CommitToken(last.number + 1, digest.digest())


def read_history(connection: psycopg.Connection, known: Mapping[int, Committed]) -> History:
    """Look up what the writer saw committed of each shard, in one snapshot."""
    timeline = connection.execute(_TIMELINE).fetchone()
    assert timeline is not None
    seen = known.values()
    rows = connection.execute(
        _HISTORY,
        {
            "shards": list(known),
            "positions": [each.position for each in seen],
            "chains": [UUID(bytes=each.chain) for each in seen],
            "numbers": [each.token.number for each in seen],
            "tokens": [UUID(bytes=each.token.token) for each in seen],
        },
    )
    return History(timeline[0], [ShardHistory(*row) for row in rows])


def forgotten_topics(connection: psycopg.Connection, numbers: Mapping[str, int]) -> list[str]:
    """The topics whose number the database has forgotten, and may give to another one."""
    rows = connection.execute(_FORGOTTEN, (list(numbers), list(numbers.values())))
    return [name for (name,) in rows]


def last_token(connection: psycopg.Connection, shard: int) -> CommitToken:
    """The shard's last commit token."""
    row = connection.execute(_LAST, (shard,)).fetchone()
    return NO_TOKEN if row is None else CommitToken(row[0], row[1].bytes)


def raise_generations(connection: psycopg.Connection, owned: Sequence[Ownership]) -> dict[int, int]:
    """Begin the next generation of each shard: the log no longer holds what was read from it before.

    All of them in one transaction. Raises StaleFenceError when another writer
    holds one; the others have begun theirs all the same.
    """
    rows = connection.execute(
        _RAISE,
        {
            "shards": [each.shard for each in owned],
            "fences": [each.fence for each in owned],
            "generations": [each.generation for each in owned],
        },
    )
    raised: dict[int, int] = dict(rows.fetchall())
    if stale := [each.shard for each in owned if each.shard not in raised]:
        raise StaleFenceError(stale)
    return raised


def note_timeline(connection: psycopg.Connection, owned: Sequence[Ownership]) -> None:
    """Note that nothing was missing on this server's timeline; a shard that another one holds is left out."""
    connection.execute(
        _NOTE_TIMELINE, {"shards": [each.shard for each in owned], "fences": [each.fence for each in owned]}
    )


def prune_tokens(connection: psycopg.Connection, shard: int) -> None:
    """Drop the oldest commit tokens of a shard."""
    connection.execute(_PRUNE, {"shard": shard, "kept": _TOKENS_KEPT})
