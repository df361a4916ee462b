"""A restored database: every shard's log begins a new life there, and whoever wrote before is refused.

What was read from the database before may be gone from it now. So the
generation of every shard rises, and streams, gateways and fans that are
ahead resync; and every fence is renewed, so that a writer from before
cannot append to the restored log.
"""

from collections.abc import Mapping
from typing import NamedTuple

import psycopg


class NewLife(NamedTuple):
    """A shard whose generation rose."""

    shard: int
    before: int
    generation: int
    position: int  # of its head


_BEGIN = """
WITH old AS (SELECT shard, generation, base_position FROM delivery_shards)
UPDATE delivery_shards AS d
SET
    fence = gen_random_uuid(),
    timeline = current_timeline(),
    generation = greatest(
        d.generation + 1,
        (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint,
        (
            SELECT coalesce(max(s.generation), 0) + 1
            FROM unnest(%(shards)s::smallint [], %(generations)s::bigint []) AS s (shard, generation)
            WHERE s.shard = d.shard
        )
    )
FROM old
WHERE d.shard = old.shard
RETURNING
    d.shard, old.generation, d.generation,
    coalesce((SELECT max(e.position) FROM events AS e WHERE e.shard = d.shard), old.base_position)
"""

_IS_LOG = "SELECT to_regclass('delivery_shards') IS NOT NULL"


def begin_new_lives(connection: psycopg.Connection, seen: Mapping[int, int]) -> list[NewLife]:
    """Raise every shard's generation above what it was and what was `seen` in Redis; renew the fences.

    Done again it raises them again, which costs readers a resync and no more.
    """
    row = connection.execute(_IS_LOG).fetchone()
    if row is None or not row[0]:
        return []
    rows = connection.execute(_BEGIN, {"shards": list(seen), "generations": list(seen.values())}).fetchall()
    return sorted(NewLife(*row) for row in rows)
