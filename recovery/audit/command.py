"""`python -m recovery audit`: the composition root of the audit."""

import gc
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from recovery.audit.compare import Comparison, Scope
from recovery.audit.findings import Findings
from recovery.audit.kafka_reads import TopicCut
from recovery.audit.ledger import Ledger, LedgerUnreadableError
from recovery.audit.meter import Bar, Meter
from recovery.audit.receipt import Receipt, software, write_receipt
from recovery.audit.servers import CannotRunError, Servers, opened
from recovery.audit.settle import Settling, read_offsets
from recovery.audit.table import show
from recovery.audit.tally import Tallies
from settings import Settings, SettingsError, load, parse_duration

CLEAN, DIFFERENT, COULD_NOT_RUN = 0, 1, 2


def audit(
    *,
    ledger: Annotated[Path | None, Parameter(help="What the simulator says it sent (JSONL).")] = None,
    settle: Annotated[
        str | None, Parameter(help="Wait so long (60s, 2m) for everything under way to arrive.")
    ] = None,
    json: Annotated[bool, Parameter(negative=(), help="Print the receipt as JSON.")] = False,
    match: Annotated[str | None, Parameter(help="Only this match; its whole shard is read.")] = None,
    first: Annotated[int, Parameter(help="Differences shown of each kind.")] = 10,
) -> int:
    """Compare Kafka, Postgres and Redis, match by match; return the exit status."""
    errors = Console(stderr=True)
    # Lists of rows come and go by the ten thousand; there are no cycles to find.
    gc.set_threshold(100_000, 50, 50)
    try:
        wait = None if settle is None else parse_duration(settle).total_seconds()
        receipt, by_match = _run(load(), ledger, wait, match, first, errors)
    except CannotRunError as error:
        errors.print(f"The audit could not run. {error.part}: {error.reason}", markup=False)
        errors.print(error.remedy, markup=False)
        return COULD_NOT_RUN
    except (SettingsError, LedgerUnreadableError, OSError, ValueError) as error:
        errors.print(f"The audit could not run. {error}", markup=False)
        return COULD_NOT_RUN
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode() + "\n")
    else:
        show(receipt, by_match, Console())
    return CLEAN if receipt.verdict == "clean" else DIFFERENT


def _run(
    settings: Settings,
    ledger_file: Path | None,
    wait: float | None,
    match: str | None,
    first: int,
    errors: Console,
) -> tuple[Receipt, dict[str, int]]:
    started_at, start = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    findings = Findings(first, match)
    # Before Kafka's ends are read: whatever a sender wrote down by now is in Kafka by then.
    ledger = Ledger(ledger_file, settings.shards, match) if ledger_file else None
    with Bar(errors) as meter, opened(settings) as servers:
        cuts = servers.kafka.cut()
        unsettled: list[str] = []
        if wait is not None:
            settling = Settling(servers, cuts, settings.shards, time.monotonic, _pause)
            unsettled = settling.wait(wait, meter)
        tallies = (
            Tallies() if unsettled else _compare(servers, settings, cuts, ledger, findings, meter, match)
        )
        receipt = write_receipt(
            tallies,
            findings,
            ledger.tally if ledger and not unsettled else None,
            unsettled,
            match,
            started_at,
            time.monotonic() - start,
            software(servers),
        )
    return receipt, findings.by_match


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _compare(
    servers: Servers,
    settings: Settings,
    cuts: list[TopicCut],
    ledger: Ledger | None,
    findings: Findings,
    meter: Meter,
    match: str | None,
) -> Tallies:
    scope = Scope(settings.shards, settings.stream_retention, match)
    # Before the log is frozen, so that what counts as read is in the frozen log.
    offsets = read_offsets(servers.log, cuts, servers.kafka.cluster_id())
    servers.log.freeze()
    comparison = Comparison(servers, scope, cuts, offsets, ledger, findings, meter)
    comparison.run()
    if match is not None and match not in comparison.tallies.matches:
        reason = f"neither Kafka nor PostgreSQL has anything of match {match}"
        raise CannotRunError("Match", reason, "An audit without --match lists the matches that are there.")
    return comparison.tallies
