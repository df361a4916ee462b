"""The receipt of an audit: what was compared, what was found, and what proves it."""

import platform
from importlib.metadata import PackageNotFoundError, version

import confluent_kafka
import msgspec

from recovery.audit.findings import KINDS, Findings
from recovery.audit.history import HistoryNote
from recovery.audit.ledger import LedgerTally
from recovery.audit.outlet_check import OutletTally
from recovery.audit.servers import Servers
from recovery.audit.tally import MatchTally, ShardProof, Tallies, TopicTally

RECEIPT_VERSION = 1
_PACKAGES = ("bytewax", "confluent-kafka", "psycopg", "redis", "msgspec")


class TopicLine(TopicTally, kw_only=True):
    """A topic with its verdict."""

    is_complete: bool


class DifferenceLine(msgspec.Struct, kw_only=True):
    """A difference, explained."""

    what: str
    means: str
    where: str
    expected: str
    found: str
    match: str | None


class Counts(msgspec.Struct, kw_only=True):
    """The totals of all matches and topics."""

    matches: int
    kafka_records: int
    events: int
    repeats: int
    dead_letters: int
    images: int
    streamed: int


class Receipt(msgspec.Struct, kw_only=True):
    """What `--json` prints."""

    receipt: int = RECEIPT_VERSION
    verdict: str  # "clean", "different" or "unsettled"
    started_at: str
    seconds: float
    compared: Counts
    only_match: str | None
    topics: list[TopicLine]
    shards: list[ShardProof]
    matches: list[MatchTally]
    ledger: LedgerTally | None
    outlets: list[OutletTally]  # empty: they were not asked for
    difference_counts: dict[str, int]
    differences: list[DifferenceLine]
    unsettled: list[str]
    history: HistoryNote
    software: dict[str, str]


def count(tallies: Tallies) -> Counts:
    """Add up what was compared."""
    topics, matches = tallies.topics.values(), tallies.matches.values()
    return Counts(
        matches=len(matches),
        kafka_records=sum(t.records for t in topics),
        events=sum(m.events for m in matches),
        repeats=sum(t.repeats for t in topics),
        dead_letters=sum(m.dead_letters for m in matches) + tallies.nameless_letters,
        images=sum(m.images for m in matches),
        streamed=sum(m.streamed for m in matches),
    )


def software(servers: Servers) -> dict[str, str]:
    """Versions of what took part."""
    versions = {"python": platform.python_version(), "librdkafka": confluent_kafka.libversion()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    versions["postgres server"] = servers.log.server_version
    versions["redis server"] = servers.streams.server_version
    return versions


def write_receipt(
    tallies: Tallies,
    findings: Findings,
    ledger: LedgerTally | None,
    unsettled: list[str],
    history: HistoryNote,
    only: str | None,
    started_at: str,
    seconds: float,
    versions: dict[str, str],
) -> Receipt:
    """Put a finished audit, or one that never settled, into its receipt."""
    for tally in tallies.matches.values():
        tally.differences = findings.by_match.get(tally.match, 0)
    verdict = "unsettled" if unsettled else "different" if findings.total else "clean"
    matches = sorted(tallies.matches.values(), key=lambda m: (m.shard, m.match))
    return Receipt(
        verdict=verdict,
        started_at=started_at,
        seconds=round(seconds, 3),
        compared=count(tallies),
        only_match=only,
        topics=[
            TopicLine(**msgspec.structs.asdict(t), is_complete=t.adds_up) for t in tallies.topics.values()
        ],
        shards=tallies.shards,
        matches=[m for m in matches if only in (None, m.match)],
        ledger=ledger,
        outlets=list(tallies.outlets.values()),
        difference_counts=findings.counts,
        differences=[
            DifferenceLine(
                what=d.what,
                means=KINDS[d.what],
                where=d.where,
                expected=d.expected,
                found=d.found,
                match=d.match,
            )
            for d in findings.first()
        ],
        unsettled=unsettled,
        history=history,
        software=versions,
    )
