"""The receipt as a table for people."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recovery.audit.history import HistoryNote
from recovery.audit.receipt import DifferenceLine, Receipt
from recovery.audit.tally import MatchTally
from storage.store_errors import printable

# A screen holds so many; the rest is in --json.
_MATCHES_SHOWN = 40


def show(receipt: Receipt, console: Console) -> None:
    """Print matches, topics, differences and the verdict."""
    if receipt.unsettled:
        console.print(Text("Not settled in time, so nothing was compared. Still under way:", "bold yellow"))
        for line in receipt.unsettled:
            console.print(Text(f"  {line}"))
        console.print("Are enrich and deliver running? ./dev status tells; a longer --settle may do.")
        return
    console.print(_matches(receipt))
    console.print()
    console.print(_topics(receipt))
    parked, controls = (sum(getattr(t, name) for t in receipt.topics) for name in ("parked", "controls"))
    if parked or controls:
        console.print(f"Besides: {parked:,} events of parked matches wait; {controls:,} control records.")
    if any(topic.events_beyond + topic.letters_beyond for topic in receipt.topics):
        console.print("Other: older than what Kafka keeps, or newer than this audit.")
    console.print()
    if receipt.outlets:
        console.print(_outlets(receipt))
        console.print()
    if receipt.ledger is not None:
        ledger = receipt.ledger
        console.print(
            f"Ledger {ledger.file}{'' if ledger.is_complete else ' (not ended)'}:"
            f" {ledger.records_found:,} of {ledger.records:,} records are events,"
            f" {ledger.conflicts_found:,} of {ledger.conflicts:,} conflicts and"
            f" {ledger.malformed_found:,} of {ledger.malformed:,} malformed are dead letters,"
            f" {ledger.finals_equal:,} of {ledger.finals:,} final scores agree;"
            f" {ledger.refused:,} were refused to the sender."
        )
    _show_differences(receipt, console)
    _show_history(receipt.history, console)
    compared = receipt.compared
    console.print(
        f"{compared.kafka_records:,} records in Kafka, {compared.events:,} events in PostgreSQL,"
        f" {compared.streamed:,} in Redis, {compared.images:,} images of {compared.matches:,} matches"
        f" in {receipt.seconds:.1f} s."
    )
    if receipt.verdict == "clean":
        console.print(Text("Clean: Kafka, PostgreSQL and Redis agree.", "bold green"))
    else:
        total = sum(receipt.difference_counts.values())
        console.print(Text(f"{total:,} differences.", "bold red"))


def _table(title: str) -> Table:
    """Narrow enough for 80 columns."""
    return Table(
        title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False, padding=(0, 1)
    )


def _matches(receipt: Receipt) -> Table:
    table = _table("Matches")
    table.collapse_padding = True  # ten million records still fit
    table.add_column("match", overflow="fold", min_width=12)
    for name in ("shard", "score", "kafka", "events", "repeats", "letters", "redis", "wrong"):
        table.add_column(name, justify="right", no_wrap=True)
    # Those that differ first: the table may be cut.
    ordered = sorted(receipt.matches, key=lambda m: -m.differences)
    for match in ordered[:_MATCHES_SHOWN]:
        table.add_row(*_match_cells(match))
    compared = receipt.compared
    table.add_section()
    table.add_row(
        f"all {compared.matches}",
        "",
        "",
        f"{compared.kafka_records:,}",
        f"{compared.events:,}",
        f"{compared.repeats:,}",
        f"{compared.dead_letters:,}",
        f"{compared.streamed:,}",
        f"{sum(receipt.difference_counts.values()):,}",
        style="bold",
    )
    if receipt.only_match is not None:
        table.caption = "One match asked for; its whole shard was read, and the totals are the shard's."
    elif len(ordered) > _MATCHES_SHOWN:
        table.caption = f"and {len(ordered) - _MATCHES_SHOWN} more, which --json lists"
    return table


def _match_cells(match: MatchTally) -> list[str | Text]:
    return [
        Text(printable(match.match)),  # a sender chose it: `[/red]` is no markup
        str(match.shard),
        f"{match.score.home}-{match.score.away}",
        f"{match.records:,}",
        f"{match.events:,}",
        f"{match.repeats:,}",
        f"{match.dead_letters:,}",
        f"{match.streamed:,}",
        Text(f"{match.differences:,}", "red" if match.differences else "dim"),
    ]


def _topics(receipt: Receipt) -> Table:
    table = _table("Raw topics: records = events + repeats + dead letters")
    table.add_column("topic", no_wrap=True)
    for name in ("records", "events", "repeats", "letters", "missing", "other"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("sum")
    for topic in receipt.topics:
        table.add_row(
            topic.topic,
            f"{topic.records:,}",
            f"{topic.events:,}",
            f"{topic.repeats:,}",
            f"{topic.dead_letters:,}",
            f"{topic.unread + topic.unaccounted:,}",
            f"{topic.events_beyond + topic.letters_beyond:,}",
            Text("right", "green") if topic.is_complete else Text("wrong", "bold red"),
        )
    return table


def _outlets(receipt: Receipt) -> Table:
    table = _table("Copies in Kafka: everything at least once, in order")
    table.add_column("topic", no_wrap=True)
    for name in ("records", "delivered", "repeats", "other"):
        table.add_column(name, justify="right", no_wrap=True)
    for topic in receipt.outlets:
        counts = (topic.records, topic.delivered, topic.repeats, topic.other)
        table.add_row(topic.topic, *(f"{count:,}" for count in counts))
    return table


def _show_differences(receipt: Receipt, console: Console) -> None:
    shown = Counter(d.what for d in receipt.differences)
    kind = ""
    for difference in receipt.differences:
        if difference.what != kind:
            kind = difference.what
            total = receipt.difference_counts[kind]
            of = f"the first {shown[kind]} of {total:,}" if total > shown[kind] else f"{total:,}"
            console.print(Text(f"{kind}: {difference.means} ({of})", "bold red"))
        _show_difference(difference, console)


def _show_history(history: HistoryNote, console: Console) -> None:
    if history.audited_at is not None:
        console.print(
            f"The audit of {history.audited_at} saw {len(history.shards)} shards; {history.compared} of their"
            " logs are compared with what it saw."
        )
    for line in history.risen:
        console.print(Text(f"  {line}"))
    if history.remark:
        console.print(Text(f"History: {history.remark}."))


def _show_difference(difference: DifferenceLine, console: Console) -> None:
    console.print(Text(f"  {printable(difference.where)}"))
    console.print(Text(f"    expected {printable(difference.expected)}", "dim"))
    console.print(Text(f"    found    {printable(difference.found)}", "dim"))
