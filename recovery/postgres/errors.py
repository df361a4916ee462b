"""What can go wrong with backups of PostgreSQL, by name; each says what to do."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from recovery.postgres.lsn import Hole
from recovery.signatures import ACCEPT_UNSIGNED

NOT_SIGNED = "its record is not signed, and TOUCHLINE_BACKUP_KEY has a key"


class PostgresBackupError(RuntimeError):
    """A backup cannot be made or used; `remedy` says what to do."""

    remedy = ""


class ProgramMissingError(PostgresBackupError):
    """One of PostgreSQL's programs is not on this machine."""

    def __init__(self, program: str, looked: Sequence[str]) -> None:
        super().__init__(f"there is no {program} in {', '.join(looked)}")
        self.program = program
        self.looked = tuple(looked)
        self.remedy = (
            "Set TOUCHLINE_POSTGRES_BINARIES to the folder of PostgreSQL 18's programs, or put it on PATH."
        )


class ProgramFailedError(PostgresBackupError):
    """One of PostgreSQL's programs ended with an error."""

    def __init__(self, program: str, said: str, remedy: str = "") -> None:
        super().__init__(f"{program}: {said}")
        self.program = program
        self.said = said
        self.remedy = remedy or "TOUCHLINE_POSTGRES says where the server is; its role needs REPLICATION."


class PlaceUnavailableError(PostgresBackupError):
    """Where backups are kept did not answer, or refused."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.remedy = "TOUCHLINE_BACKUP says where; for S3 the usual AWS_* variables say how."


class NoBaseBackupError(PostgresBackupError):
    """No base backup fits what was asked for."""

    def __init__(
        self, asked: str, there: Sequence[str], damaged: Sequence[str] = (), unsigned: Sequence[str] = ()
    ) -> None:
        have = f"there are {', '.join(there[-5:])}" if there else "there is none at all"
        if damaged:
            have = f"{have if there else 'there is none that is sound'}; damaged: {', '.join(damaged[-5:])}"
        if unsigned:
            have = f"{have}; not signed: {', '.join(unsigned[-5:])}"
        super().__init__(f"no base backup {asked}: {have}")
        self.asked = asked
        self.there = tuple(there)
        self.damaged = tuple(damaged)
        self.remedy = (
            "python -m recovery postgres list shows them; a moment before the oldest is out of reach."
            if there
            else "python -m recovery postgres backup takes one."
        )
        if unsigned:
            self.remedy = f"{ACCEPT_UNSIGNED} {self.remedy}"


class BackupUnsignedError(PostgresBackupError):
    """The record of a base backup has no signature, where there is a key that signs them."""

    def __init__(self, name: str) -> None:
        super().__init__(f"base backup {name}: {NOT_SIGNED}")
        self.name = name
        self.remedy = ACCEPT_UNSIGNED


class BackupDamagedError(PostgresBackupError):
    """A file of a base backup is not what was stored."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"base backup {name}: {reason}")
        self.name = name
        self.reason = reason
        self.remedy = "Use another one (--backup NAME) and take a new one now; list shows what there is."


class WalMissingError(PostgresBackupError):
    """The archive has a hole: nothing behind it can be replayed."""

    def __init__(self, hole: Hole) -> None:
        super().__init__(str(hole))
        self.hole = hole
        self.remedy = (
            f"What lies before it can be restored: --to-lsn {hole.last_lsn}, or --to-time before"
            " that. Take a new base backup now: from its end on everything can be restored again."
        )


class FolderInUseError(PostgresBackupError):
    """The folder to restore into has something in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not empty")
        self.folder = folder
        self.remedy = (
            f"Stop the server that uses it, and keep the folder aside: mv {folder} {folder}.before-restore"
        )


class TargetNotReachedError(PostgresBackupError):
    """The archive ends before the moment that was asked for, or has a hole before it."""

    def __init__(self, target: str, until: datetime | None, hole: Hole | None = None) -> None:
        end = f"its last commit is of {until.isoformat(timespec='seconds')}" if until else "it ends before"
        after = f", then {hole}" if hole else ""
        super().__init__(f"the archive does not reach {target}: {end}{after}")
        self.target = target
        self.until = until
        self.hole = hole
        self.remedy = "Without --to-time and --to-lsn all there is comes back; the folder made can go."
        if hole is not None:
            self.remedy = (
                f"All before the hole comes back with --to-lsn {hole.last_lsn}, what came after only with a"
                " base backup that is younger; the folder made can go."
            )


class ServerFailedError(PostgresBackupError):
    """The restored server did not come up."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"the restored server did not come up: {reason}")
        self.reason = reason
        self.log = log
        self.remedy = f"Its log says more: {log}"


class ArchiverRunsError(PostgresBackupError):
    """Another archiver works into the same folder."""

    def __init__(self, lock: Path) -> None:
        super().__init__(f"another archiver holds {lock}")
        self.lock = lock
        self.remedy = "One is enough. To replace it, stop the other one first (SIGTERM)."


class TablespacesError(PostgresBackupError):
    """The server has tablespaces, which a restore here would not put back."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the server has tablespaces of its own: {', '.join(names)}")
        self.names = tuple(names)
        self.remedy = "Move what is in them into the default one; Touchline makes none."
