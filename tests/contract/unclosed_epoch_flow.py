"""A dataflow for a child process: it collects items by key, and can be held inside a snapshot.

The folder that `FLOW_FOLDER` names is how a test talks to it: `items` is
what the source has, while `hold` exists the snapshot of one key blocks, and
`kept` is what was collected.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

FOLDER = Path(os.environ["FLOW_FOLDER"])
KEYS = [f"key-{number}" for number in range(16)]
HELD = KEYS[0]

Item = tuple[str, str]


class _Batches(StatefulSourcePartition[Item, int]):
    """Each line of `items` is a batch: one item for every key."""

    def __init__(self, done: int | None) -> None:
        self._done = done or 0
        self._awake: datetime | None = None

    def next_batch(self) -> list[Item]:
        lines = (FOLDER / "items").read_text().split()
        if self._done < len(lines):
            self._done += 1
            return [(key, lines[self._done - 1]) for key in KEYS]
        if (FOLDER / "ends").exists():
            raise StopIteration
        self._awake = datetime.now(UTC) + timedelta(milliseconds=10)
        return []

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> int:
        return self._done


class _Source(FixedPartitionedSource[Item, int]):
    def list_parts(self) -> list[str]:
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Batches:
        return _Batches(resume_state)


class _Collect(StatefulLogic[str, str, list[str]]):
    """All items of a key, in order."""

    def __init__(self, resumed: list[str] | None) -> None:
        self._items = list(resumed or [])

    def on_item(self, value: str) -> tuple[list[str], bool]:
        self._items.append(value)
        return [" ".join(self._items)], StatefulLogic.RETAIN

    def snapshot(self) -> list[str]:
        if self._items[-1] == "held" and (FOLDER / "hold").exists():
            (FOLDER / "holding").touch()
            Event().wait()  # until this process is killed
        return list(self._items)


class _Write(StatelessSinkPartition[Item]):
    def write_batch(self, items: list[Item]) -> None:
        with (FOLDER / "kept").open("a") as file:
            file.writelines(f"{key} {kept}\n" for key, kept in items)


class _Sink(DynamicSink[Item]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Write:
        return _Write()


def _mark(item: Item) -> Item:
    """Only one key is held in its snapshot."""
    key, value = item
    return key, "held" if key == HELD and value == "next" else value


def flow() -> Dataflow:
    """Built when `bytewax.run` asks for it."""
    built = Dataflow("unclosed")
    items = op.map("mark", op.input("read", built, _Source()), _mark)
    kept: Any = op.stateful("collect", items, _Collect)
    op.output("write", kept, _Sink())
    return built
