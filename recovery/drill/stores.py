"""The lanes' recovery stores in a drill: restored by the command that a person would use."""

import signal
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from recovery.answers import DONE, REFUSED, Refusal
from recovery.backup.errors import BackupMissingError, NoBackupBeforeError
from recovery.drill.beside import Beside, BesideFailedError, Ran

# Nothing to restore is no fault: the log says where lanes read on. Any other refusal is one.
_NOTHING_THERE = (BackupMissingError.__name__, NoBackupBeforeError.__name__)


class RestoredStores(NamedTuple):
    """Where the lanes' stores came from, and why the drill fails when they could not be used."""

    source: str
    fault: str | None = None


def restore_stores(beside: Beside, moment: datetime) -> RestoredStores:
    """Have the newest backup from before a moment restored, where there is one; raise BesideFailedError."""
    ran = beside.run("restore", ["-m", "recovery", "restore", "--as-of", moment.isoformat(), "--json"])
    return read_answer(ran, beside.logs / "restore.log")


def read_answer(ran: Ran, log: Path) -> RestoredStores:
    """What the command's end means; raise BesideFailedError where it did not come to a refusal by name.

    Without its name, exit status 1 says nothing: Python ends so after any
    exception that nobody caught.
    """
    if ran.status == DONE:
        return RestoredStores("of the newest backup")
    refusal = _refusal(ran.out)
    if ran.status == REFUSED and refusal is not None:
        if refusal.error in _NOTHING_THERE:
            return RestoredStores("none; the log says where to read on")
        return RestoredStores(
            f"none could be restored: {refusal.error}",
            f"the backup of the recovery stores cannot be restored: {refusal.error}: {refusal.reason}",
        )
    said = f"{refusal.error}: {refusal.reason}" if refusal else f"ended with {_name(ran.status)}"
    raise BesideFailedError("restore of the stores", said, log)


def _refusal(out: bytes) -> Refusal | None:
    try:
        return msgspec.json.decode(out, type=Refusal)
    except ValueError:  # one of msgspec's, or of bytes that are no text
        return None


def _name(status: int) -> str:
    return str(status) if status >= 0 else signal.Signals(-status).name
