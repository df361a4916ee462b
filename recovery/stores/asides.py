"""What was put aside of recovery stores, beside them: old stores, and states that no lane wrote."""

import glob
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from recovery.stores.swap import being_made

# Enough to go back on two mistakes; a store of 8 shards is 8 MB, one of 64 a few times that.
KEPT = 3
_AGAIN = 1_000


def name_aside(store: Path, now: datetime) -> Path:
    """Where the old store goes."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{store.name}.before-{stamp}"
    taken = store.with_name(name)
    for again in range(2, _AGAIN):
        if not taken.exists():
            break
        taken = store.with_name(f"{name}-{again}")
    return taken


def asides(store: Path) -> list[Path]:
    """What was put aside of a store, oldest first; a name that no command gave is somebody's own."""
    found = [path for path in store.parent.glob(f"{store.name}.before-*") if path.is_dir()]
    ours = [(age, path) for path in found if (age := _age(store, path)) is not None]
    return [path for _, path in sorted(ours)]


def surplus(store: Path, more: int = 0) -> list[Path]:
    """Those that go, once so many more are put aside."""
    there = asides(store)
    return there[: max(0, len(there) + more - KEPT)]


def prune_asides(store: Path) -> list[Path]:
    """Remove all but the newest; return what went. Only for who holds the store.

    A crash leaves a folder that the next restore removes, never half a store
    under a good name.
    """
    gone = surplus(store)
    for path in gone:
        going = being_made(store)
        path.rename(going)
        shutil.rmtree(going)
    return gone


def name_foreign(store: Path, now: datetime) -> Path:
    """Where states go that no lane wrote."""
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}Z"
    return store.with_name(f"{store.name}.foreign-{stamp}.json")


def keep_foreign(path: Path, store: Path, data: bytes) -> None:
    """Write them there, durably, and remove all such files of the store but the newest."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    there = sorted(store.parent.glob(f"{glob.escape(store.name)}.foreign-*Z.json"))
    for old in there[:-KEPT]:
        old.unlink(missing_ok=True)


def _age(store: Path, path: Path) -> tuple[datetime, int] | None:
    """When it was put aside, and as which of that second; None when the name does not say."""
    stamp, _, again = path.name.removeprefix(f"{store.name}.before-").partition("-")
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return at, int(again or 1)
    except ValueError:
        return None
