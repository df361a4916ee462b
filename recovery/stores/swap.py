"""Put a finished store in the place of another, so that a crash leaves one or the other.

Two renames would leave a moment with no store, and a lane that starts in it
makes an empty one. Linux can exchange two names in one step.
"""

import ctypes
import errno
import os
from pathlib import Path

_CWD = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def being_made(store: Path) -> Path:
    """Where a store is put together before the swap: what is found there later is of no use."""
    return store.with_name(f"{store.name}.restoring-{os.getpid()}")


def left_over(store: Path) -> list[Path]:
    """What earlier swaps that were killed have left; only for who holds the store."""
    return sorted(store.parent.glob(f"{store.name}.restoring-*"))


def swap_in(made: Path, store: Path, aside: Path) -> Path | None:
    """Make `made` the store; return `aside`, where the old one is now, or None when there was none.

    A crash leaves the old store in its place or the new one, each whole; the
    other is then aside under the same name or still where it was made.
    """
    _flush(made)
    if not os.path.lexists(store):
        made.rename(store)
        _flush_names(store.parent)
        return None
    made.rename(aside)
    _exchange(aside, store)
    _flush_names(store.parent)
    return aside


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_CWD, os.fsencode(one), _CWD, os.fsencode(other), _EXCHANGE)
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in _NOT_HERE:
        raise OSError(code, os.strerror(code), str(one), None, str(other))
    # A file system that cannot: no store for a moment, and the old one then beside it.
    between = one.with_name(f"{one.name}.old")
    other.rename(between)
    one.rename(other)
    between.rename(one)


def _flush(directory: Path) -> None:
    """What is renamed must be on disk first, or a power cut leaves empty files under good names."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_names(directory)


def _flush_names(directory: Path) -> None:
    names = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(names)
    finally:
        os.close(names)
