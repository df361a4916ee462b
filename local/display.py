"""Show the parts of a stack: a live table in a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.child import State
from local.ownership import Record
from local.watch import Watch

STYLES = {
    State.UP: "green",
    State.UNWELL: "yellow",
    State.RESTARTING: "yellow",
    State.FAILED: "bold red",
}
# States that pass by themselves in a moment; as lines they would be noise.
PASSING = (State.WAITING, State.STARTING, State.STOPPING)


class Board:
    """What the person in front of the stack sees."""

    def __init__(self, console: Console, now: Callable[[], float]) -> None:
        self._console = console
        self._now = now
        self._records: dict[str, Record] = {}
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def changed(self, watch: Watch) -> None:
        """Take in a part's new state."""
        record = Record.of(watch)
        before = self._records.get(record.name)
        self._records[record.name] = record
        news = before is None or (before.state, before.pid) != (record.state, record.pid)
        if self._live is None and news and watch.state not in PASSING:
            self.say(_line(record))

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a table on the screen while inside; in a pipe, do nothing."""
        if not self._console.is_terminal:
            yield
            return
        # Twice a second: enough to see a kill heal, and no load of its own.
        with Live(console=self._console, refresh_per_second=2, get_renderable=self._table) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def _table(self) -> Table:
        return table(list(self._records.values()), self._now())


def table(records: Sequence[Record], now: float) -> Table:
    """The parts as `status` and the live view show them."""
    view = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("part", "state", "port", "pid", "up", "restarts", ""):
        view.add_column(title, justify="right" if title in ("port", "pid", "up", "restarts") else "left")
    for record in records:
        view.add_row(
            record.name,
            f"[{STYLES.get(State(record.state), 'dim')}]{record.state}[/]",
            str(record.port or ""),
            str(record.pid or ""),
            _duration(now - record.up_since) if record.up_since else "",
            str(record.restarts),
            record.detail,
        )
    return view


def _line(record: Record) -> str:
    port = f" on port {record.port}" if record.port and record.state == State.UP else ""
    detail = f": {record.detail}" if record.detail else ""
    return f"{record.name} {record.state}{port}{detail}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
