"""One replay from beginning to end."""

import time
from datetime import datetime
from typing import NamedTuple

from recovery.audit.meter import Meter
from recovery.replay.candidate import Code
from recovery.replay.refold import Refold
from recovery.replay.report import Noted, Report, write_report
from settings import Settings
from storage.range_reads import Range, RangeReads
from storage.side_schema import SideSchema, schema_name


class NothingToReplayError(LookupError):
    """The log holds nothing of what was asked for."""


class Wish(NamedTuple):
    """What to replay; neither match nor shard: the whole log."""

    code: Code
    match: str | None = None
    shard: int | None = None
    first: int = 1
    last: int | None = None
    is_kept: bool = False
    shown: int = 10  # differences kept of each kind


class Plan(NamedTuple):
    """What a replay would read and write."""

    ranges: list[Range]
    rows: list[int]  # of each range
    matches: int
    side_schema: str

    @property
    def total(self) -> int:
        return sum(self.rows)


def plan(reads: RangeReads, wish: Wish, now: datetime) -> Plan:
    """Count what is asked for; raise NothingToReplayError."""
    counted = [(r, reads.count(r)) for r in _ranges(reads, wish)]
    found = [(r, count) for r, count in counted if count.rows]
    if not found:
        asked = "; ".join(str(r) for r, _ in counted) or "the log"
        raise NothingToReplayError(f"{asked}: no events there. `recovery lanes` shows where each shard ends.")
    matches = sum(count.matches for _, count in found)
    return Plan([r for r, _ in found], [count.rows for _, count in found], matches, schema_name(now))


def _ranges(reads: RangeReads, wish: Wish) -> list[Range]:
    bounds = Range(0, wish.first) if wish.last is None else Range(0, wish.first, wish.last)
    if wish.match is not None:
        shard = reads.shard_of(wish.match)
        if shard is None:
            raise NothingToReplayError(
                f"the log has no match {wish.match!r}. `recovery audit` lists the matches that it has."
            )
        return [bounds._replace(shard=shard, match=wish.match)]
    shards = reads.shards() if wish.shard is None else [wish.shard]
    return [bounds._replace(shard=shard) for shard in shards]


def run_replay(settings: Settings, reads: RangeReads, wish: Wish, planned: Plan, meter: Meter) -> Report:
    """Fold again, fill the side schema, compare; the schema is gone afterwards unless it is kept.

    Raises psycopg.Error.
    """
    start = time.monotonic()
    noted = Noted(wish.shown)
    refold = Refold(wish.code.advance, reads.image_before)
    with SideSchema(settings.postgres, planned.side_schema, wish.is_kept) as side:
        meter.begin("events folded again", planned.total)
        for wanted in planned.ranges:
            for rows, images in reads.chunks(wanted):
                side.add_events(refold.take(rows, images))
                meter.advance(len(rows))
                _keep(refold, noted, side)
        side.add_images(refold.finish())
        _keep(refold, noted, side)
    ranges = [str(r) for r in planned.ranges]
    seconds = round(time.monotonic() - start, 3)
    return write_report(refold, noted, wish.code, ranges, planned.side_schema, wish.is_kept, seconds)


def _keep(refold: Refold, noted: Noted, side: SideSchema) -> None:
    differences = refold.take_differences()
    noted.add(differences)
    if differences:
        side.add_differences(differences)
