"""Look after what is kept: read a backup again, and drop what is older than needed."""

import hashlib
import shutil
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from recovery.postgres.backup_record import MANIFEST, BackupRecord
from recovery.postgres.base_backup import verify_files
from recovery.postgres.errors import BackupDamagedError
from recovery.postgres.lsn import parse_segment
from recovery.postgres.place import BASE, WAL, Place
from recovery.postgres.programs import Programs
from recovery.postgres.wal_archive import WalRun, wal_after

# A base backup without a record may be under way for so long; then it was cut off.
_UNFINISHED_FOR = timedelta(days=1)
Advance = Callable[[int], None]


def fetch(place: Place, record: BackupRecord, into: Path, advance: Advance) -> None:
    """Bring a backup's files into a folder; raise BackupDamagedError for one that is not what was stored."""
    for entry in record.files:
        found, size = hashlib.sha256(), 0
        try:
            with (into / entry.name).open("wb") as file:
                for chunk in place.chunks(f"{BASE}/{record.name}/{entry.name}"):
                    size += len(chunk)
                    if size > entry.size:
                        reason = f"{entry.name} has more than the {entry.size:,} bytes that were stored"
                        raise BackupDamagedError(record.name, reason)
                    file.write(chunk)
                    found.update(chunk)
                    advance(len(chunk))
        except FileNotFoundError as error:
            raise BackupDamagedError(record.name, f"{entry.name} is missing") from error
        if found.hexdigest() != entry.sha256:
            reason = (
                f"{entry.name} has SHA-256 {found.hexdigest()[:12]}..., {entry.sha256[:12]}... was stored"
            )
            raise BackupDamagedError(record.name, reason)


def verify(place: Place, record: BackupRecord, programs: Programs, spool: Path, advance: Advance) -> WalRun:
    """Read a backup and its log's list again; raise BackupDamagedError, WalMissingError."""
    spool.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=spool, prefix="verify.") as scratch:
        fetch(place, record, Path(scratch), advance)
        if not (Path(scratch) / MANIFEST).exists():
            raise BackupDamagedError(record.name, f"{MANIFEST} is missing")
        verify_files(programs, record.name, Path(scratch))
    return wal_after(place, record)


class Leaving(NamedTuple):
    """What prune removes."""

    backups: list[str]
    unfinished: list[str]
    paths: list[str]
    wal_files: int
    size: int


def plan_prune(
    place: Place, keep: int, keep_for: timedelta, now: datetime, damaged: Collection[str] = ()
) -> Leaving:
    """What is older than both bounds: the newest `keep` stay, and so does what is younger than `keep_for`.

    Of the log goes what lies before the oldest backup that stays, and the
    timelines of which no backup stays, except one that is still written.

    A damaged backup never counts as one that stays, and goes only when it is
    named in `damaged`: somebody may still mend it. Raises NoBaseBackupError
    for a name that is not of one.
    """
    finished = place.finished()
    # Unsigned ones, too, go by age and keep their log: a person may still say that they are ours.
    records = sorted([*finished.records, *finished.unsigned], key=lambda record: record.finished_at)
    for name in damaged:
        if all(one.name != name for one in finished.damaged):
            raise finished.none(f"{name} that is damaged")
    staying = [
        record
        for index, record in enumerate(records)
        if index >= len(records) - max(1, keep) or now - record.finished_at < keep_for
    ]
    going = [record for record in records if record not in staying]
    unfinished = {
        name: files
        for name, files in place.unfinished().items()
        if all(now - kept.modified_at > _UNFINISHED_FOR for kept in files)
    }
    gone = {record.name for record in going} | unfinished.keys() | set(damaged)
    base = [kept for kept in place.listed(BASE) if kept.path.split("/")[2] in gone]
    # The record first: a backup that is half removed does not exist.
    base.sort(key=lambda kept: not kept.path.endswith(".json"))
    wal = [
        kept for kept in place.listed(WAL) if staying and _is_past(kept.path, staying, now - kept.modified_at)
    ]
    return Leaving(
        [*sorted(damaged), *(record.name for record in going)],
        sorted(unfinished),
        [kept.path for kept in (*base, *wal)],
        len(wal),
        sum(kept.size for kept in (*base, *wal)),
    )


def _is_past(path: str, staying: Sequence[BackupRecord], age: timedelta) -> bool:
    """Whether no backup that stays needs this file of the log."""
    _, _, system, timeline, *_, name = path.split("/")
    own = [record for record in staying if record.wal == f"{system}/{timeline}"]
    if not own:
        return age > _UNFINISHED_FOR
    oldest = min(own, key=lambda record: record.start)
    segment = parse_segment(name, oldest.segment_bytes)
    return segment is not None and segment.number < oldest.start


def prune(place: Place, leaving: Leaving) -> None:
    """Remove what was planned; cut off anywhere, the next prune goes on."""
    place.delete(leaving.paths)
    if place.folder is not None:
        for name in (*leaving.backups, *leaving.unfinished):
            shutil.rmtree(place.folder / BASE / name, ignore_errors=True)
