"""The event log sink: where a Bytewax dataflow meets the committer."""

from collections.abc import Sequence

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from schemas.batch import EventBatch
from sinks.committer import Committer
from storage.history import Committed, CommitToken

STATE_VERSION = 2

_NUMBER_BYTES = 8

LogState = tuple[int, int, bytes, bytes]  # version, position, chain, commit token (number in 8 bytes, hash)


def part_of_shard(shard: int) -> str:
    """The key of a shard in a dataflow, and of its state in a recovery store."""
    return f"{shard:03d}"


def _committed(state: tuple[int, int, bytes] | LogState) -> Committed | None:
    """What a snapshot saw committed; version 1 knew no commit tokens."""
    if state[0] not in (1, STATE_VERSION):
        return None
    position, chain, *rest = state[1:]
    if not rest:
        return Committed(position, chain)
    number, token = rest[0][:_NUMBER_BYTES], rest[0][_NUMBER_BYTES:]
    return Committed(position, chain, CommitToken(int.from_bytes(number, "big"), token))


class _ShardPartition(StatefulSinkPartition[EventBatch, LogState]):
    def __init__(self, committer: Committer, shard: int) -> None:
        self._committer = committer
        self._shard = shard

    def write_batch(self, items: list[EventBatch]) -> None:
        self._committer.write(self._shard, items)

    def snapshot(self) -> LogState:
        """Wait for the commits, so that no snapshot is ahead of the log."""
        position, chain, token = self._committer.drain(self._shard)
        return (STATE_VERSION, position, chain, token.number.to_bytes(_NUMBER_BYTES, "big") + token.token)

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
        self._committer.own(shard, None if resume_state is None else _committed(resume_state))
        return _ShardPartition(self._committer, shard)
