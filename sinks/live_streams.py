"""Write-through to the live streams: what was just committed goes to Redis at once.

A short cut, and nothing more: what is dropped or refused here is in the
log, and `dataflows.deliver` appends it.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from schemas.log_position import chained
from schemas.pack import pack
from sinks.availability import Availability
from storage.streams import Outcome, PackToAppend, Streams, StreamsUnavailableError, StreamTop, stream_name
from telemetry.log import Log

# Events of one stream entry when runs that wait are joined: fewer entries are less
# work for Redis, and this many are still read in a millisecond.
PACK_EVENTS = 1_000


class Delivery(NamedTuple):
    """A run of consecutive committed rows of one shard, from behind `prev_position` to `position`."""

    shard: int
    generation: int
    prev_position: int
    prev_chain: bytes
    position: int
    chain: bytes
    payloads: list[bytes]
    chains: list[bytes]  # after each of them


class LiveStats(NamedTuple):
    """Rows so far. `dropped`: not sent, or no answer came; `refused`: the stream ended elsewhere."""

    published: int = 0
    dropped: int = 0
    refused: int = 0


class LivePublisher:
    """Append committed rows to their streams, from a thread of its own.

    Delivery: at most once, in order, without gaps: an append that does not
    follow the stream's top is refused. Never tried again here. The caller is
    never blocked and never sees an error.
    """

    def __init__(
        self, redis_url: str, backlog_rows: int, chance: Callable[[], float] = random.random
    ) -> None:
        self._streams = Streams(redis_url)
        self._backlog_rows = backlog_rows
        self._availability = Availability("redis", Log("live_streams"), time.monotonic, chance)
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._rows_waiting = 0  # those being sent included
        self._is_down = False
        self._is_closing = False
        self._stats = LiveStats()
        self._thread = threading.Thread(target=self._run, name="live-publisher", daemon=True)
        self._thread.start()

    @property
    def stats(self) -> LiveStats:
        with self._changed:
            return self._stats

    def offer(self, deliveries: Sequence[Delivery]) -> bool:
        """Take rows to publish; False when they are dropped, because too much waits or Redis is down."""
        rows = _rows(deliveries)
        with self._changed:
            is_full = self._rows_waiting > 0 and self._rows_waiting + rows > self._backlog_rows
            if is_full or self._is_down or self._is_closing:
                self._count(dropped=rows)
                return False
            self._waiting.extend(deliveries)
            self._rows_waiting += rows
            self._changed.notify_all()
            return True

    def close(self, deadline: timedelta) -> None:
        """Publish what waits, for at most `deadline`, then stop."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(deadline.total_seconds())
        with self._changed:
            self._drop_waiting()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    self._streams.close()
                    return
                runs = joined(self._waiting)
                self._waiting.clear()
            try:
                outcomes = self._streams.append([_pack_of(run) for run in runs])
            except StreamsUnavailableError as error:
                self._wait_for_redis(_rows(runs), error)
            else:
                self._settle(runs, outcomes)

    def _settle(self, runs: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        sent = _rows(runs)
        published = sum(
            len(run.payloads) for run, outcome in zip(runs, outcomes, strict=True) if outcome.is_appended
        )
        # Not before an append: a server that is full or read-only still answers a ping.
        self._availability.regained()
        with self._changed:
            self._rows_waiting -= sent
            self._count(published=published, refused=sent - published)

    def _wait_for_redis(self, rows_lost: int, error: StreamsUnavailableError) -> None:
        """Drop everything, and stay here until Redis answers again: the relay repairs what is missing."""
        with self._changed:
            self._is_down = True
            self._rows_waiting -= rows_lost
            self._count(dropped=rows_lost)
            self._drop_waiting()
        detail: str | None = error.detail
        while detail is not None:
            pause = self._availability.lost(detail).total_seconds()
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closing, pause):
                    return
            detail = self._try_ping()
        with self._changed:
            self._is_down = False

    def _try_ping(self) -> str | None:
        """None when Redis answers, else what it said."""
        try:
            self._streams.ping()
        except StreamsUnavailableError as error:
            return error.detail
        return None

    def _drop_waiting(self) -> None:
        rows = _rows(self._waiting)
        self._rows_waiting -= rows
        self._count(dropped=rows)
        self._waiting.clear()

    def _count(self, published: int = 0, dropped: int = 0, refused: int = 0) -> None:
        before = self._stats
        self._stats = LiveStats(
            before.published + published, before.dropped + dropped, before.refused + refused
        )


def joined(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Join runs that follow each other on one shard, up to PACK_EVENTS; each shard keeps its order.

    Runs wait only while Redis is slower than the log, and fewer, larger
    entries are what makes it faster.
    """
    runs: list[Delivery] = []
    last: dict[int, int] = {}  # shard -> index of its last run
    for run in deliveries:
        index = last.get(run.shard)
        if index is not None and _may_join(runs[index], run):
            runs[index] = run._replace(
                prev_position=runs[index].prev_position,
                prev_chain=runs[index].prev_chain,
                payloads=runs[index].payloads + run.payloads,
                chains=runs[index].chains + run.chains,
            )
        else:
            last[run.shard] = len(runs)
            runs.append(run)
    return runs


def _may_join(first: Delivery, second: Delivery) -> bool:
    return (
        first.generation == second.generation
        and (first.position, first.chain) == (second.prev_position, second.prev_chain)
        and len(first.payloads) + len(second.payloads) <= PACK_EVENTS
    )


def _pack_of(run: Delivery) -> PackToAppend:
    return PackToAppend(
        stream_name(run.shard, run.generation),
        StreamTop(run.prev_position, run.prev_chain),
        StreamTop(run.position, run.chain),
        pack(run.payloads),
        chained(run.prev_chain, run.chains),
    )


def _rows(deliveries: Iterable[Delivery]) -> int:
    return sum(len(run.payloads) for run in deliveries)
