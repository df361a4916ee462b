"""What can go wrong with backups, by name; damaged stores have names of their own in `storage`."""

from datetime import datetime

from recovery.signatures import ACCEPT_UNSIGNED, OTHER_KEY


class BackupError(RuntimeError):
    """A backup cannot be made or used; `remedy` says what to do."""

    remedy = ""


class NoStoresError(BackupError):
    """There is nothing to back up."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"there is no recovery store in {folder}")
        self.folder = folder
        self.remedy = "A lane makes its store when it starts; TOUCHLINE_DATA says where it looks."


class PlaceError(BackupError):
    """Where backups are kept did not answer, or refused."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.remedy = "TOUCHLINE_BACKUP says where; for S3 the usual AWS_* variables say how."


class BackupMissingError(BackupError):
    """There is no such backup."""

    def __init__(self, asked: str, there: list[str]) -> None:
        have = f"there are {', '.join(there[-5:])}" if there else "there is none at all"
        super().__init__(f"no backup {asked}: {have}")
        self.asked = asked
        self.there = there
        self.remedy = "python -m recovery backup list shows them."


class BackupIncompleteError(BackupError):
    """A backup has no manifest: it was never finished, so it does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"backup {name} has no manifest, so it was never finished")
        self.name = name
        self.remedy = "Use another one (python -m recovery backup list); prune removes this one."


class ManifestError(BackupError):
    """A manifest cannot be read, or speaks of another format."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"backup {name}: its manifest cannot be used: {reason}")
        self.name = name
        self.reason = reason
        self.remedy = "Use another one (python -m recovery backup list)."


class ManifestUnsignedError(ManifestError):
    """A manifest has no signature, where there is a key that signs them."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it is not signed, and TOUCHLINE_BACKUP_KEY has a key")
        self.remedy = ACCEPT_UNSIGNED


class ManifestForgedError(ManifestError):
    """A manifest is signed with none of our keys."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it is signed with none of the keys of TOUCHLINE_BACKUP_KEY")
        self.remedy = OTHER_KEY


class BackupDamagedError(BackupError):
    """A file of a backup is not what the manifest says."""

    def __init__(self, name: str, path: str, reason: str) -> None:
        super().__init__(f"backup {name}: {path}: {reason}")
        self.name = name
        self.path = path
        self.reason = reason
        self.remedy = "Use another one (python -m recovery backup verify --all tells which are sound)."


class NoBackupBeforeError(BackupError):
    """Every backup is younger than the moment that was asked for."""

    def __init__(self, moment: datetime, oldest: str | None) -> None:
        oldest_is = f"the oldest is {oldest}" if oldest else "there is none at all"
        super().__init__(f"no backup from {moment.isoformat(timespec='milliseconds')} or before: {oldest_is}")
        self.moment = moment
        self.remedy = "Take the oldest by its name, or do without: enrich rebuilds its state from the log."


class StoreNotInBackupError(BackupError):
    """A backup has no copy of this store."""

    def __init__(self, name: str, store: str, there: list[str]) -> None:
        super().__init__(f"backup {name} has no store {store}: it has {', '.join(there)}")
        self.name = name
        self.store = store
        self.remedy = "Ask for one of these, or for another backup."


class NotABackupError(BackupError):
    """A path was given where a backup's name belongs, and it leads to a sound store."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is a recovery store, not a backup")
        self.path = path
        self.remedy = "Give a backup's name (python -m recovery backup list)."


class MatchClockError(BackupError):
    """The log has no event of the match beyond that reading of its clock."""

    def __init__(self, match: str, at: str) -> None:
        super().__init__(f"the log has no event of match {match!r} beyond {at}")
        self.match = match
        self.at = at
        self.remedy = "Look at the match's id and clock (the page or the API show both)."
