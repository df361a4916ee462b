"""The SQLite files of a Bytewax recovery store.

Never import this in a dataflow process: Bytewax brings an SQLite of its own,
and closing a file through a second one drops the locks of the first.

Whatever is read is checked, as a damaged file may answer anything: each
error is one of `storage.store_errors`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from storage.store_errors import (
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreIncompleteError,
    StoreMissingError,
    StoreMixedError,
    StoreUnreadableError,
)
from storage.store_file import StoreFile

_FIRST_EPOCH = 1  # where Bytewax starts in an empty store
# Bytewax makes all partitions of a store within milliseconds.
_MADE_WITHIN = timedelta(minutes=1)
_LOOKS = 3
# A thousand flow epochs a second for as long as there are stadiums.
_LARGEST_NUMBER = 2**53

_PARTS = "SELECT part_index, part_count, created_at FROM parts"
_EXECUTIONS = "SELECT ex_num, worker_count, resume_epoch FROM exs"
_FRONTIERS = "SELECT ex_num, worker_index, worker_frontier FROM fronts"
_COMMITS = "SELECT part_index, commit_epoch FROM commits"
_COUNT = "SELECT count(*) FROM snaps WHERE snap_epoch >= ?"
_DELETE = "DELETE FROM snaps WHERE snap_epoch >= ?"


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
    collected: int = 0  # up to and with this flow epoch only the newest snapshot of a key is kept

    @property
    def resume_epoch(self) -> int:
        """Where the next execution resumes: the first flow epoch that not every worker closed."""
        if self.last is None:
            return _FIRST_EPOCH
        resumed = self.last.resume_epoch
        return min(max(resumed, self.frontiers.get(i, 0)) for i in range(self.last.workers))

    @property
    def oldest_epoch(self) -> int:
        """The first flow epoch that it could still resume at without losing state.

        One more than Bytewax would accept: at the collected epoch itself, the
        snapshots that a resume needs are deleted already.
        """
        return min(max(self.collected + 1, _FIRST_EPOCH), self.resume_epoch)

    def rows_from(self, epoch: int) -> int:
        """How many snapshot rows are of this flow epoch or later."""
        rows = 0
        for path in self.files.values():
            with StoreFile(path) as file:
                rows += sum(count for (count,) in file.rows(_COUNT, (int,), epoch))
        return rows


class _Read:
    """What the files of a store say, put together."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[int, Path] = {}
        self.counts: set[int] = set()
        self.made: list[datetime] = []
        self.executions: dict[int, Execution] = {}
        self.frontiers: list[tuple[int, int, int]] = []
        self.commits: dict[int, int] = {}

    def add(self, file: StoreFile) -> None:
        parts = file.rows(_PARTS, (int, int, str))
        if not parts:
            raise StoreDamagedError(self.directory, f"{file.path.name} does not say which partition it is")
        for index, count, made in parts:
            if index in self.files:
                raise StoreMixedError(
                    self.directory,
                    f"partition {index} is in {self.files[index].name} and in {file.path.name}",
                )
            self.files[index] = file.path
            self.counts.add(count)
            self.made.append(file.moment(made))
        for number, workers, resumes in file.rows(_EXECUTIONS, (int, int, int)):
            if number in self.executions:
                raise StoreMixedError(self.directory, f"execution {number} began twice")
            self.executions[number] = Execution(number, workers, resumes)
        self.frontiers += file.rows(_FRONTIERS, (int, int, int))
        self.commits.update(file.rows(_COMMITS, (int, int)))

    def whole(self) -> Store:
        """The store; raise by name when the files do not belong together."""
        if len(self.counts) != 1:
            reason = f"its partitions disagree on their number: {sorted(self.counts)}"
            raise StoreMixedError(self.directory, reason)
        count = self.counts.pop()
        # Not range(count) as a set: a damaged count may be anything.
        if count != len(self.files) or max(self.files) >= count:
            missing = [index for index in range(min(count, 1024)) if index not in self.files]
            raise StoreIncompleteError(self.directory, missing)
        if max(self.made) - min(self.made) > _MADE_WITHIN:
            raise StoreMixedError(self.directory, "its partitions were made at different times")
        last = max(self.executions.values(), default=None)
        self._check_numbers()
        self._check_executions(last)
        store = Store(
            self.files, last, _furthest(last, self.frontiers), max(self.commits.values(), default=0)
        )
        if store.collected > store.resume_epoch:
            ahead = sorted(index for index, epoch in self.commits.items() if epoch > store.resume_epoch)
            reason = (
                f"partitions {ahead} have collected flow epoch {store.collected}, but the store resumes"
                f" at {store.resume_epoch}: they are from another moment"
            )
            raise StoreMixedError(self.directory, reason)
        return store

    def _check_numbers(self) -> None:
        """Bytewax counts on from what it finds: at the end of its range each start would fail."""
        numbers = [
            *(number for execution in self.executions.values() for number in execution),
            *(number for frontier in self.frontiers for number in frontier),
            *self.commits.values(),
        ]
        if max(numbers, default=0) > _LARGEST_NUMBER:
            raise StoreDamagedError(self.directory, f"it counts up to {max(numbers):,}")

    def _check_executions(self, last: Execution | None) -> None:
        """Every frontier is of an execution that began in this store."""
        strange = {number for number, _, _ in self.frontiers} - self.executions.keys()
        if strange:
            raise StoreMixedError(
                self.directory, f"execution {min(strange)} went on here and began elsewhere"
            )
        # A worker count is checked by what it makes: nobody runs so many.
        if last is not None and not 0 < last.workers <= 4096:
            raise StoreDamagedError(self.directory, f"execution {last.number} had {last.workers} workers")


def read_store(directory: Path, check: bool = False) -> Store:
    """Read all partitions; raise a StoreError when they are not one whole store.

    `check` has SQLite go through every page and index. A path to one file
    reads that as a store of one partition.
    """
    for _ in range(_LOOKS - 1):
        try:
            return _read(directory, check)
        except StoreMixedError:
            # A lane that runs may collect in one file what was read in another before.
            continue
    return _read(directory, check)


def _read(directory: Path, check: bool) -> Store:
    found = _Read(directory)
    for path in _partitions(directory):
        with StoreFile(path, directory) as file:
            if check:
                file.check()
            found.add(file)
    return found.whole()


def _partitions(directory: Path) -> list[Path]:
    try:
        if directory.is_file():
            return [directory]
        files = sorted(directory.glob("*.sqlite3")) if directory.is_dir() else []
        if files:
            return files
        if not directory.exists():
            raise StoreMissingError(directory, "there is no such directory")
        if not directory.is_dir():
            raise StoreForeignError(directory, "neither a directory nor a file")
        if any(directory.iterdir()):
            raise StoreForeignError(directory, "there are other things in it, and no partition")
    except OSError as error:
        raise StoreUnreadableError(directory, str(error)) from error
    raise StoreMissingError(directory, "it is empty")


def _furthest(last: Execution | None, frontiers: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    furthest: dict[int, int] = {}
    for execution, worker, frontier in frontiers:
        if last is not None and execution == last.number:
            furthest[worker] = max(frontier, furthest.get(worker, 0))
    return furthest


def delete_unclosed(store: Store) -> int:
    """Delete the snapshot rows of flow epochs that never closed; return how many."""
    deleted = 0
    for path in store.files.values():
        with StoreFile(path, mode="rw") as file:
            deleted += file.write(_DELETE, store.resume_epoch)
    return deleted


__all__ = ["Execution", "Store", "StoreDamagedError", "StoreError", "delete_unclosed", "read_store"]
