"""Dead letters as people read them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recovery.deadletters.edit import readable
from recovery.deadletters.plan import EVENT, Step
from recovery.deadletters.redrive import Result, target
from storage.dead_letters import Action, Group, Letter, Line
from storage.parking import ParkedMatch
from storage.store_errors import printable

_HEX_WIDTH = 16
# Enough to see what something is; --json has all of it.
_HEX_BYTES = 4_096


def _table(*columns: str) -> Table:
    """Narrow enough for 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("reason", "topic", "to", "oldest", "newest"))
    return table


def show_list(groups: Sequence[Group], newest: Sequence[Line], console: Console) -> None:
    """Counts by reason and topic, then the newest letters."""
    total = sum(group.letters for group in groups)
    if not total:
        console.print("No dead letters of this kind.")
        return
    table = _table("letters", "reason", "topic", "oldest", "newest")
    for group in groups:
        table.add_row(
            f"{group.letters:,}",
            group.reason,
            group.topic,
            _time(group.oldest),
            _time(group.newest),
        )
    console.print(table)
    console.print(f"\n{total:,} dead letters. The newest:\n")
    table = _table("letter", "state", "reason", "match", "rejected", "detail")
    for line in newest:
        detail = Text(printable(line.detail), overflow="ellipsis", no_wrap=True)
        match = _told(line.match)
        table.add_row(str(line.letter), line.state, line.reason, match, _time(line.rejected_at), detail)
    console.print(table)


def show_letter(letter: Letter, history: Iterable[Action], console: Console) -> None:
    """Everything about one letter."""
    table = _table("", "")
    table.show_header = False
    for name, value in (
        ("letter", f"{letter.letter}, {letter.state}"),
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("origin", f"{letter.topic}[{letter.partition}]@{letter.offset}"),
        ("match", letter.match or "-"),
        ("key", "-" if letter.key is None else _text(letter.key) or letter.key.hex()),
        ("rejected", letter.rejected_at.isoformat(timespec="milliseconds")),
    ):
        table.add_row(Text(name, "bold"), _told(value))
    console.print(table)
    _show_bytes("original", letter.original, console)
    if letter.corrected is not None:
        _show_bytes("corrected copy, which redrive sends", letter.corrected, console)
    table = _table("when", "who", "what", "from", "to", "detail")
    for action in history:
        place = f"{action.topic}[{action.partition}]@{action.offset}" if action.topic else ""
        detail = _told(" ".join(filter(None, (place, action.detail))))
        who = _told(action.who)
        table.add_row(_time(action.acted_at), who, action.what, action.from_state, action.to_state, detail)
    if table.row_count:
        console.print("\nhistory")
        console.print(table)


def _show_bytes(name: str, value: bytes, console: Console) -> None:
    console.print(f"\n{name}, {len(value):,} bytes")
    shown = readable(value)
    if shown is not None:
        console.print(_told(shown.decode("utf-8", "backslashreplace")), soft_wrap=True)
        return
    for line in hex_lines(value[:_HEX_BYTES]):
        console.print(Text(line))
    if len(value) > _HEX_BYTES:
        console.print(f"... {len(value) - _HEX_BYTES:,} more; --json has all")


def hex_lines(value: bytes) -> list[str]:
    """Offset, bytes and what of them can be printed, sixteen to a line."""
    lines = []
    for start in range(0, len(value), _HEX_WIDTH):
        part = value[start : start + _HEX_WIDTH]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{3 * _HEX_WIDTH}} {letters}")
    return lines


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def show_plan(steps: Iterable[Step], console: Console) -> None:
    """Where letters would go, and what is expected of them."""
    table = _table("letter", "match", "to", "bytes", "expected", "why")
    for step in steps:
        copy = " corrected" if step.is_corrected else ""
        style = "" if step.expected == EVENT else "yellow"
        expected = Text(step.expected, style)
        size = f"{len(step.value):,}{copy}"
        table.add_row(str(step.letter), _told(step.match), target(step), size, expected, _told(step.why))
    console.print(table)


def show_result(result: Result, console: Console) -> None:
    """One line of what a redrive did."""
    text = f"letter {result.letter} -> {result.to}: {result.state}"
    text += f" ({printable(result.detail)})" if result.detail else ""
    console.print(text, markup=False, soft_wrap=True)


def _time(instant: datetime) -> str:
    return instant.strftime("%m-%d %H:%M")


def _told(text: str | None) -> Text:
    """A cell of what others wrote: no markup, and nothing that a terminal obeys."""
    return Text("\n".join(map(printable, (text or "").split("\n"))))


def show_parked(matches: Sequence[ParkedMatch], console: Console) -> None:
    """Who waits, since when, and why."""
    if not matches:
        console.print("No match is parked.")
        return
    table = _table("match", "shard", "state", "waiting", "since", "by", "because")
    for match in matches:
        waiting = f"{match.waiting:,}"
        since = _time(match.since)
        by, because = _told(match.issued_by), _told(match.because)
        table.add_row(_told(match.match), str(match.shard), match.state, waiting, since, by, because)
    console.print(table)
