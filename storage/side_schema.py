"""A schema of its own beside the log: what another fold would make of it, to look at and to drop.

Nothing of the platform reads it. Its tables are unlogged: no WAL and no
standby pays for them, and a crash of the server empties them.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

from psycopg import sql

from storage.frozen import connect_unhurried

PREFIX = "replay_"

_CREATE = sql.SQL("CREATE SCHEMA {}")

# The first columns of `events` and `images`, so that a join shows both side by side.
_TABLES = (
    sql.SQL("""
    CREATE UNLOGGED TABLE {}.events (
        shard smallint NOT NULL,
        position bigint NOT NULL,
        match text NOT NULL,
        seq integer NOT NULL,
        payload json NOT NULL,
        PRIMARY KEY (shard, position)
    )
    """),
    sql.SQL(
        "CREATE UNLOGGED TABLE {}.images (match text PRIMARY KEY, seq integer NOT NULL, image json NOT NULL)"
    ),
    sql.SQL("""
    CREATE UNLOGGED TABLE {}.differences (
        kind text NOT NULL,
        match text NOT NULL,
        shard smallint NOT NULL,
        position bigint NOT NULL,
        seq integer NOT NULL,
        was text NOT NULL,
        would_be text NOT NULL
    )
    """),
)

_COPY_EVENTS = sql.SQL("COPY {}.events (shard, position, match, seq, payload) FROM STDIN")
_COPY_IMAGES = sql.SQL("COPY {}.images (match, seq, image) FROM STDIN")
_COPY_DIFFERENCES = sql.SQL(
    "COPY {}.differences (kind, match, shard, position, seq, was, would_be) FROM STDIN"
)

_DROP = sql.SQL("DROP SCHEMA {} CASCADE")

_LEFT = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) ORDER BY nspname"


class SideEvent(NamedTuple):
    """A row of `events` as the other fold would have written it."""

    shard: int
    position: int
    match: str
    seq: int
    payload: str


class SideImage(NamedTuple):
    """The last image of a match."""

    match: str
    seq: int
    image: str


class SideDifference(NamedTuple):
    """One thing that would be otherwise."""

    kind: str
    match: str
    shard: int
    position: int
    seq: int
    was: str
    would_be: str


def schema_name(instant: datetime) -> str:
    """The name of a side schema that begins at a time."""
    return f"{PREFIX}{instant:%Y%m%dt%H%M%S}_{instant.microsecond // 1000:03d}"


class SideSchema:
    """Creates a schema, fills it, and drops it at the end unless it is to be kept.

    Raises psycopg.Error. A killed process leaves the schema behind:
    `left_behind` lists such.
    """

    def __init__(self, dsn: str, name: str, is_kept: bool) -> None:
        self.name = name
        self._dsn = dsn
        self._is_kept = is_kept
        self._named = sql.Identifier(name)

    def __enter__(self) -> Self:
        self._connection = connect_unhurried(self._dsn, "touchline-replay-side")
        self._connection.execute(_CREATE.format(self._named))
        for table in _TABLES:
            self._connection.execute(table.format(self._named))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._is_kept and not self._connection.closed:
                self._connection.execute(_DROP.format(self._named))
        finally:
            self._connection.close()

    def add_events(self, rows: Iterable[SideEvent]) -> None:
        self._copy(_COPY_EVENTS, rows)

    def add_images(self, rows: Iterable[SideImage]) -> None:
        self._copy(_COPY_IMAGES, rows)

    def add_differences(self, rows: Iterable[SideDifference]) -> None:
        self._copy(_COPY_DIFFERENCES, rows)

    def _copy(self, statement: sql.SQL, rows: Iterable[tuple[object, ...]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement.format(self._named)) as copy:
            for row in rows:
                copy.write_row(row)


def left_behind(dsn: str) -> list[str]:
    """Side schemas that are there, the oldest first."""
    with connect_unhurried(dsn, "touchline-replay-side") as connection:
        return [name for (name,) in connection.execute(_LEFT, (PREFIX,))]


def drop(dsn: str, name: str) -> bool:
    """Drop a side schema; whether there was one of this name."""
    if name not in left_behind(dsn):
        return False
    with connect_unhurried(dsn, "touchline-replay-side") as connection:
        connection.execute(_DROP.format(sql.Identifier(name)))
    return True
