"""The table of matches says of each match in the log where it is and since when, and of no other."""

from datetime import UTC, date, datetime

import pytest

from recovery.audit.findings import Findings
from recovery.audit.matches_check import Seen, check_matches
from storage.audit_reads import MatchRow, ShardRow
from tests.event_builders import MATCH

FIRST = datetime(2026, 5, 30, 23, 59, tzinfo=UTC)
ENTRY = MatchRow(MATCH, date(2026, 5, 30), 1, is_retired=False)
WHOLE = ShardRow(0, 1, 0, bytes(16), 9, bytes(16))


def told(*entries: MatchRow, shard: ShardRow = WHOLE, is_seen: bool = True) -> int:
    seen = Seen(FIRST)
    seen.versions |= {1, 2}
    findings = Findings(9)
    check_matches(shard, 1, entries, {MATCH: seen} if is_seen else {}, findings)
    return findings.counts.get("match", 0)


@pytest.mark.parametrize("version", [1, 2])
def test_a_match_with_its_entry_is_no_difference(version: int) -> None:
    """Its fold is that of one of its rows: a match may have gone over to another."""
    assert told(ENTRY._replace(fold_version=version)) == 0


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [ENTRY._replace(bucket=date(2026, 5, 31))],
        [ENTRY._replace(bucket=date(2026, 5, 29))],
        [ENTRY._replace(fold_version=3)],
        [ENTRY, ENTRY._replace(match="another")],
        [ENTRY, ENTRY._replace(match="another", is_retired=True)],
    ],
    ids=["none", "later", "earlier", "fold", "no_event", "retired_and_never_there"],
)
def test_an_entry_that_the_events_do_not_say_is_told(entries: list[MatchRow]) -> None:
    assert told(*entries) == 1


def test_where_buckets_were_dropped_first_rows_and_whole_matches_may_be_gone() -> None:
    dropped = WHOLE._replace(base_position=4)
    assert told(ENTRY._replace(is_retired=True), shard=dropped, is_seen=False) == 0
    assert told(ENTRY._replace(bucket=date(2026, 5, 29)), shard=dropped) == 0
    assert told(ENTRY._replace(bucket=date(2026, 5, 31)), shard=dropped) == 1


def test_an_entry_in_the_shard_of_another_match_is_told() -> None:
    findings = Findings(9)
    check_matches(WHOLE._replace(shard=1), 1, [ENTRY], {MATCH: Seen(FIRST)}, findings)
    assert findings.counts["match"] == 2
