"""What a base backup says of itself, and where its names come from."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from recovery.postgres.errors import BackupDamagedError
from recovery.postgres.lsn import parse_lsn

FORMAT = 1
RECORD = "backup.json"
MANIFEST = "backup_manifest"


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


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A base backup."""

    format: int = FORMAT
    name: str
    started_at: datetime
    finished_at: datetime  # from this moment on, and no earlier one, it can be restored to
    system_id: int
    timeline: int
    start_lsn: str
    end_lsn: str
    segment_bytes: int
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
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}Z-{secrets.token_hex(3)}"


def read_range(folder: Path) -> tuple[int, str, str]:
    """Timeline, first and last place of the log that a backup needs, from PostgreSQL's manifest."""
    try:
        ranges = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest).ranges
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupDamagedError(folder.name, f"its manifest cannot be read: {error}") from error
    return ranges[-1].timeline, ranges[0].start_lsn, ranges[-1].end_lsn


def encode_record(record: BackupRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2)


def decode_record(data: bytes) -> BackupRecord:
    """Read a record; raise BackupDamagedError."""
    try:
        return msgspec.json.decode(data, type=BackupRecord)
    except msgspec.MsgspecError as error:
        raise BackupDamagedError("?", f"its {RECORD} cannot be read: {error}") from error
