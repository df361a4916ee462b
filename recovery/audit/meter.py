"""Progress of a long reading: a bar for people, silence for everyone else."""

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Meter(Protocol):
    """Whoever wants to know how far the audit is."""

    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int) -> None: ...
    def reached(self, steps: int) -> None: ...


class Silence:
    """A meter that shows nothing."""

    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int) -> None: ...
    def reached(self, steps: int) -> None: ...


class Bar:
    """A bar on stderr, shown only on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, label: str, total: int) -> None:
        """Start counting anew, up to a total."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(label, total=total)

    def advance(self, steps: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def reached(self, steps: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=steps)
