"""`python -m recovery prepare`: the child that opens a recovery store.

Nothing that runs a dataflow imports this (see `recovery.prepare`).
"""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from recovery.stores.swap import name_aside
from storage.recovery_store import StoreError, delete_unclosed, read_store
from storage.store_contents import read_contents

PREPARED, NOT_PREPARED = 0, 1
_REMEDY = "Restore a copy of it; a lane of enrich can also do without: delete the directory."


def prepare(
    directory: Path,
    *,
    partitions: Annotated[int, Parameter(help="Of a store that is not there yet.")] = 1,
    keys: Annotated[
        str,
        Parameter(help="The lane's shards (000,002): a store of others is put aside for a new one."),
    ] = "",
) -> int:
    """Create a missing store, or delete what no closed flow epoch wrote; return the exit status."""
    try:
        if keys and any(directory.glob("*.sqlite3")):
            _put_foreign_aside(directory, frozenset(keys.split(",")))
        if not any(directory.glob("*.sqlite3")):
            _create(directory, partitions)
            sys.stdout.write(f"created {directory} with {partitions} partitions\n")
            return PREPARED
        store = read_store(directory)
        deleted = delete_unclosed(store)
    except (StoreError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n{_REMEDY}\n")
        return NOT_PREPARED
    epoch = store.resume_epoch
    sys.stdout.write(f"resumes at flow epoch {epoch}, {deleted} rows of unclosed epochs deleted\n")
    return PREPARED


def _put_foreign_aside(directory: Path, keys: frozenset[str]) -> None:
    """Move a store away that holds shards of other lanes: Bytewax would end each start on it with an error.

    It came here when stores were mixed up, or from another number of lanes.
    A lane of enrich loses nothing by it: it reads on where the log says.
    """
    contents = read_contents(directory, read_store(directory))
    if foreign := (contents.offsets.keys() | contents.places.keys()) - keys:
        aside = name_aside(directory, datetime.now(UTC))
        directory.rename(aside)
        sys.stderr.write(
            f"{directory} holds the shards {', '.join(sorted(foreign))}, which are not this lane's: it was"
            f" put aside as {aside.name}, and the lane begins a new one\n"
        )


def _create(directory: Path, partitions: int) -> None:
    """All partitions or none: made beside, then renamed.

    By Bytewax in a process of its own, as this one has another SQLite.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} has other things in it")
    being_made = directory.with_name(f"{directory.name}.new-{os.getpid()}")
    for left_over in directory.parent.glob(f"{directory.name}.new-*"):
        shutil.rmtree(left_over)
    being_made.mkdir(parents=True)
    argv = [sys.executable, "-m", "bytewax.recovery", str(being_made), str(partitions)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    directory.mkdir(exist_ok=True)
    # Over an empty directory a rename is one step; another would hold someone's files.
    being_made.rename(directory)
