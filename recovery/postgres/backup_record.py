"""What a base backup says of itself, and where its names come from."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from recovery.postgres.errors import BackupDamagedError
from recovery.postgres.lsn import parse_lsn
from recovery.signatures import UNSIGNED_YET, Keyring, Kind, Standing

FORMAT = 1
RECORD = "backup.json"
MANIFEST = "backup_manifest"
# All that pg_basebackup writes for a server without tablespaces.
FILES = ("base.tar.gz", "pg_wal.tar.gz", MANIFEST)
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}", re.ASCII)
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a base backup."""

    name: str
    size: int
    sha256: str


class ShardEntry(msgspec.Struct, frozen=True):
    """A shard's log when the backup began: it has at least this."""

    shard: int
    generation: int
    position: int
    chain: str


class DamagedBackup(msgspec.Struct, frozen=True):
    """A base backup whose record cannot be read: it was finished, and nothing more is known."""

    name: str
    reason: str


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A base backup."""

    signature: str = ""  # first, so that what is signed are the bytes around it
    format: int = FORMAT
    name: str
    started_at: _Moment
    finished_at: _Moment  # from this moment on, and no earlier one, it can be restored to
    system_id: int
    timeline: int
    start_lsn: str
    end_lsn: str
    segment_bytes: Annotated[int, msgspec.Meta(gt=0)]
    server_version: str
    shards: list[ShardEntry]
    files: list[FileEntry]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def start(self) -> int:
        """The segment with which replay begins."""
        return parse_lsn(self.start_lsn) // self.segment_bytes

    @property
    def wal(self) -> str:
        """Where its timeline lies, below the archive."""
        return f"{self.system_id}/{self.timeline}"


class _Range(msgspec.Struct, rename="pascal"):
    timeline: int
    start_lsn: str = msgspec.field(name="Start-LSN")
    end_lsn: str = msgspec.field(name="End-LSN")


class _Manifest(msgspec.Struct):
    ranges: list[_Range] = msgspec.field(name="WAL-Ranges")


def new_name(at: datetime) -> str:
    """A name that sorts by time, and that no other process makes in the same second."""
    return f"{stamp(at)}-{secrets.token_hex(3)}"


def stamp(at: datetime) -> str:
    """With what the names of a moment begin."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}Z"


def read_range(folder: Path) -> tuple[int, str, str]:
    """Timeline, first and last place of the log that a backup needs, from PostgreSQL's manifest."""
    try:
        ranges = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest).ranges
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupDamagedError(folder.name, f"its manifest cannot be read: {error}") from error
    return ranges[-1].timeline, ranges[0].start_lsn, ranges[-1].end_lsn


def is_name(name: str) -> bool:
    """Whether a base backup may be called so: the name is joined with a path."""
    return _NAME.fullmatch(name) is not None


def encode_record(record: BackupRecord, keys: Keyring | None = None) -> bytes:
    """For people too: indented. Signed with the first of the keys, if there is one."""
    keys = keys or Keyring()
    told = msgspec.structs.replace(record, signature=UNSIGNED_YET if keys.signs else "")
    data = msgspec.json.format(msgspec.json.encode(told), indent=2)
    return keys.sign(Kind.POSTGRES, data) if keys.signs else data


def decode_record(name: str, data: bytes, keys: Keyring | None = None) -> BackupRecord:
    """Read the record of a backup; raise BackupDamagedError, also where it could not be worked with.

    One without a signature is returned as such: who uses it asks the keys.
    """
    standing = (keys or Keyring()).standing(Kind.POSTGRES, data)
    if standing is Standing.WRONG:
        raise BackupDamagedError(
            name, f"its {RECORD} is signed with none of the keys of TOUCHLINE_BACKUP_KEY"
        )
    try:
        record = msgspec.json.decode(data, type=BackupRecord)
        for lsn in (record.start_lsn, record.end_lsn):
            parse_lsn(lsn)
    # MsgspecError, UnicodeDecodeError, and what no number can be read from, are all ValueErrors.
    except (ValueError, RecursionError) as error:
        raise BackupDamagedError(name, f"its {RECORD} cannot be read: {error}") from error
    if record.name != name:
        raise BackupDamagedError(name, f"its {RECORD} is of {record.name!r:.80}")
    files = [file.name for file in record.files]
    if sorted(files) != sorted(FILES):
        raise BackupDamagedError(name, f"its {RECORD} names other files than a base backup has")
    return msgspec.structs.replace(record, signature="") if standing is Standing.UNSIGNED else record
