"""`python -m recovery postgres backup|list|verify|prune`: their composition roots."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from recovery.answers import DONE, REFUSED, print_json, remark, tell
from recovery.audit.meter import Bar
from recovery.postgres.archive_status import ArchiveStatus, read_status
from recovery.postgres.backup_record import BackupRecord, DamagedBackup
from recovery.postgres.base_backup import take_backup
from recovery.postgres.errors import (
    NOT_SIGNED,
    BackupDamagedError,
    BackupUnsignedError,
    PostgresBackupError,
)
from recovery.postgres.place import Finished, Place
from recovery.postgres.programs import Programs
from recovery.postgres.upkeep import plan_prune, verify
from recovery.postgres.upkeep import prune as remove
from recovery.postgres.wal_archive import wal_files
from recovery.refusals import concluded, refuse, status_of
from recovery.signatures import Keyring
from settings import Settings, load, parse_duration

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]
AcceptUnsigned = Annotated[
    bool,
    Parameter(
        negative=(), help="Use one that is not signed, although there is a key: made before there was."
    ),
]
DryRun = Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")]
# A status older than this is of an archiver that no longer runs.
_FRESH_SECONDS = 15.0
_TABLE_WIDTH = 140  # a name and a moment are no use when they are cut


def spool_of(settings: Settings) -> Path:
    """Where files lie on their way to a bucket or out of it."""
    return settings.data / "postgres-spool"


def place_of(settings: Settings, accepts_unsigned: bool = False) -> Place:
    """Where backups are kept, with the keys that prove them."""
    return Place(settings.backup_place, Keyring.of(settings, accepts_unsigned))


def backup(*, as_json: AsJson = False, dry_run: DryRun = False) -> int:
    """Take a base backup."""

    def work() -> int:
        settings = load()
        place, programs = place_of(settings), Programs(settings.postgres_binaries)
        if dry_run:
            planned = PlannedBackup(place.url, programs.path("pg_basebackup"))
            remark(f"would copy the server's data with {planned.program} into {planned.place}")
            if as_json:
                print_json(planned)
            return DONE
        record = take_backup(settings.postgres, place, programs, spool_of(settings), remark)
        if as_json:
            print_json(record)
        else:
            seconds = (record.finished_at - record.started_at).total_seconds()
            tell(f"{record.name}: {record.size / 2**20:,.1f} MB in {seconds:.1f} s, verified")
            remark(place.keys.standing_of(record.signature).sentence)
        return DONE

    return concluded(work, as_json)


class PlannedBackup(msgspec.Struct):
    """What `backup --dry-run --json` prints; done, it is the backup's record."""

    place: str
    program: str
    is_done: bool = False


class Listing(msgspec.Struct):
    """What `list --json` prints."""

    place: str
    backups: list[BackupRecord]
    damaged: list[DamagedBackup]
    newest_age_seconds: float | None  # since it was finished; None: there is none
    unsigned: list[str]  # without a signature, where there is a key
    unfinished: list[str]
    archive: ArchiveStatus | None
    is_archiving: bool
    wal_segments: int
    wal_bytes: int


def list_backups(*, as_json: AsJson = False) -> int:
    """Show the base backups and how far the archive is."""

    def work() -> int:
        place = place_of(load())
        (records, damaged, unsigned), status = place.finished(), read_status(place)
        wal = [
            file
            for folder in sorted({record.wal for record in records})
            for file in wal_files(place, folder, records[-1].segment_bytes)
        ]
        now = datetime.now(UTC)
        age = (now - status.at).total_seconds() if status else None
        listing = Listing(
            place.url,
            records,
            damaged,
            (now - records[-1].finished_at).total_seconds() if records else None,
            [record.name for record in unsigned],
            sorted(place.unfinished()),
            status,
            age is not None and age < _FRESH_SECONDS,
            len(wal),
            sum(file.kept.size for file in wal),
        )
        if as_json:
            print_json(listing)
        else:
            _show(listing)
        return DONE if records else REFUSED

    return concluded(work, as_json)


