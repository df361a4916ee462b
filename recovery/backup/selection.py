"""Which backup is meant: by name, the newest, or the newest of a moment."""

from datetime import datetime

from recovery.backup.errors import BackupMissingError, MatchClockError, NoBackupBeforeError
from recovery.backup.manifest import Manifest
from recovery.backup.place import BackupPlace
from recovery.matches.clock import read_clock
from storage.match_clock import passed_at


def moment_of_match(dsn: str, match: str, at: str) -> datetime:
    """When the log passed a moment of the match.

    Raises UnreadableClockError, MatchClockError, psycopg.Error.
    """
    moment = passed_at(dsn, match, read_clock(at).reading)
    if moment is None:
        raise MatchClockError(match, at)
    return moment


def choose(place: BackupPlace, name: str | None, moment: datetime | None) -> Manifest:
    """The backup of that name, else the newest that is not after the moment; raise by name."""
    if name is not None:
        return place.manifest(name)
    complete = [backup.name for backup in place.listed() if backup.is_complete]
    if not complete:
        raise BackupMissingError("to restore", [])
    if moment is None:
        return place.manifest(complete[-1])
    # Names are of whole seconds, so the manifest's own time decides.
    for candidate in reversed(complete):
        manifest = place.manifest(candidate)
        if manifest.cut_at <= moment:
            return manifest
    raise NoBackupBeforeError(moment, complete[0])
