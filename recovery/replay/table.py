"""The diff of a replay for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recovery.replay.refold import KINDS
from recovery.replay.report import Report

# A screen holds so many; the rest is in --json.
_MATCHES_SHOWN = 40


def show(report: Report, console: Console) -> None:
    """Print the folds, the matches that would change, the first differences and the verdict."""
    folds = report.folds
    version = "no version" if folds.code_version is None else f"version {folds.code_version}"
    console.print(Text(f"Fold {folds.code} ({version}), installed is version {folds.installed_version}"))
    written = ", ".join(f"{count:,} by version {v}" for v, count in sorted(folds.log_versions.items()))
    console.print(Text(f"{report.rows:,} events of {report.matches:,} matches: {written}", "dim"))
    if report.changes:
        console.print(_matches(report))
        _show_differences(report, console)
    if report.is_kept:
        console.print(
            Text(f"Kept: {report.side_schema}.events, .images and .differences; --drop removes it.")
        )
    if report.counts:
        total = sum(report.counts.values())
        console.print(Text(f"{total:,} things would change in {len(report.changes):,} matches.", "bold red"))
    else:
        console.print(Text("Nothing would change.", "bold green"))


def _matches(report: Report) -> Table:
    table = Table(title="Matches that would change", title_justify="left", box=None, pad_edge=False)
    table.add_column("match", overflow="fold", min_width=12)
    for name in ("shard", "events", *(kind for kind in KINDS if kind in report.counts)):
        table.add_column(name, justify="right", no_wrap=True)
    for change in report.changes[:_MATCHES_SHOWN]:
        counts = (f"{change.counts.get(kind, 0):,}" for kind in KINDS if kind in report.counts)
        table.add_row(change.match, str(change.shard), f"{change.rows:,}", *counts)
    if len(report.changes) > _MATCHES_SHOWN:
        table.caption = f"and {len(report.changes) - _MATCHES_SHOWN} more, which --json lists"
    return table


def _show_differences(report: Report, console: Console) -> None:
    kind = ""
    for line in report.differences:
        if line.kind != kind:
            kind = line.kind
            console.print(Text(f"{kind}: {line.means} ({report.counts[kind]:,})", "bold red"))
        console.print(Text(f"  {line.match} seq {line.seq}, shard {line.shard} position {line.position}"))
        console.print(Text(f"    is       {line.was}", "dim"))
        console.print(Text(f"    would be {line.would_be}", "dim"))
