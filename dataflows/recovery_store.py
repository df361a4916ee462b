"""Make a recovery store fit to start from, before Bytewax opens it.

In a child process: a second SQLite library in the worker's process would
drop the file locks of the first.
"""

import sys
from argparse import ArgumentParser

import settings
from recovery.prepare import prepare_in_child


def prepare_recovery() -> None:
    """Prepare the store that this command line names (`-r`), if it names one."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--recovery-directory", default=settings.bytewax_recovery_directory())
    directory = parser.parse_known_args(sys.argv[1:])[0].recovery_directory
    if directory:
        prepare_in_child(directory)
