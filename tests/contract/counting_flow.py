"""A dataflow for a child process: it counts numbers, and can be stopped at the moment after a snapshot.

The folder that `FLOW_FOLDER` names is how a test talks to it: `until` is how
far the source counts, `step` the id of the counting step, `counted` what came
out. While `hold` is there, the first `next_batch` after a snapshot writes
that snapshot to `held` and blocks. `second` makes it open the store with
another SQLite and close it again.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

FOLDER = Path(os.environ["FLOW_FOLDER"])

Item = tuple[str, int]


class _Numbers(StatefulSourcePartition[Item, int]):
    def __init__(self, last: int | None) -> None:
        self._last = last or 0
        self._snapped: int | None = None
        self._awake: datetime | None = None

    def next_batch(self) -> list[Item]:
        if self._snapped and (FOLDER / "hold").exists():
            (FOLDER / "held").write_text(str(self._snapped))
            Event().wait()  # until this process is killed
        self._snapped = None
        if (FOLDER / "second").exists():
            _open_and_close()
        if self._last < int((FOLDER / "until").read_text()):
            self._last += 1
            return [("all", self._last)]
        if (FOLDER / "ends").exists():
            raise StopIteration
        self._awake = datetime.now(UTC) + timedelta(milliseconds=10)
        return []

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> int:
        self._snapped = self._last
        return self._last


def _open_and_close() -> None:
    """What nothing in a flow's process may do."""
    import sqlite3

    connection = sqlite3.connect(FOLDER / "store" / "part-0.sqlite3")
    connection.execute("SELECT count(*) FROM snaps").fetchone()
    connection.close()
    (FOLDER / "second").unlink()


class _Source(FixedPartitionedSource[Item, int]):
    def list_parts(self) -> list[str]:
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Numbers:
        return _Numbers(resume_state)


class _Sum(StatefulLogic[int, int, int]):
    def __init__(self, resumed: int | None) -> None:
        self._sum = resumed or 0

    def on_item(self, value: int) -> tuple[list[int], bool]:
        self._sum += value
        return [self._sum], StatefulLogic.RETAIN

    def snapshot(self) -> int:
        return self._sum


class _Write(StatelessSinkPartition[Item]):
    def write_batch(self, items: list[Item]) -> None:
        with (FOLDER / "counted").open("a") as file:
            file.writelines(f"{os.getpid()} {counted}\n" for _, counted in items)


class _Sink(DynamicSink[Item]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Write:
        return _Write()


def flow() -> Dataflow:
    """Built when `bytewax.run` asks for it."""
    built = Dataflow("counting")
    numbers = op.input("read", built, _Source())
    sums = op.stateful((FOLDER / "step").read_text(), numbers, _Sum)
    op.output("write", sums, _Sink())
    return built
