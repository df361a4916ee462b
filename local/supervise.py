"""Keep all children of a stack running, and stop them in order.

Written here, on asyncio and psutil, because no kept library starts in order
of readiness and ties its children's lives to its own: see
docs/decisions/0001-supervisor.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from local.child import Child, State
from local.ownership import Record, write_record
from local.spawn import last_lines
from local.watch import Watch


class ChildFailedError(RuntimeError):
    """A child could not be brought up."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        tail = "\n".join(f"    {line}" for line in last_lines(log, 12))
        super().__init__(f"{name} did not come up: {reason}\n{tail}\n  Its whole log: {log}")
        self.name = name
        self.reason = reason
        self.log = log


class Supervisor:
    """The parts of one stack.

    A crash of this process leaves nothing behind: the kernel signals each
    child, and what does not heed it is ended by the next start from the
    record that is written at each change.
    """

    def __init__(self, data: Path, on_change: Callable[[Watch], None]) -> None:
        self.watches: dict[str, Watch] = {}
        self._data = data
        self._logs = data / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._on_change = on_change
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    async def start(self, children: Sequence[Child]) -> None:
        """Start the children in order of their needs; return when all are up.

        Raises ChildFailedError for the first that cannot be brought up; the
        others go on.
        """
        added = [Watch(child, self._logs / f"{child.name}.log", self._changed) for child in children]
        self.watches.update({watch.child.name: watch for watch in added})
        for watch in added:
            needs = [self.watches[name] for name in watch.child.needs]
            self._tasks.append(asyncio.create_task(watch.keep_running(needs), name=watch.child.name))
        await self._all_settled(added)

    async def stop(self) -> None:
        """Stop everything, those that need others before those they need."""
        self._stopped = True
        remaining = dict(self.watches)
        for task in self._tasks:
            if self.watches[task.get_name()].pid is None:
                task.cancel()  # it waits for something that will not come any more
        while remaining:
            needed = {name for watch in remaining.values() for name in watch.child.needs}
            free = [watch for name, watch in remaining.items() if name not in needed]
            await asyncio.gather(*(watch.stop() for watch in free))
            for watch in free:
                del remaining[watch.child.name]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _all_settled(self, added: Sequence[Watch]) -> None:
        waiting = {asyncio.create_task(watch.settled.wait()): watch for watch in added}
        try:
            for done in asyncio.as_completed(waiting):
                await done
                for watch in added:
                    if watch.state is State.FAILED:
                        raise ChildFailedError(watch.child.name, watch.detail, watch.log)
        finally:
            for task in waiting:
                task.cancel()

    def _changed(self, watch: Watch) -> None:
        write_record(self._data, [Record.of(watch) for watch in self.watches.values()])
        self._on_change(watch)
