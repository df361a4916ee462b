"""What the archive holds of the write-ahead log, and whether it is whole."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recovery.postgres.backup_record import BackupRecord
from recovery.postgres.errors import WalMissingError
from recovery.postgres.lsn import (
    PARTIAL,
    Hole,
    Segment,
    format_lsn,
    is_history,
    parse_lsn,
    parse_segment,
    segment_name,
)
from recovery.postgres.place import WAL, Kept, Place
from recovery.postgres.target import Target


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
    hole: Hole | None = None  # at which they end

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


def wal_after(place: Place, record: BackupRecord, target: Target | None = None) -> WalRun:
    """What a server replays after a base backup towards a target; raise WalMissingError for a hole before it.

    A backup has the log of its own copying with it, so an archive that
    begins later, or has nothing yet, is no hole before the backup's end.

    When a moment was is known from the log itself: it may lie before a
    hole, so the run ends there, and the server says if it did not come so far.
    """
    target = target or Target()
    size, position = record.segment_bytes, target.position
    files = [f for f in wal_files(place, record.wal, size) if f.segment.number >= record.start]
    hole = first_hole(files, record)
    if hole is not None:
        if target.time is None and (position is None or position > hole.at):
            raise WalMissingError(hole)
        files = [file for file in files if file.segment.number * size < hole.at]
    if position is not None:
        files = [file for file in files if file.segment.number <= position // size]
    histories = [kept for kept in place.listed(f"{WAL}/{record.system_id}") if is_history(kept.name)]
    return WalRun(files, histories, hole)


def first_hole(files: Sequence[WalFile], record: BackupRecord) -> Hole | None:
    """The first segment that is missing behind a backup's end, or of which there is only the beginning."""
    end, size = parse_lsn(record.end_lsn), record.segment_bytes
    # The backup holds the segment in which it ends only so far.
    first = end // size
    there = {file.segment.number: file.segment for file in files}
    for number in range(first, max(there, default=first - 1) + 1):
        name = segment_name(record.timeline, number, size)
        if number not in there:
            return Hole(name, format_lsn(max(end, number * size)))
        if there[number].is_partial and _was_left(there, number):
            return Hole(name, format_lsn((number + 1) * size), is_cut=True)
    return None


def _was_left(there: Mapping[int, Segment], number: int) -> bool:
    """Whether a receiver left a segment unfinished, and began again behind it.

    One that became whole while the files were listed shows with the
    beginning of the next at most.
    """
    beyond = [segment for other, segment in there.items() if other > number]
    return any(not segment.is_partial or segment.number > number + 1 for segment in beyond)
