"""What an archive of the write-ahead log asks of the primary: who it is, its slot, how far it is."""

from datetime import datetime
from typing import NamedTuple

import psycopg


class ServerIdentity(NamedTuple):
    """Which database cluster this is, and which of its histories it writes."""

    system_id: int
    timeline: int
    segment_bytes: int
    version: str
    now: datetime


class ArchiveProgress(NamedTuple):
    """Log positions in bytes; `received` is None while no receiver is connected."""

    written: int
    received: int | None


# A segment's name begins with the timeline that it belongs to.
_IDENTITY = """
SELECT
    s.system_identifier, ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::integer,
    current_setting('wal_segment_size'), current_setting('server_version'), clock_timestamp()
FROM pg_control_system() AS s
"""

# A server with max_slot_wal_keep_size gives up a slot that falls further behind.
_SLOT = """
SELECT wal_status IS NOT DISTINCT FROM 'lost' FROM pg_replication_slots WHERE slot_name = %s
"""

_KEPT_FROM = "SELECT restart_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"

# Reserved at once: what is written from now on stays until it was received.
_CREATE_SLOT = "SELECT pg_create_physical_replication_slot(%s, true)"

_DROP_SLOT = "SELECT pg_drop_replication_slot(%s)"

_RELEASE_SLOT = """
SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
WHERE slot_name = %s AND active_pid IS NOT NULL
"""

_PROGRESS = """
SELECT
    pg_current_wal_flush_lsn() - '0/0'::pg_lsn,
    (
        SELECT r.flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots AS s
        INNER JOIN pg_stat_replication AS r ON r.pid = s.active_pid
        WHERE s.slot_name = %s
    )
"""

_SEGMENT_BYTES = "SELECT pg_size_bytes(%s)"


def identify(connection: psycopg.Connection) -> ServerIdentity:
    """Ask the server who it is."""
    row = connection.execute(_IDENTITY).fetchone()
    assert row is not None
    size = connection.execute(_SEGMENT_BYTES, (row[2],)).fetchone()
    assert size is not None
    return ServerIdentity(row[0], row[1], size[0], row[3], row[4])


def ensure_slot(connection: psycopg.Connection, name: str) -> bool:
    """Make the slot when it is missing or lost, free it of whoever holds it; return whether it was made."""
    found = connection.execute(_SLOT, (name,)).fetchone()
    if found is not None and not found[0]:
        connection.execute(_RELEASE_SLOT, (name,))
        return False
    if found is not None:
        connection.execute(_DROP_SLOT, (name,))
    connection.execute(_CREATE_SLOT, (name,))
    return True


def kept_from(connection: psycopg.Connection, name: str) -> int | None:
    """From where on the server keeps its log for a slot; None when there is no slot, or it is lost."""
    row = connection.execute(_KEPT_FROM, (name,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def drop_slot(connection: psycopg.Connection, name: str) -> bool:
    """Let the server throw away what it kept for the archive; return whether there was a slot."""
    if connection.execute(_SLOT, (name,)).fetchone() is None:
        return False
    connection.execute(_RELEASE_SLOT, (name,))
    connection.execute(_DROP_SLOT, (name,))
    return True


def progress(connection: psycopg.Connection, slot: str) -> ArchiveProgress:
    """How far the server has written, and how far the slot's receiver has it on disk."""
    row = connection.execute(_PROGRESS, (slot,)).fetchone()
    assert row is not None
    return ArchiveProgress(int(row[0]), None if row[1] is None else int(row[1]))