def _show(listing: Listing) -> None:
    table = Table("base backup", "restores from", "timeline", "log", "MB", "shards", "events", box=None)
    for record in listing.backups:
        table.add_row(
            record.name,
            record.finished_at.isoformat(timespec="seconds"),
            str(record.timeline),
            f"{record.start_lsn} to {record.end_lsn}",
            f"{record.size / 2**20:,.1f}",
            str(len(record.shards)),
            f"{sum(shard.position for shard in record.shards):,}",
        )
    if listing.newest_age_seconds is not None:
        Console(width=_TABLE_WIDTH).print(table)
        age = timedelta(seconds=round(listing.newest_age_seconds))
        tell(f"{listing.place}: the newest base backup is {age} old")
    else:
        tell(f"no base backup in {listing.place}")
    for damaged in listing.damaged:
        tell(f"{damaged.name}: damaged, {damaged.reason} (prune --damaged {damaged.name} removes it)")
    for name in listing.unsigned:
        tell(f"{name}: {NOT_SIGNED} (verify and restore take it with --accept-unsigned)")
    for name in listing.unfinished:
        tell(f"{name}: under way, or cut off (prune removes it after a day)")
    tell(f"log: {listing.wal_segments} segments, {listing.wal_bytes / 2**20:,.1f} MB")
    status = listing.archive
    if status is None:
        tell("no archive: python -m recovery postgres archive keeps one")
    elif listing.is_archiving:
        tell(
            f"archive up to {status.archived_lsn}, {status.lag_bytes:,} bytes and"
            f" {status.lag_seconds:.1f} s behind"
        )
    else:
        at = status.at.isoformat(timespec="seconds")
        tell(f"the archiver stopped at {at}, up to {status.archived_lsn}: start it")


def verify_backups(
    name: str = "latest",
    *,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    accept_unsigned: AcceptUnsigned = False,
    as_json: AsJson = False,
) -> int:
    """Read base backups and their log again.

    Parameters
    ----------
    name
        Of a backup, or latest.
    every
        All that there are.
    """

    def work() -> int:
        settings = load()
        place, programs = place_of(settings, accept_unsigned), Programs(settings.postgres_binaries)
        is_named = not every and name != "latest"
        finished = Finished([place.record(name)], [], []) if is_named else place.finished()
        chosen = finished.records if every else finished.records[-1:]
        if not chosen and not finished.unusable:
            raise finished.none(name)
        verdicts: dict[str, str] = {}
        for damaged in finished.damaged:
            refuse(BackupDamagedError(damaged.name, damaged.reason), json=False)
            verdicts[damaged.name] = "damaged"
        for unsigned in finished.unsigned:
            refuse(BackupUnsignedError(unsigned.name), json=False)
            verdicts[unsigned.name] = "not signed"
        for record in chosen:
            with Bar(Console(stderr=True)) as bar:
                bar.begin(f"reading {record.name}", record.size)

                try:
                    run = verify(place, record, programs, spool_of(settings), bar.advance)
                    standing = place.keys.standing_of(record.signature)
                    verdicts[record.name] = (
                        f"sound, with {len(run.files)} segments of the log behind it; signature {standing}"
                    )
                    remark(f"{record.name}: {standing.sentence}")
                except PostgresBackupError as error:
                    if status_of(error) != REFUSED:
                        raise
                    refuse(error, json=False)
                    verdicts[record.name] = "damaged"
        if as_json:
            print_json(verdicts)
        else:
            for one, verdict in verdicts.items():
                tell(f"{one}: {verdict}")
        is_short = finished.unsigned and (every or not chosen)
        return REFUSED if is_short or "damaged" in verdicts.values() else DONE

    return concluded(work, as_json)


def prune(
    *,
    keep: int = 7,
    keep_for: str = "14d",
    damaged: tuple[str, ...] = (),
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Drop base backups that are old, and the log that no backup needs.

    Parameters
    ----------
    keep
        So many of the newest stay, however old.
    keep_for
        What is younger stays, however many.
    damaged
        Name of a damaged one that goes, too; may be given again.
    """

    def work() -> int:
        place = place_of(load())
        leaving = plan_prune(place, keep, parse_duration(keep_for), datetime.now(UTC), damaged)
        verb = "would remove" if dry_run else "removing"
        remark(
            f"{verb} {len(leaving.backups)} base backups, {len(leaving.unfinished)} unfinished ones and"
            f" {leaving.wal_files} segments of the log, {leaving.size / 2**20:,.1f} MB"
        )
        if not dry_run:
            remove(place, leaving)
        if as_json:
            print_json({**leaving._asdict(), "is_done": not dry_run})
        else:
            for name in (*leaving.backups, *leaving.unfinished):
                tell(name)
        return DONE

    return concluded(work, as_json)
