"""Whether a lane has its recovery store, without keeping one from starting."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from recovery.prepare import StoreInUseError

_LOCKS = Path("/proc/locks")


def holder_of(store: Path) -> int | None:
    """The process that holds a store's lock: 0 when it is one that we cannot see, None when nobody does."""
    lock = store.with_name(store.name + ".lock")
    try:
        status = lock.stat()
    except FileNotFoundError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return _listed(device) or (0 if _is_locked(lock) else None)


def refuse_held(stores: Iterable[Path]) -> None:
    """Raise StoreInUseError when a process has one of the stores; holds nothing."""
    for store in stores:
        if holder_of(store) is not None:
            raise StoreInUseError(store)


def _listed(device: str) -> int | None:
    """What the kernel lists, which are the locks of this process namespace."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        # "4: FLOCK ADVISORY WRITE 8376 fe:00:11084707 0 EOF"; one that waits has "->" in second place.
        if fields[1] == "FLOCK" and fields[5] == device and int(fields[4]) > 0:
            return int(fields[4])
    return None


def _is_locked(lock: Path) -> bool:
    """Try the lock for a moment, shared; who wants to have it tries for longer."""
    number = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False
