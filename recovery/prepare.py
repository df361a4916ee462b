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
from typing import Self

_PREPARED_WITHIN_SECONDS = 120
_LOOKS_EVERY_SECONDS = 0.02
_A_LOOK = timedelta(milliseconds=100)  # who asks for the holder may have the lock for a moment
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
    return HeldStore(directory, _lock_within(directory, _A_LOOK))


class Preparer:
    """A child that makes one store fit as soon as it is told to.

    Starting Python takes the better part of a second: who waits for a store,
    or has other things to do before it starts, has that done by then. Ends
    with this process, and without the word it does nothing.
    """

    def __init__(self, directory: Path, partitions: int = 1, keys: Sequence[str] = ()) -> None:
        """Start the child. A store with other state keys than `keys`, if given, will be put aside."""
        self.directory = directory.absolute()
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "recovery", "prepare", str(self.directory)]
        argv += ["--partitions", str(partitions), "--when-told"]
        if keys:
            argv += ["--keys", ",".join(keys)]
        self._child = subprocess.Popen(
            argv,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take_over(self, wait: timedelta = timedelta()) -> HeldStore:
        """Lock the store, create it when missing, delete what no closed flow epoch wrote.

        `wait` is for a hand-over: so long may the lane before take to leave
        the store. Raises StoreInUseError, PrepareError. A crash in between
        leaves no store or a whole one.
        """
        held = HeldStore(self.directory, _lock_within(self.directory, max(wait, _A_LOOK)))
        try:
            self.prepare()
        except PrepareError:
            held.release()
            raise
        return held

    def prepare(self) -> None:
        """The same for a store that is locked already; raise PrepareError."""
        try:
            said = self._child.communicate("now\n", timeout=_PREPARED_WITHIN_SECONDS)[1]
        except subprocess.TimeoutExpired as error:
            raise PrepareError(self.directory, f"not done within {_PREPARED_WITHIN_SECONDS} s") from error
        code = self._child.returncode
        if code != 0:
            raise PrepareError(self.directory, said.strip() or f"exit status {code}")
        sys.stderr.write(said)

    def close(self) -> None:
        """End the child, if it was not told or is not done."""
        if self._child.poll() is None:
            self._child.kill()
        # Not communicate: that a child which is gone cannot be told is no error here.
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stderr):
            if pipe is not None:
                pipe.close()


def prepare_in_child(
    directory: Path, partitions: int = 1, wait: timedelta = timedelta(), keys: Sequence[str] = ()
) -> HeldStore:
    """Lock a store and make it fit, as `Preparer.take_over` does.

    Call it before the flow starts, in process 0 of a cluster only, and keep
    the result as long as the flow runs.
    """
    with Preparer(directory, partitions, keys) as preparer:
        return preparer.take_over(wait)


def prepare_held(held: HeldStore) -> None:
    """Make a store fit that is locked already; raise PrepareError."""
    with Preparer(held.directory) as preparer:
        preparer.prepare()


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
