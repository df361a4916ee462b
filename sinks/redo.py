"""The slow way into the log: lock, look up, then fold. Taken after a start and after any failure.

The log is the only authority on what is a repeat, so before anything is
folded again the head is read anew and every key in doubt is looked up,
under the lock.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import psycopg

from resilience.backoff import Backoff
from schemas import letters
from schemas.batch import EventBatch
from sinks.outages import AppendConflictError, StorageRefusesError, Verdict, judge
from sinks.prepared import KnownInLog, OriginKey, Prepared
from sinks.shard_log import ShardLog
from sinks.transaction import Work, copies_of, expectations
from storage.append import (
    finish,
    lock_and_look_up,
    read_head,
    roll_back,
    settled_origins,
)
from storage.history import Committed, last_token
from storage.images import rebuild
from storage.parking import match_states
from telemetry.log import Log

_CONFLICTS_ALLOWED = 2
# More than any source sends of what our checks let through and the database does not.
_REFUSALS_ALLOWED = 50
_REFUSALS = "refused_in_a_row"
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=50), timedelta(seconds=2)

WAITED = "append.waited"

_log = Log("committer")

Connect = Callable[[], psycopg.Connection]
Prove = Callable[[psycopg.Connection], None]
Clock = Callable[[], datetime]


class Session(NamedTuple):
    """How the committer's thread reaches the log."""

    connect: Connect
    prove: Prove  # that the log has all that was committed; raises HistoryLostError
    clock: Clock


def redo(works: Sequence[Work], session: Session, counts: Counter[str], every_key: bool) -> list[Prepared]:
    """Commit works that nobody folded; wait out every outage.

    `every_key`: look all keys up, not only those in doubt. Raises
    StaleFenceError, AppendConflictError, HistoryLostError, StorageRefusesError,
    or what no rule covers.
    """
    conflicts = 0
    waits = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, random.random)
    while True:
        try:
            return _attempt(works, session, counts, every_key)
        except psycopg.Error as error:
            verdict = judge(error)
            for work in works:
                work.log.is_stale = True
            every_key = True
            if verdict is Verdict.CONFLICT:
                conflicts += 1
                if conflicts > _CONFLICTS_ALLOWED:
                    raise AppendConflictError(str(error)) from error
            elif verdict is Verdict.REFUSED:
                return _without_the_refused(works, session, counts, str(error))
            elif verdict is Verdict.BUG:
                raise
            else:
                pause = waits.next_delay().total_seconds()
                _log.warning(WAITED, seconds=round(pause, 3), detail=str(error).strip())
                time.sleep(pause)


def _attempt(
    works: Sequence[Work], session: Session, counts: Counter[str], every_key: bool
) -> list[Prepared]:
    connection = session.connect()
    grouped: dict[ShardLog, list[EventBatch]] = {}
    for work in works:
        grouped.setdefault(work.log, []).extend(work.batches)
    if any(log.is_stale for log in grouped):
        session.prove(connection)
    for log, batches in grouped.items():
        if log.is_stale:
            read_again(connection, log)
        if log.is_crowded:
            log.evict()
        # Before the transaction, so that the lock is short; what came in between moves the head.
        log.load_images(batches, partial(rebuild, connection))
    keys = [key for log, batches in grouped.items() for key in log.unanswered(batches, every_key)]
    counts["looked_up"] += len(keys)
    found = lock_and_look_up(connection, expectations(works), keys)
    try:
        known = KnownInLog(found, _settled_there(connection, works) if every_key else frozenset())
        now = session.clock()
        pieces = [log.prepare(batches, known, now) for log, batches in grouped.items()]
    except BaseException:
        roll_back(connection)
        raise
    finish(connection, copies_of(pieces, [], now))
    if any(piece.rows for piece in pieces):
        counts[_REFUSALS] = 0
    return pieces


def read_again(connection: psycopg.Connection, log: ShardLog) -> None:
    """Let a shard's memory be what is committed, on a session that has proved its history.

    That includes a commit whose answer was lost: what it held is not written
    again, so from here on it is proved like all that was acknowledged.
    """
    shard = log.shard
    head, token = read_head(connection, shard), last_token(connection, shard)
    log.reset(head, token, match_states(connection, shard))
    log.committed = Committed(head.position, head.chain, token)


def _settled_there(connection: psycopg.Connection, works: Sequence[Work]) -> frozenset[OriginKey]:
    origins = [
        (work.log.number_of(batch.topic), batch.partition, offset)
        for work in works
        for batch in work.batches
        for offset in batch.offsets()
    ]
    return frozenset(settled_origins(connection, origins)) if origins else frozenset()


def _without_the_refused(
    works: Sequence[Work], session: Session, counts: Counter[str], detail: str
) -> list[Prepared]:
    """Bisect the input of the fold until the refused event is alone, and make it a dead letter."""
    pieces: list[Prepared] = []
    for work in works:
        first, second = work.split()
        if second.batches:
            parts = [first, second]
        elif len(works) > 1:
            parts = [first]
        else:
            counts[_REFUSALS] += 1
            if counts[_REFUSALS] > _REFUSALS_ALLOWED:
                raise StorageRefusesError(counts[_REFUSALS], detail)
            parts = [first.refused(letters.REFUSED_BY_STORAGE, detail)]
        for part in parts:
            pieces += redo([part], session, counts, every_key=True)
    return pieces
