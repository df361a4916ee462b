"""Make a recovery store fit to start from, out of the dataflow's process.

Bytewax writes the snapshots of a flow epoch before it knows that the epoch
closed. After a crash the rows of the unclosed one stay; the next run does
not load them, but the run after that does, once its resume epoch has passed
theirs: state and offsets from a future that never happened. So before every
start they are deleted.

Opens no store itself: a second SQLite in the process of a dataflow breaks
the locks of Bytewax's own. Importable anywhere.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

_PREPARED_WITHIN_SECONDS = 120
_LOOKS_EVERY_SECONDS = 0.02
_ROOT = Path(__file__).resolve().parent.parent


class StoreInUseError(RuntimeError):
    """Another process works with this recovery store."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is in use by another process. Two lanes never share a store: stop the other"
            " one, or give this one a directory of its own."
        )
        self.directory = directory


class PrepareError(RuntimeError):
    """A store could not be made fit; carries what the child said."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"{directory} could not be prepared: {reason}")
        self.directory = directory
        self.reason = reason


class HeldStore:
    """A prepared store, locked until `release` or the end of the process, however it ends."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock

    def release(self) -> None:
        """Let another process have it; for tests and for a flow that ended."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def hold_store(directory: Path) -> HeldStore:
    """Lock a store and leave it as it is, so that no lane starts on it; raise StoreInUseError."""
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    return HeldStore(directory, _lock(directory))


def prepare_in_child(
    directory: Path, partitions: int = 1, wait: timedelta = timedelta(), keys: Sequence[str] = ()
) -> HeldStore:
    """Lock a store, create it when missing, delete what no closed flow epoch wrote.

    Call it before the flow starts, in process 0 of a cluster only, and keep
    the result as long as the flow runs. `wait` is for a hand-over: so long
    may the lane before take to leave the store. A store with other state keys
    than `keys`, if given, is put aside. Raises StoreInUseError, PrepareError.
    A crash in between leaves no store or a whole one.
    """
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    held = HeldStore(directory, _lock_within(directory, wait))
    try:
        prepare_held(held, partitions, keys)
    except PrepareError:
        held.release()
        raise
    return held


def prepare_held(held: HeldStore, partitions: int = 1, keys: Sequence[str] = ()) -> None:
    """The same for a store that is locked already; raise PrepareError."""
    directory = held.directory
    argv = [sys.executable, "-m", "recovery", "prepare", str(directory), "--partitions", str(partitions)]
    if keys:
        argv += ["--keys", ",".join(keys)]
    try:
        child = subprocess.run(
            argv,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_PREPARED_WITHIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PrepareError(directory, f"not done within {_PREPARED_WITHIN_SECONDS} s") from error
    if child.returncode != 0:
        raise PrepareError(directory, child.stderr.strip() or f"exit status {child.returncode}")
    sys.stderr.write(child.stderr)


def _lock_within(directory: Path, wait: timedelta) -> int:
    ends = time.monotonic() + wait.total_seconds()
    while True:
        try:
            return _lock(directory)
        except StoreInUseError:
            if time.monotonic() >= ends:
                raise
        time.sleep(_LOOKS_EVERY_SECONDS)


def _lock(directory: Path) -> int:
    """Lock the file beside a store; the kernel frees it when this process dies."""
    lock = os.open(directory.with_name(directory.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreInUseError(directory) from error
    return lock
