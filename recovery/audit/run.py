"""One audit from beginning to end, on open servers."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from recovery.audit.compare import Comparison, Scope
from recovery.audit.findings import Findings
from recovery.audit.history import History
from recovery.audit.kafka_reads import TopicCut
from recovery.audit.ledger import Ledger
from recovery.audit.meter import Meter
from recovery.audit.receipt import Receipt, software, write_receipt
from recovery.audit.servers import CannotRunError, Servers, opened
from recovery.audit.settle import Settling, read_offsets
from recovery.audit.tally import Tallies
from settings import Settings


class Asked(NamedTuple):
    """What an audit is asked for."""

    ledger: Path | None = None
    settle: timedelta | None = None  # wait so long for what is under way
    match: str | None = None  # only this one
    first: int = 10  # differences kept of each kind
    outlets: bool = False  # also what the relay copies to Kafka


def run_audit(
    settings: Settings, asked: Asked, meter: Meter, pause: Callable[[float], None] = time.sleep
) -> Receipt:
    """Compare what Kafka holds now with the log and the streams.

    Raises CannotRunError, LedgerUnreadableError, and OSError for a ledger
    that is not there. `pause` waits for some seconds between two looks.
    """
    started_at, start = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    findings = Findings(asked.first, asked.match)
    history = History(settings)
    # Before Kafka's ends are read: whatever a sender wrote down by now is in Kafka by then.
    ledger = Ledger(asked.ledger, settings.shards, asked.match) if asked.ledger else None
    with opened(settings) as servers:
        cuts = servers.kafka.cut()
        unsettled: list[str] = []
        if asked.settle is not None:
            settling = Settling(servers, cuts, settings.shards, time.monotonic, pause)
            unsettled = settling.wait(asked.settle.total_seconds(), meter, asked.outlets)
        tallies = Tallies()
        if not unsettled:
            tallies = _compare(servers, settings, cuts, ledger, findings, meter, asked, history)
        return write_receipt(
            tallies,
            findings,
            ledger.tally if ledger and not unsettled else None,
            unsettled,
            history.note,
            asked.match,
            started_at,
            time.monotonic() - start,
            software(servers),
        )


def _compare(
    servers: Servers,
    settings: Settings,
    cuts: Sequence[TopicCut],
    ledger: Ledger | None,
    findings: Findings,
    meter: Meter,
    asked: Asked,
    history: History,
) -> Tallies:
    match = asked.match
    scope = Scope(settings.shards, settings.stream_retention, match, asked.outlets)
    # Before the log is frozen, so that what counts as read is in the frozen log.
    offsets = read_offsets(servers.log, cuts, servers.kafka.cluster_id())
    servers.log.freeze()
    comparison = Comparison(servers, scope, cuts, offsets, ledger, findings, meter)
    shards = servers.log.shards(settings.shards)
    history.compare(shards, servers.log.chain_at, findings)
    comparison.run()
    history.remember(shards, datetime.now(UTC))
    if match is not None and match not in comparison.tallies.matches:
        reason = f"neither Kafka nor PostgreSQL has anything of match {match}"
        raise CannotRunError("Match", reason, "An audit without --match lists the matches that are there.")
    return comparison.tallies
