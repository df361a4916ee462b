"""What a recovery store holds: state per step, read offsets and places in the log."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from storage.recovery_store import Store
from storage.store_file import StoreFile
from storage.store_states import APPEND_STEP, READ_STEP, read_state, refuse_foreign

_TOTALS = """
SELECT step_id, count(*), coalesce(sum(snap_epoch >= ?), 0), max(created_at) FROM snaps GROUP BY step_id
"""
# SQLite takes the other columns from the row that has the maximum.
_NEWEST = """
SELECT step_id, state_key, max(snap_epoch), ser_change IS NULL, coalesce(length(ser_change), 0)
FROM snaps WHERE snap_epoch < ? GROUP BY step_id, state_key
"""
_STATE = """
SELECT ser_change FROM snaps WHERE step_id = ? AND state_key = ? AND snap_epoch = ?
"""


class StepSize(msgspec.Struct, kw_only=True):
    """The state of one step as a resume would load it, and its rows in all."""

    step: str
    keys: int = 0
    tombstones: int = 0  # keys whose last snapshot says that they are gone
    rows: int = 0
    bytes: int = 0
    largest_key: str = ""
    largest_bytes: int = 0


class Place(msgspec.Struct, frozen=True):
    """How far a shard's log had come, as the sink's snapshot says."""

    position: int
    chain: str  # hex


class Contents(msgspec.Struct, kw_only=True):
    """A store's rows, counted, and what its snapshots say."""

    rows: int
    unclosed_rows: int
    steps: list[StepSize]
    offsets: dict[str, dict[str, int]]  # shard -> topic -> next offset; a topic not yet read is left out
    places: dict[str, Place]  # shard -> place
    written_at: datetime | None


def read_contents(directory: Path, store: Store) -> Contents:
    """Read what a resume of the store would load; raise StateForeignError for a state nobody here wrote.

    Of every row, also of those that a resume would not load: `rewind` may
    come back to them.
    """
    refuse_foreign(directory, store)
    epoch = store.resume_epoch
    found = Contents(rows=0, unclosed_rows=0, steps=[], offsets={}, places={}, written_at=None)
    steps: dict[str, StepSize] = {}
    for path in store.files.values():
        with StoreFile(path, directory) as file:
            for step, rows, unclosed, written in file.rows(_TOTALS, (str, int, int, str), epoch):
                steps.setdefault(step, StepSize(step=step)).rows += rows
                found.rows += rows
                found.unclosed_rows += unclosed
                at = file.moment(written)
                found.written_at = max(found.written_at or at, at)
            for step, key, snapped, is_gone, size in file.rows(_NEWEST, (str, str, int, int, int), epoch):
                _count(steps.setdefault(step, StepSize(step=step)), key, bool(is_gone), size)
                if not is_gone and step in (READ_STEP, APPEND_STEP):
                    for (data,) in file.rows(_STATE, (bytes,), step, key, snapped):
                        _note(found, step, key, read_state(step, data))
    found.steps = sorted(steps.values(), key=lambda step: step.step)
    return found


def _count(step: StepSize, key: str, is_gone: bool, size: int) -> None:
    if is_gone:
        step.tombstones += 1
        return
    step.keys += 1
    step.bytes += size
    if size > step.largest_bytes:
        step.largest_key, step.largest_bytes = key, size


def _note(found: Contents, step: str, key: str, state: Any) -> None:
    """The states that say where reading and the log were; the others are only counted."""
    if step == READ_STEP:
        # Below zero: where a topic begins, and nothing of it was read.
        found.offsets[key] = {topic: offset for topic, offset in sorted(state.items()) if offset >= 0}
    else:
        _, position, chain, *_ = state
        found.places[key] = Place(position, chain.hex())


def age_seconds(contents: Contents, now: datetime) -> float | None:
    """How long ago a snapshot was last written; to the second, as SQLite stamps it."""
    if contents.written_at is None:
        return None
    return max(0.0, (now.astimezone(UTC) - contents.written_at).total_seconds())


def lag(offsets: Mapping[str, Mapping[str, int]], ends: Mapping[tuple[str, int], int]) -> int:
    """Records between read offsets and the ends of their partitions; one never read counts from 0."""
    behind = 0
    for key, topics in offsets.items():
        if key.isdecimal():
            behind += sum(
                max(0, end - topics.get(topic, 0))
                for (topic, shard), end in ends.items()
                if shard == int(key)
            )
    return behind
