"""Compare the table of matches with the events: which shard, since when, by which fold. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

from recovery.audit.findings import Findings
from schemas.partitioning import partition_of
from storage.audit_reads import MatchRow, ShardRow


class Seen:
    """What the rows of a match say of its entry in the table."""

    __slots__ = ("first_at", "versions")

    def __init__(self, first_at: datetime) -> None:
        self.first_at = first_at  # when its first row in the log was appended
        self.versions: set[int] = set()


def check_matches(
    shard: ShardRow,
    shards: int,
    entries: Iterable[MatchRow],
    seen: Mapping[str, Seen],
    findings: Findings,
) -> None:
    """Each match with events has its entry, and each entry its events.

    Where the log of a shard begins later than with its first row, buckets
    were dropped: then a match may have lost its first rows, or all of them.
    """
    missing = dict(seen)
    is_whole = shard.base_position == 0
    for entry in entries:
        where = f"entry of {entry.match} in matches, shard {shard.shard}"
        home = partition_of(entry.match, shards)
        if home != shard.shard:
            findings.add("match", where, f"shard {home}", f"shard {shard.shard}", entry.match)
        of_match = missing.pop(entry.match, None)
        if of_match is None:
            if is_whole:
                found = "a retired one, and nothing was dropped" if entry.is_retired else "no event"
                findings.add("match", where, "events in the log", found, entry.match)
            continue
        first = of_match.first_at.astimezone(UTC).date()
        if _differs(entry.bucket, first, is_whole):
            findings.add("match", where, f"bucket {first}", f"bucket {entry.bucket}", entry.match)
        if entry.fold_version not in of_match.versions and is_whole:
            expected = f"fold {', '.join(map(str, sorted(of_match.versions)))}"
            findings.add("match", where, expected, f"fold {entry.fold_version}", entry.match)
    for match in missing:
        where = f"{match}, shard {shard.shard}"
        findings.add("match", where, "its entry in matches", "none", match)


def _differs(bucket: date, first: date, is_whole: bool) -> bool:
    return bucket != first if is_whole else bucket > first
