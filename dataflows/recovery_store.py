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
from recovery.prepare import HeldStore, Preparer

_held: list[HeldStore] = []  # locked until the process ends, however it ends


class OwnStore:
    """The recovery store that this command line names (`-r`), if it names one.

    Made early, as a child process starts with it; taken over when all else is
    ready. In a cluster, process 0 does it for all.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """A store with the state of other keys will be put aside."""
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("-r", "--recovery-directory", default=settings.bytewax_recovery_directory())
        parser.add_argument("-i", "--process-id", type=int, default=0)
        parser.add_argument("-a", "--addresses", default="")
        given = parser.parse_known_args(sys.argv[1:])[0]
        self.is_alone = ";" not in given.addresses  # no other process of a cluster has partitions of the lane
        self._preparer: Preparer | None = None
        if given.recovery_directory and given.process_id == 0:
            self._preparer = Preparer(Path(given.recovery_directory), keys=keys)

    def take_over(self, wait: timedelta) -> None:
        """Lock and prepare it; wait so long for another lane to leave it."""
        if self._preparer is not None:
            with self._preparer:
                _held.append(self._preparer.take_over(wait))
