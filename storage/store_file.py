"""One partition of a recovery store, opened so that a damaged one can do no harm."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from storage.store_errors import StoreDamagedError, StoreError, StoreForeignError, StoreUnreadableError

SQLITE_VERSION = sqlite3.sqlite_version  # this process's; Bytewax brings its own

_BUSY_SECONDS = 10.0
# A healthy file shows none; more than a few say nothing new.
_DAMAGES_SHOWN = 3
_MAGIC = b"SQLite format 3\x00"
# Not damage: the file could not be had now.
_UNREADABLE = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_READONLY",
    "SQLITE_FULL",
)

# What the migrations of Bytewax 0.21.1 make, to the letter but for white space. Bytewax works on whatever
# has these names: a view gives it rows that nobody stored, a trigger changes what it writes, a check or a
# generated column fails each write.
_SCHEMA = {
    "parts": "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " part_index INTEGER PRIMARY KEY NOT NULL CHECK (part_index >= 0),"
    " part_count INTEGER NOT NULL CHECK (part_count > 0),"
    " CHECK (part_index < part_count)",
    "exs": "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " ex_num INTEGER NOT NULL PRIMARY KEY,"
    " worker_count INTEGER NOT NULL CHECK (worker_count > 0),"
    " resume_epoch INTEGER NOT NULL",
    "fronts": "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " ex_num INTEGER NOT NULL,"
    " worker_index INTEGER NOT NULL CHECK (worker_index >= 0),"
    " worker_frontier INTEGER NOT NULL,"
    " PRIMARY KEY (ex_num, worker_index)",
    "commits": "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " part_index INTEGER PRIMARY KEY NOT NULL,"
    " commit_epoch INTEGER NOT NULL",
    "snaps": "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " step_id TEXT NOT NULL,"
    " state_key TEXT NOT NULL,"
    " snap_epoch INTEGER NOT NULL,"
    " ser_change BLOB,"
    " PRIMARY KEY (step_id, state_key, snap_epoch)",
}
_OBJECTS = {
    ("table", name, name, f"CREATE TABLE {name} ( {columns} ) STRICT") for name, columns in _SCHEMA.items()
} | {("index", f"sqlite_autoindex_{name}_1", name, "") for name in ("fronts", "snaps")}
# Cut: a damaged file may hold anything there, and no text of ours is longer.
_MASTER = """
SELECT type, name, tbl_name, CASE WHEN length(sql) < 2000 THEN sql ELSE coalesce(substr(sql, 1, 80), '') END
FROM sqlite_master LIMIT 100
"""
# A state has at most 64 MB (storage.plain_pickle); a longer value is never brought into memory.
_LONGEST_VALUE = 128 * 1024 * 1024


class StoreFile:
    """A connection to one file; every error names the store that the file belongs to."""

    def __init__(self, path: Path, store: Path | None = None, mode: Literal["ro", "rw"] = "ro") -> None:
        self.path = path
        self._store = store or path.parent
        self._mode = mode
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        self._look_at_file()
        with self._named():
            uri = f"file:{quote(str(self.path))}?mode={self._mode}"
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._begin()
            except BaseException:
                self._connection.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        with self._named():
            if self._connection.in_transaction:
                self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
            self._connection.close()

    def _look_at_file(self) -> None:
        """What SQLite would take for a new database, or not say clearly."""
        try:
            if not self.path.is_file():
                raise StoreForeignError(self._store, f"{self.path.name} is no file")
            with self.path.open("rb") as file:
                begins = file.read(len(_MAGIC))
        except OSError as error:
            raise StoreUnreadableError(self._store, f"{self.path.name}: {error}") from error
        if not begins:
            raise StoreDamagedError(self._store, f"{self.path.name} is empty")
        if begins != _MAGIC:
            raise StoreDamagedError(self._store, f"{self.path.name} is not a database of SQLite")

    def _begin(self) -> None:
        """One snapshot for all that is read, of tables that are Bytewax's and of nothing besides."""
        connection = self._used()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")  # a file that is cut short under a map ends the process
        connection.execute("BEGIN" if self._mode == "ro" else "BEGIN IMMEDIATE")
        there = {
            (kind, name, of, " ".join(sql.split())) for kind, name, of, sql in connection.execute(_MASTER)
        }
        missing = _SCHEMA.keys() - {name for kind, name, _, _ in there if kind == "table"}
        if missing:
            raise StoreForeignError(
                self._store,
                f"{self.path.name} is a database of something else: no table {min(missing)!r} as Bytewax's",
            )
        strange = there - _OBJECTS
        if strange or there != _OBJECTS:
            kind, name, _, _ = min(strange or _OBJECTS - there)
            raise self._damaged(f"its {kind} {name!r:.80} is not as Bytewax makes it")

    def check(self) -> None:
        """Have SQLite go through every page and index; raise StoreDamagedError."""
        with self._named():
            said = [str(row[0]) for row in self._used().execute("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise self._damaged("; ".join(said[:_DAMAGES_SHOWN]) or "SQLite finds nothing in it")

    def rows(self, query: str, kinds: tuple[type | tuple[type, ...], ...], *arguments: object) -> list[Any]:
        """The rows of a query, each value of the kind that Bytewax writes; no number is negative."""
        return list(self.each(query, kinds, *arguments))

    def each(
        self, query: str, kinds: tuple[type | tuple[type, ...], ...], *arguments: object
    ) -> Iterator[tuple[Any, ...]]:
        """The same, one by one."""
        with self._named():
            for row in self._used().execute(query, arguments):
                for value, kind in zip(row, kinds, strict=True):
                    if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
                        raise self._damaged(f"it holds {value!r:.80} where Bytewax never writes that")
                yield row

    def write(self, statement: str, *arguments: object) -> int:
        """Run a statement, committed when the file is left; return how many rows it changed."""
        with self._named():
            return self._used().execute(statement, arguments).rowcount

    def copy_to(self, path: Path) -> None:
        """Write a compact copy of the file as it is now."""
        with self._named():
            connection = self._used()
            # VACUUM INTO is a read of its own, one snapshot too, and refuses an open transaction.
            connection.execute("ROLLBACK")
            connection.execute("VACUUM INTO ?", (str(path),))
            connection.execute("BEGIN")

    def compact(self) -> None:
        """Commit, and give free pages back."""
        with self._named():
            self._used().execute("COMMIT")
            self._used().execute("VACUUM")

    def moment(self, text: str) -> datetime:
        """A stamp of SQLite's as a time."""
        try:
            return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise self._damaged(f"{text!r:.40} is no time") from error

    def _used(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _damaged(self, reason: str) -> StoreDamagedError:
        return StoreDamagedError(self._store, f"{self.path.name}: {reason}")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what SQLite says into an error that names the store."""
        try:
            yield
        except StoreError:
            raise
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            if code.startswith(_UNREADABLE):
                raise StoreUnreadableError(self._store, f"{self.path.name}: {error}") from error
            raise self._damaged(str(error)) from error
        except (OverflowError, UnicodeError, MemoryError) as error:
            raise self._damaged(str(error) or type(error).__name__) from error
