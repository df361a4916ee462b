"""The event log sink: where a Bytewax dataflow meets the committer."""

from collections.abc import Sequence

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from schemas.batch import EventBatch
from sinks.committer import Committer

STATE_VERSION = 1

LogState = tuple[int, int, bytes]  # version, position, chain


def part_of_shard(shard: int) -> str:
    """The key of a shard in a dataflow, and of its state in a recovery store."""
    return f"{shard:03d}"


class _ShardPartition(StatefulSinkPartition[EventBatch, LogState]):
    def __init__(self, committer: Committer, shard: int) -> None:
        self._committer = committer
        self._shard = shard

    def write_batch(self, items: list[EventBatch]) -> None:
        self._committer.write(self._shard, items)

    def snapshot(self) -> LogState:
        """Wait for the commits, so that no snapshot is ahead of the log."""
        return (STATE_VERSION, *self._committer.drain(self._shard))

    def close(self) -> None:
        self._committer.drain(self._shard)


class EventLogSink(FixedPartitionedSink[EventBatch, LogState]):
    """Append events to their shard's log.

    Delivery: effectively once. A batch replayed after a crash finds its
    rows by identity and inserts nothing; a stale writer is refused by the
    shard's fence (StaleFenceError) before it writes.
    """

    def __init__(self, committer: Committer, shards: Sequence[int]) -> None:
        self._committer = committer
        self._parts = [part_of_shard(shard) for shard in shards]
        self._index = {part: index for index, part in enumerate(self._parts)}

    def list_parts(self) -> list[str]:
        return self._parts

    def part_fn(self, item_key: str) -> int:
        return self._index[item_key]

    def build_part(self, step_id: str, for_part: str, resume_state: LogState | None) -> _ShardPartition:
        """Take the shard with a new fence; a snapshot ahead of the log begins a new life of it."""
        shard = int(for_part)
        snapshot = None
        if resume_state is not None and resume_state[0] == STATE_VERSION:
            snapshot = (resume_state[1], resume_state[2])
        self._committer.own(shard, snapshot)
        return _ShardPartition(self._committer, shard)
