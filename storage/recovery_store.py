"""The SQLite files of a Bytewax recovery store.

Never import this in a dataflow process: Bytewax brings an SQLite of its own,
and closing a file through a second one drops the locks of the first.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

_FIRST_EPOCH = 1  # where Bytewax starts in an empty store
_BUSY_SECONDS = 10.0

_PARTS = "SELECT part_index, part_count FROM parts"
_EXECUTIONS = "SELECT ex_num, worker_count, resume_epoch FROM exs"
_FRONTIERS = "SELECT ex_num, worker_index, worker_frontier FROM fronts"
_COUNT = "SELECT count(*) FROM snaps WHERE snap_epoch >= ?"
_DELETE = "DELETE FROM snaps WHERE snap_epoch >= ?"


class StoreDamagedError(RuntimeError):
    """A recovery store is incomplete or mixed from several."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"{directory}: {reason}")
        self.directory = directory
        self.reason = reason


class Execution(NamedTuple):
    """One run of the dataflow: its workers and the flow epoch it resumed at."""

    number: int
    workers: int
    resume_epoch: int


class Store(NamedTuple):
    """The partitions of a store and how far its last execution came."""

    files: dict[int, Path]
    last: Execution | None
    frontiers: dict[int, int]  # worker -> first flow epoch that it has not closed

    @property
    def resume_epoch(self) -> int:
        """Where the next execution resumes: the first flow epoch that not every worker closed."""
        if self.last is None:
            return _FIRST_EPOCH
        resumed = self.last.resume_epoch
        return min(max(resumed, self.frontiers.get(i, 0)) for i in range(self.last.workers))

    def rows_from(self, epoch: int) -> int:
        """How many snapshot rows are of this flow epoch or later."""
        rows = 0
        for file in self.files.values():
            with closing(_open(file, "ro")) as connection:
                rows += connection.execute(_COUNT, (epoch,)).fetchone()[0]
        return rows


def read_store(directory: Path) -> Store:
    """Read all partitions; raise StoreDamagedError when they are not one whole store."""
    files: dict[int, Path] = {}
    counts: set[int] = set()
    executions: list[Execution] = []
    frontiers: list[tuple[int, int, int]] = []
    for file in sorted(directory.glob("*.sqlite3")):
        with closing(_open(file, "ro")) as connection:
            try:
                for index, count in connection.execute(_PARTS):
                    files[index] = file
                    counts.add(count)
                executions += [Execution(*row) for row in connection.execute(_EXECUTIONS)]
                frontiers += connection.execute(_FRONTIERS).fetchall()
            except sqlite3.DatabaseError as error:
                raise StoreDamagedError(directory, f"{file.name}: {error}") from error
    if len(counts) != 1:
        raise StoreDamagedError(directory, f"its partitions disagree on their number: {sorted(counts)}")
    missing = set(range(counts.pop())) - set(files)
    if missing:
        raise StoreDamagedError(directory, f"partitions {sorted(missing)} are missing")
    last = max(executions, default=None)
    return Store(files, last, _furthest(last, frontiers))


def _furthest(last: Execution | None, frontiers: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    furthest: dict[int, int] = {}
    for execution, worker, frontier in frontiers:
        if last is not None and execution == last.number:
            furthest[worker] = max(frontier, furthest.get(worker, 0))
    return furthest


def delete_unclosed(store: Store) -> int:
    """Delete the snapshot rows of flow epochs that never closed; return how many."""
    deleted = 0
    for file in store.files.values():
        with closing(_open(file, "rw")) as connection, connection:
            deleted += connection.execute(_DELETE, (store.resume_epoch,)).rowcount
    return deleted


def _open(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)
