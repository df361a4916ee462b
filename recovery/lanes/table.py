"""Lanes and shards as tables for people."""

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recovery.lanes.state import LaneLine, Lanes

_STYLES = {"running": "green", "stopped": "yellow", "no store": "red"}


def show(lanes: Lanes, now: datetime, console: Console) -> None:
    """Print who holds what, and what does not fit together."""
    if lanes.lanes:
        console.print(_lanes(lanes))
    else:
        console.print("No recovery store of a lane is here: lanes run elsewhere, without one, or never ran.")
    for session in lanes.sessions:
        since = session.since.isoformat(timespec="seconds")
        console.print(
            Text(f"Connected to write: lane {session.lane or '?'} from {session.address} since {since}")
        )
    if lanes.shards:
        console.print()
        console.print(_shards(lanes, now))
    for finding in lanes.findings:
        console.print(Text(finding, "bold red"))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _lanes(lanes: Lanes) -> Table:
    table = _table("Lanes")
    for name in ("lane", "state", "pid", "resumes at", "shards"):
        table.add_column(name, no_wrap=name != "shards")
    table.add_column("store", overflow="fold")
    for lane in lanes.lanes:
        table.add_row(
            lane.lane,
            Text(lane.state, _STYLES[lane.state]),
            str(lane.pid or ""),
            _epoch(lane),
            " ".join(map(str, lane.shards)),
            lane.store,
        )
    return table


def _epoch(lane: LaneLine) -> str:
    return "damaged" if lane.problem else "" if lane.resume_epoch is None else str(lane.resume_epoch)


def _shards(lanes: Lanes, now: datetime) -> Table:
    table = _table("Shards")
    for name in ("shard", "lane", "generation", "fence", "position", "last append"):
        table.add_column(name, no_wrap=True, justify="right" if name == "position" else "left")
    for shard in lanes.shards:
        table.add_row(
            str(shard.shard),
            shard.lane,
            str(shard.generation or "never owned"),
            shard.fence,
            f"{shard.position:,}",
            _ago(shard.appended_at, now),
        )
    return table


def _ago(appended_at: datetime | None, now: datetime) -> str:
    if appended_at is None:
        return "never"
    seconds = max(0, round((now - appended_at).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
