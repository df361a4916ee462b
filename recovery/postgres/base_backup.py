"""Take a base backup: pg_basebackup copies, pg_verifybackup reads it again, a record says it is complete."""

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from psycopg import Connection

from recovery.postgres.backup_record import (
    FILES,
    BackupRecord,
    FileEntry,
    ShardEntry,
    new_name,
    read_range,
)
from recovery.postgres.conninfo import safe_conninfo
from recovery.postgres.errors import BackupDamagedError, ProgramFailedError, TablespacesError
from recovery.postgres.place import BASE, Place
from recovery.postgres.programs import Programs
from storage.connect import connect
from storage.relay_reads import RelayReads
from storage.replication import identify

_READ_BYTES = 1024 * 1024
Say = Callable[[str], None]


def take_backup(dsn: str, place: Place, programs: Programs, spool: Path, say: Say) -> BackupRecord:
    """Copy the running server's data, verify the copy, keep it; return its record.

    Delivery: a backup that was cut off anywhere has no record, so it does
    not exist; prune removes its files. Raises PostgresBackupError, and
    psycopg.OperationalError when the server is not there.
    """
    with connect(dsn, "touchline-backup") as connection:
        server = identify(connection)
        started_at, shards = _now(connection), _heads(dsn)
    name = new_name(started_at)
    folder = _scratch(place, name, spool)
    try:
        say(f"pg_basebackup copies the server's data into {folder}")
        with safe_conninfo(dsn, "touchline-backup") as conninfo:
            programs.run("pg_basebackup", _arguments(conninfo, folder, name))
        files = sorted(path for path in folder.iterdir())
        if foreign := [path.name for path in files if path.name not in FILES]:
            raise TablespacesError(foreign)
        say("pg_verifybackup reads the copy again")
        verify_files(programs, name, folder)
        timeline, start_lsn, end_lsn = read_range(folder)
        with connect(dsn, "touchline-backup") as connection:
            finished_at = _now(connection)
        record = BackupRecord(
            name=name,
            started_at=started_at,
            finished_at=finished_at,
            system_id=server.system_id,
            timeline=timeline,
            start_lsn=start_lsn,
            end_lsn=end_lsn,
            segment_bytes=server.segment_bytes,
            server_version=server.version,
            shards=shards,
            files=[FileEntry(path.name, path.stat().st_size, digest(path)) for path in files],
        )
        if place.folder is None:
            say(f"storing {record.size / 2**20:,.1f} MB in {place.url}")
            for path in files:
                place.put(f"{BASE}/{name}/{path.name}", path)
        record = place.finish(record)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if place.folder is None:
        shutil.rmtree(folder)
    return record


def verify_files(programs: Programs, name: str, folder: Path) -> None:
    """Have every file of a backup compared with its manifest; raise BackupDamagedError."""
    # The log that comes with a backup is in a tar, where pg_verifybackup does not parse it.
    try:
        programs.run("pg_verifybackup", ["--exit-on-error", "--no-parse-wal", str(folder)])
    except ProgramFailedError as error:
        raise BackupDamagedError(name, error.said) from error


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _scratch(place: Place, name: str, spool: Path) -> Path:
    """Where pg_basebackup writes: into the place itself when that is a folder."""
    if place.folder is not None:
        folder = place.folder / BASE / name
        folder.mkdir(parents=True)
        return folder
    spool.mkdir(parents=True, exist_ok=True)
    return Path(mkdtemp(dir=spool, prefix=f"{name}."))


def _arguments(conninfo: str, folder: Path, label: str) -> list[str]:
    return [
        f"--dbname={conninfo}",
        f"--pgdata={folder}",
        f"--label=touchline {label}",
        "--format=tar",
        # Level 1: a third of the size at the speed of a disk; others are not in every build.
        "--compress=gzip:1",
        # The log of the copying itself comes along: a backup is whole without the archive.
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--no-password",
    ]


def _now(connection: Connection) -> datetime:
    """The server's clock: commits are timed by it."""
    return identify(connection).now.astimezone(UTC)


def _heads(dsn: str) -> list[ShardEntry]:
    reads = RelayReads(dsn, "touchline-backup")
    try:
        return [
            ShardEntry(s.shard, s.generation, s.head.position, s.head.chain.hex()) for s in reads.states({})
        ]
    finally:
        reads.close()
