"""The committer of a lane: folds ahead on the worker's thread, commits on its own.

One thread takes what waits, puts all its shards into one transaction and
one query, and publishes after the commit. Batches adapt by themselves:
while one commit is under way, the next one fills.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import psycopg

from schemas.batch import EventBatch
from sinks.checkpoints import due_checkpoints, moved_on, save_checkpoints
from sinks.live_streams import Delivery, LiveStats
from sinks.outages import HistoryLostError, Loss, Verdict, judge
from sinks.prepared import KnownInLog, Prepared
from sinks.redo import Session, redo
from sinks.release import release_some
from sinks.shard_log import ShardLog
from sinks.transaction import Work, copies_of, deliveries_of, expectations
from storage import resume
from storage.append import Ownership, append, generations, read_head, take_shard
from storage.connect import connect
from storage.copy_rows import Checkpoint
from storage.history import (
    Committed,
    ShardHistory,
    forgotten_topics,
    last_token,
    note_timeline,
    prune_tokens,
    raise_generations,
    read_history,
)
from storage.images import rebuild
from storage.lane_reads import WRITER
from storage.parking import match_states
from telemetry.log import Log

_IDLE_SECONDS = 1.0
# How late a lane that has nothing to write notices that a failover took commits: one look-up of a
# few rows by their keys.
_HISTORY_EVERY = timedelta(seconds=1)

NEW_LIFE = "log.new_life_begun"
REDONE = "append.redone"
UNSEEN = "history.not_looked_at"
STOPPED = "committer.stopped"

_log = Log("committer")


class Publisher(Protocol):
    """Where committed rows go at once; what it drops, the relay repairs."""

    @property
    def stats(self) -> LiveStats: ...

    def offer(self, deliveries: Sequence[Delivery]) -> bool: ...


class Limits(NamedTuple):
    """How much waits, and how much goes into one transaction."""

    waiting_rows: int  # must exceed one poll of the source, or nothing is folded ahead
    transaction_rows: int
    image_every: int  # events of a match between two saved images


class CommitterFailedError(RuntimeError):
    """The committer stopped; its reason is the cause."""


class Committer:
    """The one writer of a lane's shards.

    Delivery: effectively once. Nothing counts before its commit; after a
    failure the committed log is read again and what was folded ahead is
    folded anew. Raises in `write` and `drain` what stopped the thread.
    """

    def __init__(
        self,
        dsn: str,
        topics: Mapping[str, int],
        limits: Limits,
        publisher: Publisher | None,
        clock: Callable[[], datetime],
        on_fatal: Callable[[BaseException], None],
        lane: str = "",
    ) -> None:
        self._dsn = dsn
        self._application = f"{WRITER} {lane}".rstrip()
        self._topics = topics
        self._limits = limits
        self._publisher = publisher
        self._clock = clock
        self._on_fatal = on_fatal
        self._logs: dict[int, ShardLog] = {}
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._rows_waiting = 0
        self._failure: BaseException | None = None
        self._closing = False
        self._reader: psycopg.Connection | None = None  # of the workers: images, fences
        self._reader_lock = threading.Lock()
        self._writer: psycopg.Connection | None = None  # of the committer's thread
        self._refused_rows = 0  # as the publisher counts them
        self._thread: threading.Thread | None = None
        self._watched_at = clock()
        self._is_forked = False  # a snapshot was ahead of the log: what others say of their shards is too old
        self._session = Session(self._writer_connection, self._prove_history, clock)
        self.counts: Counter[str] = Counter()

    # -- called by the workers of the lane

    def own(self, shard: int, snapshot: Committed | None) -> None:
        """Become the writer of a shard; begin its next generation when the log lost what the snapshot saw."""
        with self._reader_lock:
            connection = self._reader_connection()
            known = self._logs.get(shard)
            if known is None:
                owned = take_shard(connection, shard)
                head, token = read_head(connection, shard), last_token(connection, shard)
            if snapshot is not None and _lacks(connection, shard, snapshot):
                # The others lost what came after their snapshots, which therefore say nothing.
                self._is_forked = True
                self._begin_generations(connection, [log.owned for log in self._logs.values()])
            if known is not None:
                return  # with the others it has begun its generation
            if self._is_forked:
                owned = self._begin_generations(connection, [owned])[shard]
            states = match_states(connection, shard)
            offsets = resume.next_offsets(connection, shard)
            resume.prune_checkpoints(connection, shard)
            prune_tokens(connection, shard)
        log = ShardLog(owned, head, token, states, offsets, self._topics, self._limits.image_every)
        with self._changed:
            self._logs[shard] = log
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()

    def own_all(self, shards: Sequence[int]) -> None:
        """Own these shards before a record comes, and before it is asked where they are read on.

        What a predecessor committed is proved from here on, so a failover between the question and the
        first record is seen. A release that was under way goes on: the first record may not come for long.
        """
        for shard in shards:
            self.own(shard, None)

    def write(self, shard: int, batches: Sequence[EventBatch]) -> None:
        """Hand batches over; blocks while too much waits."""
        log = self._logs[shard]
        with self._changed:
            while self._is_crowded_for(log, batches) and self._failure is None:
                self._changed.wait()
            self._raise_failure()
        with log.lock:
            work = Work(log, batches, self._fold_ahead(log, batches))
            with self._changed:
                log.pending += 1
                log.waiting_raw += work.prepared is None
                self._waiting.append(work)
                self._rows_waiting += work.size
                self._changed.notify_all()

    def _is_crowded_for(self, log: ShardLog, batches: Sequence[EventBatch]) -> bool:
        """Whether a worker should wait for room, or for what keeps a busy shard from folding ahead.

        Under load there is always something waiting, so one unfolded piece
        would make every later one unfolded too.
        """
        if self._rows_waiting > self._limits.waiting_rows:
            return True
        busy = self._rows_waiting > self._limits.transaction_rows // 8
        return bool(log.waiting_raw) and busy and not log.unanswered(batches)

    def _fold_ahead(self, log: ShardLog, batches: Sequence[EventBatch]) -> Prepared | None:
        """Fold now, if memory alone can answer everything and nothing unfolded is in front."""
        if log.waiting_raw or log.is_stale or log.is_crowded or log.unanswered(batches):
            return None
        try:
            with self._reader_lock:
                log.load_images(batches, lambda match: rebuild(self._reader_connection(), match))
        except psycopg.Error:
            return None  # the committer rebuilds them, and waits where it has to
        return log.prepare(batches, KnownInLog(), self._clock())

    def drain(self, shard: int) -> Committed:
        """Wait until everything written for a shard is committed; return what is."""
        log = self._logs[shard]
        with self._changed:
            while log.pending and self._failure is None:
                self._changed.wait()
            self._raise_failure()
            return log.committed._replace(generation=log.owned.generation)

    def committed_offsets(self) -> dict[int, dict[int, int]]:
        """Shard -> number of a topic's life -> next offset to read, as committed; for any thread."""
        with self._changed:
            return {shard: dict(log.committed_offsets) for shard, log in self._logs.items()}

    def close(self) -> None:
        """Commit what waits, end the thread and leave the database; the shards stay as they are."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise CommitterFailedError(str(self._failure)) from self._failure

    def _reader_connection(self) -> psycopg.Connection:
        if self._reader is None or self._reader.closed or self._reader.broken:
            if self._reader is not None:
                self._reader.close()
            self._reader = connect(self._dsn, "touchline-enrich-reader")
        return self._reader

    # -- the committer's own thread

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._waiting and not self._closing and not self._is_releasing():
                        self._changed.wait(_IDLE_SECONDS)
                    works = self._take()
                if works:
                    self._commit(works)
                self._watch_history()
                if self._is_releasing():
                    self._release_some()
                    continue
                if works:
                    continue
                self._checkpoint_idle_shards()
                if self._closing:
                    return
        except BaseException as error:  # noqa: BLE001 - a thread that ends unheard would stop the lane
            _log.error(STOPPED, error=error)
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            self._on_fatal(error)

    def _is_releasing(self) -> bool:
        return any(log.releasing for log in tuple(self._logs.values()))  # shards are added meanwhile

    def _release_some(self) -> None:
        """Put some parked events of each match that is released into the log, behind what is committed.

        Between two transactions of what came in, so that the other matches go on. What was folded
        ahead was folded onto another head, and is taken back.
        """
        for log in [log for log in tuple(self._logs.values()) if log.releasing]:
            self._take_back({log}, [])
            with self._changed:
                log.waiting_raw += 1  # until the head is known again nothing is folded ahead
            piece = release_some(log, self._session)
            with self._changed:
                log.waiting_raw -= 1
            if piece is not None:
                self._acknowledge([], [piece], [])

    def _take(self) -> list[Work]:
        """What waits in front and is of one kind, folded or not, up to one transaction."""
        works: list[Work] = []
        rows = 0
        while self._waiting and rows < self._limits.transaction_rows:
            if works and (works[0].prepared is None) != (self._waiting[0].prepared is None):
                break
            works.append(self._waiting.popleft())
            rows += works[-1].size
        return works

    def _commit(self, works: list[Work]) -> None:
        folded = [work.prepared for work in works if work.prepared is not None]
        if folded:
            checkpoints = due_checkpoints(works, folded, self._clock())
            try:
                self._append(works, folded, checkpoints)
                self._acknowledge(works, folded, checkpoints)
                return
            except psycopg.Error as error:
                verdict = judge(error)
                self.counts["redone"] += 1
                _log.warning(REDONE, verdict=verdict.name, detail=str(error).strip())
                if verdict is Verdict.BUG:
                    raise
                self._take_back({work.log for work in works}, works)
        pieces = redo(works, self._session, self.counts, every_key=bool(folded))
        self._acknowledge(works, pieces, [])

    def _append(
        self, works: Sequence[Work], pieces: Sequence[Prepared], checkpoints: Sequence[Checkpoint]
    ) -> None:
        copies = copies_of(pieces, checkpoints, self._clock())
        if not copies:
            return  # repeats only, and no checkpoint is due
        append(self._writer_connection(), expectations(works), copies)

    def _take_back(self, logs: set[ShardLog], failed: Sequence[Work]) -> None:
        """What was folded onto rows that did not get committed has to be folded again."""
        for log in logs:
            with log.lock, self._changed:
                log.is_stale = True
                for work in (*failed, *self._waiting):
                    if work.log is log and work.prepared is not None:
                        work.prepared = None
                        log.waiting_raw += 1

    def _acknowledge(
        self, works: Sequence[Work], pieces: Sequence[Prepared], checkpoints: Sequence[Checkpoint]
    ) -> None:
        now = self._clock()
        by_shard: dict[int, list[Prepared]] = {}
        for piece in pieces:
            by_shard.setdefault(piece.shard, []).append(piece)
            self.counts["rows"] += len(piece.rows)
            self.counts["repeats"] += piece.repeats
            self.counts["letters"] += len(piece.letters)
        self.counts["transactions"] += 1
        with self._changed:
            for work in works:
                work.log.pending -= 1
                work.log.waiting_raw -= work.prepared is None
                self._rows_waiting -= work.size
            for shard, committed in by_shard.items():
                log = self._logs[shard]
                tokens = [piece.token for piece in committed if piece.token is not None]
                token = tokens[-1] if tokens else log.committed.token
                log.committed = Committed(committed[-1].position, committed[-1].chain, token)
                log.committed_offsets = committed[-1].next_offsets
                log.note_obeyed([control for piece in committed for control in piece.controls])
            for checkpoint in checkpoints:
                self._logs[checkpoint.shard].note_checkpoint(checkpoint, now)
            self._changed.notify_all()
        if self._publisher is not None:
            runs = [
                run
                for shard, committed in by_shard.items()
                for run in deliveries_of(self._logs[shard], committed)
            ]
            if runs:
                self._publisher.offer(runs)
            self._follow_generations(self._publisher.stats.refused)

    def _follow_generations(self, refused: int) -> None:
        """When streams refuse rows the relay may have begun a new life of a log: write there from now on."""
        if refused == self._refused_rows:
            return
        self._refused_rows = refused
        try:
            lives = generations(self._writer_connection(), list(self._logs))
        except psycopg.Error:
            return  # the next append meets the same outage and deals with it
        for shard, generation in lives.items():
            self._logs[shard].follow_generation(generation)

    def _checkpoint_idle_shards(self) -> None:
        """Save where reading stands after the last batch, repeats included, once nothing waits."""
        with self._changed:
            idle = moved_on(self._logs.values())
        save_checkpoints(idle, self._writer_connection, self._clock())

    def _watch_history(self) -> None:
        """Raise HistoryLostError when the database lost what was committed, also when nothing is written.

        No append would notice: what the database lost would stay away until the next event.
        """
        now = self._clock()
        if abs(now - self._watched_at) < _HISTORY_EVERY:  # a clock may jump back
            return
        self._watched_at = now
        try:
            self._prove_history(self._writer_connection())
        except psycopg.Error as error:
            _log.warning(UNSEEN, detail=str(error).strip())

    def _prove_history(self, connection: psycopg.Connection) -> None:
        """Compare the log with all that was committed to it, for every shard of this writer.

        Whatever is missing anywhere: every shard begins its next generation,
        and this raises HistoryLostError. Going on would bury what was lost;
        the next start reads on from the log's own offsets, which brings it
        back. Only the committer's thread calls this: a shard's `committed`
        is what that thread has acknowledged.
        """
        logs = dict(self._logs)  # shards are added meanwhile
        if not logs:
            return
        # Before the look-up: a worker that owns a shard meanwhile may begin generations.
        owned = {shard: log.owned for shard, log in logs.items()}
        history = read_history(connection, {shard: log.committed for shard, log in logs.items()})
        if history.timeline is None:
            connection.close()
            raise psycopg.OperationalError("the server is a standby now")
        losses = [
            Loss(each.shard, log.committed.position, each.position, f"shard {each.shard} {what}")
            for each in history.shards
            for log in (logs[each.shard],)
            if (what := _loss(each, owned[each.shard].generation)) is not None
        ]
        forgotten = forgotten_topics(connection, self._topics)
        if losses or forgotten:
            self._begin_generations(connection, [log.owned for log in logs.values()])
            raise HistoryLostError(losses, forgotten)
        if any(each.timeline != history.timeline for each in history.shards):
            note_timeline(connection, list(owned.values()))
        for each in history.shards:
            logs[each.shard].follow_generation(each.generation)

    def _begin_generations(
        self, connection: psycopg.Connection, owned: Sequence[Ownership]
    ) -> dict[int, Ownership]:
        """Begin the next generation of these shards, and write to it from now on."""
        raised = raise_generations(connection, owned)
        begun = {each.shard: each._replace(generation=raised[each.shard]) for each in owned}
        for shard, each in begun.items():
            _log.warning(NEW_LIFE, shard=shard, generation=each.generation)
            if shard in self._logs:
                self._logs[shard].owned = each
        return begun

    def _writer_connection(self) -> psycopg.Connection:
        """The session of the committer's thread; a new one has proved that nothing was lost.

        A session ends with its server, so nothing is written to another one unproved.
        """
        if self._writer is None or self._writer.closed or self._writer.broken:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            connection = connect(self._dsn, self._application)
            try:
                self._prove_history(connection)
            except BaseException:
                connection.close()
                raise
            self._writer = connection
        return self._writer


def _loss(shard: ShardHistory, generation: int = 0) -> str | None:
    """What the log lacks of what was seen committed, in a generation if the writer knows it."""
    if not shard.has_events:
        return f"ends at {shard.position}, or has other events than were committed"
    if not shard.has_token:
        return f"lacks dead letters, parked events or controls behind commit token {shard.token_number}"
    if shard.generation < generation:
        return f"is back in generation {shard.generation} from {generation}"
    return None


def _lacks(connection: psycopg.Connection, shard: int, seen: Committed) -> bool:
    """Whether the log of a shard lacks what a snapshot saw committed, and no generation has begun since."""
    return any(
        _loss(each) is not None
        for each in read_history(connection, {shard: seen}).shards
        if seen.generation in (0, each.generation)
    )
