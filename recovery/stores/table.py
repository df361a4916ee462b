"""Recovery stores as a table for people."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from recovery.stores.inspection import Inspection, StoreProblem, StoreReport


def show(inspection: Inspection, console: Console) -> None:
    """Print each store, and which server did not answer."""
    if not inspection.stores:
        console.print("There are no recovery stores yet; a lane makes its own when it starts.")
    for store in inspection.stores:
        if isinstance(store, StoreReport):
            _show_sound(store, console)
        else:
            show_problem(store, console)
        console.print()
    for said in (inspection.kafka, inspection.postgres):
        if said:
            console.print(Text(f"Not known, as a server did not answer: {said}", "yellow"))


def show_problem(store: StoreProblem, console: Console) -> None:
    """Print why a store cannot be used, and what to do."""
    console.print(Text(f"{store.name}: {store.error}", "bold red"))
    console.print(Text(f"  {store.path}: {store.reason}"))
    console.print(Text(f"  {store.remedy}"))


def _show_sound(store: StoreReport, console: Console) -> None:
    console.print(Text(store.name, "bold"))
    ran = "never ran" if store.execution is None else f"execution {store.execution}, {store.workers} workers"
    points = (
        f", rewinds to {store.oldest_epoch} at the earliest"
        if store.oldest_epoch < store.resume_epoch
        else ""
    )
    console.print(f"  {ran}, resumes at flow epoch {store.resume_epoch}{points}")
    written = "never" if store.age_seconds is None else f"{store.age_seconds:,.0f} s ago"
    console.print(
        f"  last snapshot {written}, {store.rows:,} rows, {store.unclosed_rows:,} of unclosed epochs"
    )
    kafka, log = (
        "unknown" if count is None else f"{count:,}"
        for count in (store.records_behind_kafka, store.events_behind_log)
    )
    console.print(f"  behind Kafka's ends: {kafka} records; behind Postgres's heads: {log} events")
    if store.ahead_of_log:
        shards = ", ".join(store.ahead_of_log)
        console.print(Text(f"  ahead of the log in shards {shards}: the log lost history", "bold red"))
    console.print(_steps(store))
    if any(store.offsets.values()):
        console.print(_offsets(store))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _steps(store: StoreReport) -> Table:
    table = _table("  step", "keys", "gone", "rows", "bytes", "largest key")
    for step in store.steps:
        largest = f"{step.largest_key} ({step.largest_bytes:,})" if step.largest_key else ""
        table.add_row(
            escape(f"  {step.step}"),
            f"{step.keys:,}",
            f"{step.tombstones:,}",
            f"{step.rows:,}",
            f"{step.bytes:,}",
            escape(largest),
        )
    return table


def _offsets(store: StoreReport) -> Table:
    topics = sorted({topic for offsets in store.offsets.values() for topic in offsets})
    table = _table("  shard", *(escape(topic) for topic in topics))
    for shard, offsets in sorted(store.offsets.items()):
        table.add_row(
            escape(f"  {shard}"), *(f"{offsets[topic]:,}" if topic in offsets else "-" for topic in topics)
        )
    return table
