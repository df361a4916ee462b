"""Who writes which shard, as the database sees it: sessions, fences, and where each log ends."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from schemas.partitioning import partition_of

# The session that appends; the lane follows as i/n.
WRITER = "touchline-enrich-writer"

_SHARDS = """
SELECT s.shard, d.generation, d.fence, coalesce(h.position, d.base_position, 0), h.appended_at
FROM generate_series(0, %s::integer - 1) AS s (shard)
LEFT JOIN delivery_shards AS d ON d.shard = s.shard
LEFT JOIN LATERAL (
    SELECT e.position, e.appended_at FROM events AS e
    WHERE e.shard = s.shard ORDER BY e.position DESC LIMIT 1
) AS h ON true
ORDER BY s.shard
"""

# A lane owns shards before anything comes: only those with events are the log's.
_LAST_SHARD = """
SELECT max(d.shard) FROM delivery_shards AS d
WHERE EXISTS (SELECT FROM events AS e WHERE e.shard = d.shard)
"""

# By another number of shards most matches would be elsewhere: a few are enough to tell.
_SOME_MATCHES = "SELECT match, shard FROM matches LIMIT 20"

_SESSIONS = """
SELECT application_name, coalesce(host(client_addr), 'local'), backend_start FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, %s) ORDER BY application_name, pid
"""


class ShardsNotOfLogError(RuntimeError):
    """TOUCHLINE_SHARDS is not what the log was written with: matches would change their shards."""

    def __init__(self, shards: int, detail: str) -> None:
        super().__init__(
            f"TOUCHLINE_SHARDS is {shards}, but {detail}. The count is fixed for the life of an installation:"
            " set it to what it was."
        )
        self.shards = shards


class ShardOwner(NamedTuple):
    """A shard and its last owner; all None while it has never had one."""

    shard: int
    generation: int | None
    fence: UUID | None
    position: int
    appended_at: datetime | None


class Session(NamedTuple):
    """A lane's session that appends; `lane` is i/n, empty when it does not say."""

    lane: str
    address: str
    since: datetime


def shard_owners(connection: psycopg.Connection, shards: int) -> list[ShardOwner]:
    """Every shard of an installation, in order."""
    return [ShardOwner(*row) for row in connection.execute(_SHARDS, (shards,))]


def check_shards(connection: psycopg.Connection, shards: int) -> None:
    """Raise ShardsNotOfLogError where the log was written with another number of shards."""
    row = connection.execute(_LAST_SHARD).fetchone()
    if row is not None and row[0] is not None and row[0] >= shards:
        raise ShardsNotOfLogError(shards, f"the log has shard {row[0]}")
    for match, shard in connection.execute(_SOME_MATCHES):
        home = partition_of(match, shards)
        if home != shard:
            raise ShardsNotOfLogError(shards, f"the log has match {match} in shard {shard}, not in {home}")


def lane_sessions(connection: psycopg.Connection) -> list[Session]:
    """The lanes that are connected to write, wherever they run."""
    rows = connection.execute(_SESSIONS, (WRITER,))
    return [Session(name.removeprefix(WRITER).strip(), address, since) for name, address, since in rows]
