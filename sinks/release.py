"""Append parked events to the log: redriven letters, then the rest as they came, some at a time.

Each transaction deletes parked events and appends them to the log, so a
crash leaves either. What comes in meanwhile is parked behind them; the
transaction that finds no more of them opens the match.
"""

import time
from functools import partial

import psycopg
from msgspec.structs import replace

from schemas import letters
from schemas.batch import Event, EventBatch, event_of
from schemas.letters import DeadLetter, Origin
from schemas.validation import Rejection, read
from sinks.outages import Verdict, judge
from sinks.prepared import KnownInLog, Prepared
from sinks.redo import Session, read_again
from sinks.shard_log import ShardLog
from sinks.transaction import copies_of
from storage.append import Expectation, finish, lock_and_look_up, roll_back
from storage.images import rebuild
from storage.parking import Waiting, leave, redriven_events, waiting_events
from telemetry.log import Log

# Of one transaction: 20 ms or so, which other matches of the shard have to wait.
MOST_AT_ONCE = 500
_PAUSE_SECONDS = 0.2

WAITED = "release.waited"

_log = Log("committer")


def release_some(log: ShardLog, session: Session) -> Prepared | None:
    """Commit the next parked events of a match that is being released; None when there is none, or an outage.

    Nothing may be folded ahead meanwhile. Raises StaleFenceError,
    HistoryLostError, or what no rule covers.
    """
    most, refusal = MOST_AT_ONCE, ""
    while True:
        try:
            return _attempt(log, session, most, refusal)
        except psycopg.Error as error:
            log.is_stale = True
            verdict = judge(error)
            if verdict is Verdict.REFUSED and not refusal:
                # One by one, to find the event that it is about; alone, it is that one.
                most, refusal = 1, str(error) if most == 1 else ""
                continue
            if verdict is not Verdict.OUTAGE:
                raise
            _log.warning(WAITED, seconds=_PAUSE_SECONDS, detail=str(error).strip())
            time.sleep(_PAUSE_SECONDS)
            return None


def _attempt(log: ShardLog, session: Session, most: int, refusal: str) -> Prepared | None:
    connection = session.connect()
    session.prove(connection)
    read_again(connection, log)
    if not log.releasing:
        return None
    match = min(log.releasing)
    # Whoever else changes these holds the fence, and then the append is refused.
    redriven = redriven_events(connection, log.shard, match, most)
    waiting = redriven or waiting_events(connection, log.shard, match, most)
    events = [(one.topic, _batch(log.shard, one, refusal)) for one in waiting]
    batches = [batch for _, batch in events]
    log.load_images(batches, partial(rebuild, connection))
    keys = [entry.key for batch in batches for entry in batch.entries if isinstance(entry, Event)]
    expected = [Expectation(log.shard, log.owned.fence, log.position)]
    found = lock_and_look_up(connection, expected, keys)
    try:
        leave(connection, waiting)
        now = session.clock()
        is_last = not redriven and len(waiting) < most
        piece = log.release(match, events, KnownInLog(found), now, is_last)
    except BaseException:
        roll_back(connection)
        raise
    finish(connection, copies_of([piece], [], now))
    return piece


def _batch(shard: int, waiting: Waiting, refusal: str) -> EventBatch:
    origin = Origin(waiting.topic_name, shard, waiting.offset)
    found = read(waiting.original)
    if isinstance(found, Rejection):  # a newer version has stricter rules
        reason, detail, match = found.reason, found.detail, found.match
    elif refusal:
        reason, detail, match = letters.REFUSED_BY_STORAGE, refusal, found.event.match
    else:
        event = event_of(found, waiting.offset, waiting.original)
        event = replace(event, importance=waiting.importance, language=waiting.language)
        return EventBatch(waiting.topic_name, shard, [event], waiting.offset + 1)
    key = match.encode() if match is not None else None
    letter = DeadLetter(reason, detail, origin, key, waiting.original, match)
    return EventBatch(waiting.topic_name, shard, [letter], waiting.offset + 1)
