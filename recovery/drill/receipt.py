"""The receipt of a drill: what was measured, step by step, and whether it kept the promise."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from recovery.postgres.restore import Plan

RECEIPT_VERSION = 1
RPO_PROMISED_SECONDS = 5 * 60
RTO_PROMISED_SECONDS = 15 * 60


class StepLine(msgspec.Struct):
    """A step and how long it took."""

    step: str
    seconds: float
    detail: str = ""
    counts: bool = True  # towards the time in which fans would be without


class ShardResult(msgspec.Struct, kw_only=True):
    """A shard at the disaster, after the replay, and after the catch-up."""

    shard: int
    live_head: int  # when the disaster was assumed
    restored_head: int  # from backup and archive alone
    missing: int  # not in the archive yet
    missing_seconds: float  # age of the oldest of them
    is_same_history: bool  # the chains at the restored head are equal
    generation: int
    live_generation: int
    keys: int  # events of the live log up to Kafka's cut
    lost: int  # of them not in the restored log after the catch-up
    extra: int  # in the restored log, and not in the live one


class PlannedDrill(msgspec.Struct, kw_only=True):
    """What `drill --dry-run --json` prints."""

    backup: str
    backup_bytes: int
    wal_segments: int
    wal_bytes: int
    into: str
    is_done: bool = False


class DrillReceipt(msgspec.Struct, kw_only=True):
    """What `drill --json` prints."""

    receipt: int = RECEIPT_VERSION
    verdict: str  # "passed" or "failed"
    reasons: list[str]
    started_at: datetime
    disaster_at: datetime
    place: str
    backup: str
    backup_bytes: int
    wal_segments: int
    wal_bytes: int
    stores: str  # where the lanes' recovery stores came from
    lanes: int
    kafka_records: int
    rpo_seconds: float
    rpo_events: int
    lost_after_catch_up: int
    rto_seconds: float
    rpo_promised_seconds: int = RPO_PROMISED_SECONDS
    rto_promised_seconds: int = RTO_PROMISED_SECONDS
    audit: str
    audit_differences: int
    steps: list[StepLine]
    shards: list[ShardResult]


def answer_of(plan: Plan) -> PlannedDrill:
    """What would be restored, for a program."""
    return PlannedDrill(
        backup=plan.record.name,
        backup_bytes=plan.record.size,
        wal_segments=len(plan.wal.files),
        wal_bytes=plan.wal.size,
        into=str(plan.into),
    )


def judge(
    shards: list[ShardResult], rpo: float, rto: float, audit: str, stores_fault: str | None
) -> list[str]:
    """Why a drill failed; empty when it passed."""
    reasons = [] if audit == "clean" else [f"the audit of the restored stack says {audit}"]
    if stores_fault is not None:
        reasons.append(stores_fault)
    for shard in shards:
        if not shard.is_same_history:
            reasons.append(f"shard {shard.shard}: another chain at position {shard.restored_head}")
        if shard.lost or shard.extra:
            reasons.append(f"shard {shard.shard}: {shard.lost} events lost, {shard.extra} too many")
        if shard.generation <= shard.live_generation:
            reasons.append(f"shard {shard.shard}: its generation did not rise")
    if rpo > RPO_PROMISED_SECONDS:
        reasons.append(f"RPO {rpo:.0f} s is over {RPO_PROMISED_SECONDS} s")
    if rto > RTO_PROMISED_SECONDS:
        reasons.append(f"RTO {rto:.0f} s is over {RTO_PROMISED_SECONDS} s")
    return reasons


def lines(receipt: DrillReceipt) -> list[str]:
    """The receipt as text."""
    out = [
        f"Drill of {receipt.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {receipt.verdict}",
        *(f"  {reason}" for reason in receipt.reasons),
        "",
        f"RPO  {receipt.rpo_seconds:8.2f} s   promised {receipt.rpo_promised_seconds} s;"
        f" {receipt.rpo_events} events were not in the archive, {receipt.lost_after_catch_up} are lost after"
        " reading Kafka on",
        f"RTO  {receipt.rto_seconds:8.2f} s   promised {receipt.rto_promised_seconds} s",
        f"audit of the restored stack: {receipt.audit}",
        "",
        f"base backup {receipt.backup}, {receipt.backup_bytes / 2**20:,.1f} MB;"
        f" {receipt.wal_segments} segments of the log, {receipt.wal_bytes / 2**20:,.1f} MB;"
        f" stores: {receipt.stores}; {receipt.lanes} lanes; Kafka had {receipt.kafka_records:,} records",
        "",
        "seconds  step",
    ]
    for step in receipt.steps:
        mark = " " if step.counts else "*"
        out.append(f"{step.seconds:7.2f}{mark} {step.step}{': ' + step.detail if step.detail else ''}")
    out += ["         * checks, which nobody waits for", ""]
    out.append("shard  live head  restored  missing  oldest s  same chain  events  lost  extra")
    for s in receipt.shards:
        out.append(
            f"{s.shard:5}  {s.live_head:9,}  {s.restored_head:8,}  {s.missing:7,}  {s.missing_seconds:8.2f}"
            f"  {'yes' if s.is_same_history else 'NO':>10}  {s.keys:6,}  {s.lost:4,}  {s.extra:5,}"
        )
    return out


def keep(receipt: DrillReceipt, folder: Path) -> Path:
    """Write it as JSON and as text; return the text's path."""
    (folder / "receipt.json").write_bytes(msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n")
    text = folder / "receipt.txt"
    text.write_text("\n".join(lines(receipt)) + "\n")
    return text
