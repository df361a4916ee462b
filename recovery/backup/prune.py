"""Which backups may go: a pure plan, and carrying it out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from recovery.backup.manifest import moment_of
from recovery.backup.place import BackupPlace, Listed

# One without a manifest may be in the making; an hour is far beyond that.
UNFINISHED_AFTER = timedelta(hours=1)


class Retention(msgspec.Struct, frozen=True):
    """What stays: the newest `keep`, and all that are younger. The newest one always does."""

    keep: int = 1
    younger_than: timedelta = timedelta()


class Removal(msgspec.Struct, frozen=True):
    """A backup that goes, and why."""

    name: str
    size: int
    reason: str


def plan(listed: Sequence[Listed], retention: Retention, now: datetime) -> list[Removal]:
    """What retention lets go, oldest first."""
    complete = sorted((backup for backup in listed if backup.is_complete), key=lambda backup: backup.name)
    kept = {backup.name for backup in complete[-max(1, retention.keep) :]}
    removals: list[Removal] = []
    for backup in sorted(listed, key=lambda backup: backup.name):
        begun = moment_of(backup.name)
        age = now - begun if begun else timedelta()
        if not backup.is_complete:
            if age > UNFINISHED_AFTER:
                removals.append(Removal(backup.name, backup.size, "it was never finished"))
        elif backup.name not in kept and age >= retention.younger_than:
            removals.append(Removal(backup.name, backup.size, f"it is not among the newest {retention.keep}"))
    return removals


def prune(place: BackupPlace, removals: Sequence[Removal]) -> None:
    """Remove them; one that is removed halfway has lost its manifest first, so it does not exist."""
    for removal in removals:
        place.delete(removal.name)
