"""What the archive holds of the write-ahead log, and whether it is whole."""

from collections.abc import Sequence
from typing import NamedTuple

from recovery.postgres.backup_record import BackupRecord
from recovery.postgres.errors import WalMissingError
from recovery.postgres.lsn import (
    PARTIAL,
    Segment,
    format_lsn,
    is_history,
    parse_lsn,
    parse_segment,
    segment_name,
)
from recovery.postgres.place import WAL, Kept, Place


class WalFile(NamedTuple):
    """A file of the archive that holds a segment, whole or as far as it came."""

    kept: Kept
    segment: Segment

    @property
    def name(self) -> str:
        """As the server asks for it."""
        return self.kept.name.removesuffix(PARTIAL)


class WalRun(NamedTuple):
    """The segments that follow a base backup, in order, and the files that name timelines."""

    files: list[WalFile]
    histories: list[Kept]

    @property
    def size(self) -> int:
        return sum(file.kept.size for file in self.files)


def wal_files(place: Place, wal: str, segment_bytes: int) -> list[WalFile]:
    """The segments of one timeline in order; a whole one stands for its partial one."""
    found: dict[tuple[int, int], WalFile] = {}
    for kept in place.listed(f"{WAL}/{wal}"):
        segment = parse_segment(kept.name, segment_bytes)
        if segment is None:
            continue
        known = found.get(segment.order)
        if known is None or known.segment.is_partial:
            found[segment.order] = WalFile(kept, segment)
    return [found[order] for order in sorted(found)]


def wal_after(place: Place, record: BackupRecord, until: int | None = None) -> WalRun:
    """What a server replays after a base backup, up to a place in bytes; raise WalMissingError for a hole.

    A backup has the log of its own copying with it, so an archive that
    begins later, or has nothing yet, is no hole before the backup's end.
    """
    size = record.segment_bytes
    files = [f for f in wal_files(place, record.wal, size) if f.segment.number >= record.start]
    if until is not None:
        files = [file for file in files if file.segment.number <= until // size]
    check_whole(files, record)
    histories = [kept for kept in place.listed(f"{WAL}/{record.system_id}") if is_history(kept.name)]
    return WalRun(files, histories)


def check_whole(files: Sequence[WalFile], record: BackupRecord) -> None:
    """Raise WalMissingError for the first segment that is missing behind a backup's end."""
    end = parse_lsn(record.end_lsn)
    # The backup holds the segment in which it ends only so far.
    first = end // record.segment_bytes
    there = {file.segment.number for file in files}
    for number in range(first, max(there, default=first - 1) + 1):
        if number not in there:
            name = segment_name(record.timeline, number, record.segment_bytes)
            raise WalMissingError(name, format_lsn(max(end, number * record.segment_bytes)))
