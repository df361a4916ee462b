"""Make a recovery store fit to start from, before Bytewax opens it.

In a child process: a second SQLite library in the worker's process would
drop the file locks of the first.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import settings
from recovery.prepare import HeldStore, prepare_in_child

_held: list[HeldStore] = []  # locked until the process ends, however it ends


def prepare_recovery(wait: timedelta, keys: Sequence[str]) -> None:
    """Lock and prepare the store that this command line names (`-r`), if it names one.

    Waits so long for another to leave it; one with the state of other keys is
    put aside. In a cluster, process 0 does it for all.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--recovery-directory", default=settings.bytewax_recovery_directory())
    parser.add_argument("-i", "--process-id", type=int, default=0)
    given = parser.parse_known_args(sys.argv[1:])[0]
    if given.recovery_directory and given.process_id == 0:
        _held.append(prepare_in_child(Path(given.recovery_directory), wait=wait, keys=keys))
