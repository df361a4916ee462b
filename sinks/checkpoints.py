"""When a shard's checkpoint is due: where reading stands goes into the log beside the rows, once a second."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import psycopg

from sinks.prepared import Prepared
from sinks.shard_log import ShardLog
from sinks.transaction import Work, copies_of
from storage.append import Expectation, append
from storage.copy_rows import Checkpoint
from telemetry.log import Log

_EVERY = timedelta(seconds=1)

POSTPONED = "checkpoint.postponed"

_log = Log("committer")


def due_checkpoints(works: Sequence[Work], pieces: Sequence[Prepared], now: datetime) -> list[Checkpoint]:
    """One for each shard whose last is a second old, as of its last piece in this transaction."""
    last = {work.log.shard: (work.log, piece) for work, piece in zip(works, pieces, strict=True)}
    return [
        Checkpoint(shard, piece.position, piece.next_offsets)
        for shard, (log, piece) in last.items()
        if now - log.checkpointed_at >= _EVERY
    ]


def moved_on(logs: Iterable[ShardLog]) -> list[tuple[ShardLog, Checkpoint]]:
    """Where reading stands in shards with nothing waiting that moved on since their last checkpoint."""
    return [
        (log, Checkpoint(log.shard, log.committed[0], log.committed_offsets))
        for log in logs
        if not log.pending and log.committed_offsets != log.checkpointed_offsets
    ]


def save_checkpoints(
    idle: Sequence[tuple[ShardLog, Checkpoint]], connect: Callable[[], psycopg.Connection], now: datetime
) -> None:
    """Write them alone; in an outage later."""
    if not idle:
        return
    expected = [Expectation(log.shard, log.owned.fence, at.position) for log, at in idle]
    try:
        append(connect(), expected, copies_of([], [at for _, at in idle], now))
    except psycopg.Error as error:
        _log.warning(POSTPONED, detail=str(error).strip())
        return
    for log, at in idle:
        log.note_checkpoint(at, now)
