"""Notes what the log held, life by life: a later life does not have what a lossy failover took."""

import asyncio

import psycopg

from settings import Settings

_LOOKS_EVERY_SECONDS = 0.25
_NEWS = """
SELECT d.shard, d.generation, e.position, e.match, e.seq, replace(e.event_key::text, '-', '')
FROM delivery_shards AS d
LEFT JOIN unnest(%(shards)s::smallint [], %(generations)s::bigint [], %(positions)s::bigint [])
    AS a (shard, generation, position) ON a.shard = d.shard AND a.generation = d.generation
INNER JOIN events AS e ON e.shard = d.shard AND e.position > coalesce(a.position, 0)
ORDER BY d.shard, e.position
"""

Written = dict[tuple[str, int], dict[int, set[str]]]  # (match, generation) -> seq -> event ids


class Witness:
    """Reads the log all the time, straight from its server.

    Between a loss and the new life that follows it, one life may have two
    events at a seq: what was lost, and what came in its place.
    """

    def __init__(self, settings: Settings) -> None:
        self.written: Written = {}
        self._dsn = settings.postgres
        self._connection: psycopg.Connection | None = None
        self._read: dict[int, tuple[int, int]] = {}  # shard -> generation, position
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
            await asyncio.to_thread(self._look)
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    def _look(self) -> None:
        """Note what is new; a server that was away may be a restored one, and is read from the beginning."""
        try:
            if self._connection is None:
                self._read.clear()
                self._connection = psycopg.connect(self._dsn, autocommit=True)
            self._note_news(self._connection)
        except psycopg.Error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _note_news(self, connection: psycopg.Connection) -> None:
        asked = {
            "shards": list(self._read),
            "generations": [generation for generation, _ in self._read.values()],
            "positions": [position for _, position in self._read.values()],
        }
        for shard, generation, position, match, seq, event_id in connection.execute(_NEWS, asked):
            self._read[shard] = (generation, position)
            self.written.setdefault((match, generation), {}).setdefault(seq, set()).add(event_id)
