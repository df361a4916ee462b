"""Bring a database to the newest version of the schema.

Plain SQL files, applied in order, each in a transaction of its own, under
one advisory lock, so that any number of starting processes may call it.
"""

from hashlib import sha256
from pathlib import Path

import psycopg

from storage.connect import connect

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_011_978_431  # any number, as long as nobody else takes it

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationChangedError(RuntimeError):
    """A migration that a database already has was edited afterwards."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} differs from what this database was migrated with: add a new file instead")
        self.name = name


def migrate(dsn: str) -> list[str]:
    """Apply what is missing; return the names applied. A crash leaves whole migrations only."""
    with connect(dsn, "touchline-migrate") as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(_CREATE)
        applied: list[str] = []
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if _apply(connection, path):
                applied.append(path.name)
        return applied


def _apply(connection: psycopg.Connection, path: Path) -> bool:
    text = path.read_text()
    digest = sha256(text.encode()).hexdigest()
    version = int(path.name.partition("_")[0])
    known = connection.execute(
        "SELECT digest FROM schema_migrations WHERE version = %s", (version,)
    ).fetchone()
    if known is not None:
        if known[0] != digest:
            raise MigrationChangedError(path.name)
        return False
    with connection.transaction():
        connection.execute(text, prepare=False)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
            (version, path.name, digest),
        )
    return True
