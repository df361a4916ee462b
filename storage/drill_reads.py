"""What a drill compares: the event keys of a shard up to Kafka's cut, and how old an event is."""

from collections.abc import Mapping
from datetime import datetime

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from storage.connect import PLANS_TO_AVOID, connect

_KEYS = """
SELECT e.event_key FROM events AS e
INNER JOIN unnest(%(topics)s::smallint [], %(ends)s::bigint []) AS c (topic, until) ON c.topic = e.topic
WHERE e.shard = %(shard)s AND e.source_offset < c.until
"""

_APPENDED_AT = "SELECT appended_at FROM events WHERE shard = %(shard)s AND position = %(position)s"


def open_reader(dsn: str) -> psycopg.Connection:
    """A connection that reads for as long as it takes."""
    connection = connect(dsn, "touchline-drill")
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET transaction_timeout = 0")
    # It reads everything: the planner may choose how.
    for plan in PLANS_TO_AVOID:
        connection.execute(psycopg.sql.SQL("SET {} = on").format(psycopg.sql.Identifier(plan)))
    return connection


def keys_until(connection: psycopg.Connection, shard: int, ends: Mapping[int, int]) -> set[bytes]:
    """The keys of a shard's events that came from before these offsets (topic number -> offset)."""
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader("uuid", ByteaBinaryLoader)
        cursor.execute(_KEYS, {"shard": shard, "topics": list(ends), "ends": list(ends.values())})
        return {row[0] for row in cursor}


def appended_at(connection: psycopg.Connection, shard: int, position: int) -> datetime | None:
    """When an event was appended; None where there is none."""
    row = connection.execute(_APPENDED_AT, {"shard": shard, "position": position}).fetchone()
    return None if row is None else row[0]
