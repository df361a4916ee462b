"""Where base backups and the archived write-ahead log are kept: a folder, or a bucket of S3.

postgres/base/<name>/...                      files of a base backup
postgres/base/<name>/backup.json              written last: without it there is no backup
postgres/wal/<system id>/<timeline>/<segment> the log, the newest file as <segment>.partial
postgres/archive.json                         how far the archive is
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from recovery.postgres.backup_record import (
    RECORD,
    BackupRecord,
    DamagedBackup,
    decode_record,
    encode_record,
    is_name,
)
from recovery.postgres.errors import (
    NOT_SIGNED,
    BackupDamagedError,
    BackupUnsignedError,
    NoBaseBackupError,
    PlaceUnavailableError,
)
from recovery.signatures import Keyring

_ROOT = "postgres"
BASE = f"{_ROOT}/base"
WAL = f"{_ROOT}/wal"
STATUS = f"{_ROOT}/archive.json"
# obstore's own retries, with jitter: a bucket that is away is said within half a minute.
_RETRIES = 5
_RETRIED_FOR = timedelta(seconds=20)
_CHUNK_BYTES = 4 * 1024 * 1024


class Kept(NamedTuple):
    """A file that is kept."""

    path: str
    size: int
    modified_at: datetime

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Finished(NamedTuple):
    """The base backups that were finished."""

    records: list[BackupRecord]  # oldest first
    damaged: list[DamagedBackup]  # by name, and so by when they began
    unsigned: list[BackupRecord]  # oldest first: not used without a person's word, and kept for it

    @property
    def unusable(self) -> list[DamagedBackup]:
        """Those that nothing is restored from, by name."""
        unsigned = [DamagedBackup(record.name, NOT_SIGNED) for record in self.unsigned]
        return sorted([*self.damaged, *unsigned], key=lambda one: one.name)

    def none(self, asked: str) -> NoBaseBackupError:
        """Nothing of it fits."""
        damaged, unsigned = [d.name for d in self.damaged], [r.name for r in self.unsigned]
        return NoBaseBackupError(asked, [r.name for r in self.records], damaged, unsigned)


class Place:
    """Files by path; every error of the place is a PlaceUnavailableError."""

    def __init__(self, url: str, keys: Keyring | None = None) -> None:
        self.url = url
        self.keys = keys or Keyring()
        self.folder: Path | None = None  # when it is one
        self._store: ObjectStore
        with self._named():
            if "://" in url and not url.startswith("file://"):
                self._store = from_url(
                    url, retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRIED_FOR}
                )
            else:
                self.folder = Path(url.removeprefix("file://")).absolute()
                self._store = LocalStore(self.folder, mkdir=True)

    def listed(self, below: str) -> list[Kept]:
        """Every file below a path."""
        with self._named():
            return [
                Kept(item["path"], item["size"], item["last_modified"])
                for batch in obstore.list(self._store, prefix=f"{below}/")
                for item in batch
            ]

    def read(self, path: str) -> bytes:
        """A whole file; raise FileNotFoundError."""
        with self._named():
            return bytes(obstore.get(self._store, path).bytes())

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file in pieces; raise FileNotFoundError."""
        with self._named():
            for chunk in obstore.get(self._store, path).stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(chunk)

    def put(self, path: str, data: bytes | Path, mode: Literal["create", "overwrite"] = "overwrite") -> None:
        """Store a file: whole or not at all."""
        with self._named():
            obstore.put(self._store, path, data, mode=mode)

    def delete(self, paths: list[str]) -> None:
        """Remove files; those that are gone already are fine."""
        with self._named():
            for path in paths:
                try:
                    obstore.delete(self._store, path)
                except FileNotFoundError:
                    continue

    # -- base backups

    def finished(self) -> Finished:
        """The finished base backups: those that can be used, and those of which that is not known."""
        found = Finished([], [], [])
        for kept in self.listed(BASE):
            name = _backup_of(kept.path)
            if kept.path != f"{BASE}/{name}/{RECORD}" or not is_name(name):
                continue
            try:
                record = decode_record(name, self.read(kept.path), self.keys)
                (found.unsigned if self._refuses(record) else found.records).append(record)
            except BackupDamagedError as error:
                found.damaged.append(DamagedBackup(name, error.reason))
            except FileNotFoundError:
                continue  # pruned since it was listed
        for records in (found.records, found.unsigned):
            records.sort(key=lambda record: record.finished_at)
        found.damaged.sort(key=lambda damaged: damaged.name)
        return found

    def record(self, name: str) -> BackupRecord:
        """A base backup by its name; raise NoBaseBackupError, BackupDamagedError, BackupUnsignedError."""
        try:
            if not is_name(name):
                raise FileNotFoundError(name)  # it would lead elsewhere
            record = decode_record(name, self.read(f"{BASE}/{name}/{RECORD}"), self.keys)
        except FileNotFoundError as error:
            raise self.finished().none(name) from error
        if self._refuses(record):
            raise BackupUnsignedError(name)
        return record

    def _refuses(self, record: BackupRecord) -> bool:
        return self.keys.refuses(self.keys.standing_of(record.signature))

    def finish(self, record: BackupRecord) -> BackupRecord:
        """Say that a base backup is complete, signed where there is a key; return the record as kept."""
        data = encode_record(record, self.keys)
        self.put(f"{BASE}/{record.name}/{RECORD}", data, mode="create")
        return decode_record(record.name, data, self.keys)

    def unfinished(self) -> dict[str, list[Kept]]:
        """Name -> files, of base backups that were never finished or are being taken."""
        found: dict[str, list[Kept]] = {}
        for kept in self.listed(BASE):
            found.setdefault(_backup_of(kept.path), []).append(kept)
        return {name: files for name, files in found.items() if all(f.name != RECORD for f in files)}

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError) as error:
            lines = str(error).splitlines()
            raise PlaceUnavailableError(self.url, lines[0] if lines else type(error).__name__) from error


def _backup_of(path: str) -> str:
    """The name of the base backup that a file belongs to."""
    return path.removeprefix(f"{BASE}/").partition("/")[0]
