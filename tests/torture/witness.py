"""Notes what the log held, generation by generation, and sees where a failover took its end."""

import asyncio
import threading
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

import psycopg

from settings import Settings

_READS_EVERY_SECONDS = 0.1
# In one statement, so that rows, heads and generations are of one moment. A shard without news has one row.
# Each shard by itself: a plain join may read all rows of the log, ten times a second.
_NEWS = """
SELECT d.shard, d.generation, p.chain, e.position, e.match, e.seq, e.event_id, e.chain
FROM delivery_shards AS d
LEFT JOIN unnest(
    %(shards)s::smallint [], %(generations)s::bigint [], %(positions)s::bigint [], %(chains)s::uuid []
) AS a (shard, generation, position, chain) ON a.shard = d.shard
LEFT JOIN LATERAL (
    SELECT l.chain FROM events AS l WHERE l.shard = a.shard AND l.position = a.position LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT l.position, l.match, l.seq, replace(l.event_key::text, '-', '') AS event_id, l.chain
    FROM events AS l
    WHERE
        l.shard = d.shard
        AND l.position > CASE
            WHEN a.generation = d.generation AND p.chain = a.chain THEN a.position
            ELSE 0
        END
    OFFSET 0
) AS e ON true
ORDER BY d.shard, e.position
"""
_GENERATIONS = "SELECT shard, generation FROM delivery_shards"

Written = dict[tuple[str, int], dict[int, set[str]]]  # (match, generation) -> seq -> event ids


class Fall(NamedTuple):
    """A shard whose log no longer has what it had at a position."""

    shard: int
    generation: int  # of the log that had it
    position: int

    def __str__(self) -> str:
        return f"shard {self.shard} lost position {self.position} of generation {self.generation}"


class _Place(NamedTuple):
    """How far a shard's log was read."""

    generation: int
    position: int
    chain: UUID


class Witness:
    """Reads the log all the time, straight from its server.

    A writer that finds rows gone raises the generation before it appends, so
    each generation has one event at a position, also where rows were lost.
    """

    def __init__(self, settings: Settings) -> None:
        self.written: Written = {}
        self.falls: list[Fall] = []
        self._chains: dict[tuple[int, int], dict[int, set[UUID]]] = {}  # shard, generation -> position
        self._ended: dict[tuple[int, int], int] = {}  # where a log that fell ended, by shard and generation
        self._gone_on: set[tuple[int, int]] = set()  # and those that were written on in that generation
        self._dsn = settings.postgres
        self._connection: psycopg.Connection | None = None
        self._read: dict[int, _Place] = {}
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.read)
            await asyncio.sleep(_READS_EVERY_SECONDS)

    def read(self) -> None:
        """Note what is new on the server in its usual place; one that is away has nothing new."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._dsn, autocommit=True)
                self._note_news(self._connection)
            except psycopg.Error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def read_from(self, dsn: str) -> list[Fall]:
        """Note what is new on another server that takes over; return what fell."""
        with self._lock, psycopg.connect(dsn, autocommit=True) as connection:
            before = len(self.falls)
            self._note_news(connection)
            return self.falls[before:]

    def _note_news(self, connection: psycopg.Connection) -> None:
        asked = {
            "shards": list(self._read),
            "generations": [place.generation for place in self._read.values()],
            "positions": [place.position for place in self._read.values()],
            "chains": [place.chain for place in self._read.values()],
        }
        before, fell = dict(self._read), list[Fall]()
        for shard, generation, there, position, match, seq, event_id, chain in connection.execute(
            _NEWS, asked
        ):
            place = before.pop(shard, None)
            if place is not None and place.chain != there:
                fell.append(Fall(shard, place.generation, place.position))
            if place is not None and (place.generation != generation or place.chain != there):
                del self._read[shard]
            if position is not None:
                if position > self._ended.get((shard, generation), position):
                    self._gone_on.add((shard, generation))
                self._read[shard] = _Place(generation, position, chain)
                self.written.setdefault((match, generation), {}).setdefault(seq, set()).add(event_id)
                self._chains.setdefault((shard, generation), {}).setdefault(position, set()).add(chain)
        for fall in fell:
            end = self._read.get(fall.shard)
            if end is not None and end.generation == fall.generation:
                self._ended[fall.shard, fall.generation] = end.position
        self.falls += fell

    def without_new_generation(self) -> list[Fall]:
        """What fell and was written on without a new generation, or has none by now; raise psycopg.Error."""
        with self._lock, psycopg.connect(self._dsn, autocommit=True) as connection:
            self._note_news(connection)
            now: dict[int, int] = dict(connection.execute(_GENERATIONS).fetchall())
        return [
            fall
            for fall in self.falls
            if now[fall.shard] <= fall.generation or (fall.shard, fall.generation) in self._gone_on
        ]

    def two_at_a_position(self) -> Iterator[str]:
        """Generations in which a position had one event, and later another."""
        for (shard, generation), chains in self._chains.items():
            doubled = [position for position, seen in chains.items() if len(seen) > 1]
            if doubled:
                yield (
                    f"shard {shard}, generation {generation}: {len(doubled)} positions had one event and then"
                    f" another, first {min(doubled)}"
                )
