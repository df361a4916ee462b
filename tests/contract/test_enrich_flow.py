"""What the design fixed about `dataflows.enrich`, run by the real engine on lists."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import cluster_main, run_main
from bytewax.visualize import to_json

from dataflows.enrich import build
from schemas.batch import Event, EventBatch, RawBatch
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS
from settings import Settings
from sources.kafka import PRIORITIES
from tests.event_builders import KICK_OFF, a_pass, encoded

SHARDS = 4
SETTINGS = Settings(shards=SHARDS)


class _Part(StatefulSourcePartition[tuple[str, RawBatch], int]):
    def __init__(self, items: Sequence[tuple[str, RawBatch]]) -> None:
        self._items = items
        self._next = 0

    def next_batch(self) -> list[tuple[str, RawBatch]]:
        if self._next >= len(self._items):
            raise StopIteration
        self._next += 1
        return [self._items[self._next - 1]]

    def snapshot(self) -> int:
        return self._next


class Batches(FixedPartitionedSource[tuple[str, RawBatch], Any]):
    """The batches of each shard, one an activation."""

    def __init__(self, by_shard: dict[int, list[RawBatch]]) -> None:
        self._by_key = {f"{shard:03d}": batches for shard, batches in by_shard.items()}

    def list_parts(self) -> list[str]:
        return sorted(self._by_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _Part:
        return _Part([(for_part, batch) for batch in self._by_key[for_part]])


class _Kept(StatefulSinkPartition[EventBatch, None]):
    def __init__(self, into: list[EventBatch]) -> None:
        self._into = into

    def write_batch(self, items: list[EventBatch]) -> None:
        self._into.extend(items)

    def snapshot(self) -> None:
        return None


class Keep(FixedPartitionedSink[EventBatch, Any]):
    """What reached the sink, shard by shard."""

    def __init__(self, shards: Sequence[int]) -> None:
        self.by_key: dict[str, list[EventBatch]] = {f"{shard:03d}": [] for shard in shards}

    def list_parts(self) -> list[str]:
        return sorted(self.by_key)

    def part_fn(self, item_key: str) -> int:
        return sorted(self.by_key).index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _Kept:
        return _Kept(self.by_key[for_part])

    def events(self) -> list[Event]:
        return [
            entry
            for batches in self.by_key.values()
            for batch in batches
            for entry in batch.entries
            if isinstance(entry, Event)
        ]


def _cut(seed: int) -> tuple[dict[int, list[RawBatch]], dict[str, list[str]]]:
    """Passes of a few matches, spread over time buckets, cut into batches at random places."""
    chance = random.Random(seed)
    matches = [f"m{number}" for number in range(9)]
    records: dict[int, list[bytes]] = {shard: [] for shard in range(SHARDS)}
    expected: dict[str, list[str]] = {match: [] for match in matches}
    for number in range(600):
        match = chance.choice(matches)
        at = a_pass().occurred_at + timedelta(seconds=chance.uniform(-40, 40) + number / 5)
        records[partition_of(match, SHARDS)].append(
            encoded(a_pass(f"p{number}", match=match, occurred_at=at))
        )
        expected[match].append(f"p{number}")
    batches: dict[int, list[RawBatch]] = {}
    for shard, values in records.items():
        batches[shard] = []
        start = 0
        while start < len(values):
            end = start + chance.randint(1, 40)
            rows = [(offset, None, values[offset]) for offset in range(start, min(end, len(values)))]
            batches[shard].append(RawBatch("broadcast-events", shard, list(rows)))
            start = end
    return batches, expected


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_match_keeps_its_order_over_batch_and_bucket_edges(seed: int, workers: int) -> None:
    """However the topic is cut into batches and time into buckets, with one worker or two."""
    batches, expected = _cut(seed)
    sink = Keep(range(SHARDS))
    flow = build(Batches(batches), sink, SETTINGS, lambda: KICK_OFF)
    if workers == 1:
        run_main(flow)  # type: ignore[no-untyped-call]
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)  # type: ignore[no-untyped-call]
    seen: dict[str, list[str]] = {match: [] for match in expected}
    for event in sink.events():
        seen[event.raw.match].append(event.raw.source_event_id)
    assert seen == expected


def test_every_raw_topic_is_read() -> None:
    """A topic without a priority would be filled, and read by nobody."""
    assert sorted(topic for topics in PRIORITIES for topic in topics) == sorted(RAW_TOPICS)


def test_step_ids_are_what_recovery_stores_know() -> None:
    """Renaming a step silently drops its state, so it takes a migration and a change here."""
    flow = build(Batches({0: []}), Keep([0]), SETTINGS, lambda: KICK_OFF)
    text = to_json(flow)
    for step in ("enrich.read", "enrich.decode", "enrich.dedupe", "enrich.enrich", "enrich.append"):
        assert f'"{step}"' in text
