"""The event log sink: where a Bytewax dataflow meets the committer."""

from collections.abc import Sequence

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from schemas.batch import EventBatch
from sinks.committer import Committer
from storage.history import Committed, CommitToken

STATE_VERSION = 2
_NUMBER_BYTES = 8

# Version, position, chain, commit token (its number in 8 bytes, then the hash), generation.
LogState = tuple[int, int, bytes, bytes, int]


def part_of_shard(shard: int) -> str:
    """The key of a shard in a dataflow, and of its state in a recovery store."""
    return f"{shard:03d}"


def state_of(committed: Committed) -> LogState:
    """Encode the last commit seen of a shard as the state of a snapshot."""
    position, chain, (number, token), generation = committed
    return (STATE_VERSION, position, chain, number.to_bytes(_NUMBER_BYTES, "big") + token, generation)


def committed_of(state: tuple[int, int, bytes] | LogState) -> Committed | None:
    """Decode the last commit that a snapshot saw; version 1 has no commit token."""
    if state[0] not in (1, STATE_VERSION):
        return None
    if len(state) == 3:
        return Committed(state[1], state[2])
    _, position, chain, token, generation = state
    number = int.from_bytes(token[:_NUMBER_BYTES], "big")
    return Committed(position, chain, CommitToken(number, token[_NUMBER_BYTES:]), generation)


class _ShardPartition(StatefulSinkPartition[EventBatch, LogState]):
    def __init__(self, committer: Committer, shard: int) -> None:
        self._committer = committer
        self._shard = shard

    def write_batch(self, items: list[EventBatch]) -> None:
        self._committer.write(self._shard, items)

    def snapshot(self) -> LogState:
        """Wait for the commits, so that no snapshot is ahead of the log."""
        return state_of(self._committer.drain(self._shard))

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
        self._committer.own(shard, None if resume_state is None else committed_of(resume_state))
        return _ShardPartition(self._committer, shard)
