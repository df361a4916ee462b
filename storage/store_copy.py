"""Copy a recovery store while its lane runs, and take a copy back to an earlier flow epoch."""

from pathlib import Path

from storage.recovery_store import Store, read_store
from storage.store_errors import PointGoneError, StoreChangedError
from storage.store_file import StoreFile

_DELETE_FROM = "DELETE FROM snaps WHERE snap_epoch >= ?"
_LOWER_FRONTIERS = "UPDATE fronts SET worker_frontier = min(worker_frontier, ?) WHERE ex_num = ?"
# An execution that resumed behind the point would otherwise still count from there.
_LOWER_RESUME = "UPDATE exs SET resume_epoch = min(resume_epoch, ?) WHERE ex_num = ?"
# As Bytewax collects: of each key the newest snapshot up to an epoch stays.
_COLLECT = """
DELETE FROM snaps AS s WHERE s.snap_epoch < (
    SELECT max(n.snap_epoch) FROM snaps AS n
    WHERE n.step_id = s.step_id AND n.state_key = s.state_key
)
"""
_COLLECTED = "UPDATE commits SET commit_epoch = ?"


def part_name(index: int) -> str:
    """The file of a partition, as Bytewax names it."""
    return f"part-{index}.sqlite3"


def copy_at(store: Store, directory: Path, into: Path) -> Store:
    """Copy a store as of the resume epoch that `store` was read with, and nothing that is not needed for it.

    The lane may go on meanwhile: each partition is copied as of one moment
    not before that epoch, and then taken back to it. Raises
    StoreChangedError when the lane has deleted what the epoch needs, or
    began anew, in between.
    """
    epoch = store.resume_epoch
    into.mkdir(parents=True)
    for index, path in store.files.items():
        with StoreFile(path, directory) as file:
            file.copy_to(into / part_name(index))
    copied = read_store(into)
    if copied.last != store.last and store.last is not None:
        raise StoreChangedError(directory, "a new execution began while it was copied")
    if copied.last is not None and copied.collected >= epoch:
        raise StoreChangedError(
            directory, f"flow epoch {epoch} was collected while it was copied (up to {copied.collected})"
        )
    take_back(copied, epoch)
    _collect(copied, epoch)
    return read_store(into, check=True)


def copy_whole(store: Store, directory: Path, into: Path) -> Store:
    """Copy a store that nobody writes to, with every point that it has."""
    into.mkdir(parents=True)
    for index, path in store.files.items():
        with StoreFile(path, directory) as file:
            file.copy_to(into / part_name(index))
    return read_store(into, check=True)


def take_back(store: Store, epoch: int) -> int:
    """Make a store resume at an earlier flow epoch; return how many snapshot rows that deleted.

    Not atomic over several partitions, so only for a copy. Raises
    PointGoneError when the store does not have the epoch any more.
    """
    if not store.oldest_epoch <= epoch <= store.resume_epoch:
        directory = next(iter(store.files.values())).parent
        raise PointGoneError(directory, epoch, store.oldest_epoch, store.resume_epoch)
    deleted = 0
    for path in store.files.values():
        with StoreFile(path, mode="rw") as file:
            deleted += file.write(_DELETE_FROM, epoch)
            if store.last is not None:
                file.write(_LOWER_FRONTIERS, epoch, store.last.number)
                file.write(_LOWER_RESUME, epoch, store.last.number)
    return deleted


def _collect(store: Store, epoch: int) -> None:
    for path in store.files.values():
        with StoreFile(path, mode="rw") as file:
            file.write(_COLLECT)
            file.write(_COLLECTED, max(0, epoch - 1))
            file.compact()
