"""Where live events come in: every shard's stream, and the log wherever a stream falls short.

Delivery: in order and each once, by the cursor rule. The three loops do not
trust each other: streams may be lost, flushed, behind or full of gaps, or hold
what the log has lost, and the log may be out of reach for a while; what one cannot give the other does,
and when both are back, reading goes on where it was.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from gateway.followers import Followers
from resilience.backoff import Backoff
from schemas.log_position import LogPosition
from storage.log_reads import LogRow, ShardSnapshot
from storage.reading import LogUnavailableError
from storage.stream_reads import Pack
from storage.streams import StreamsUnavailableError
from telemetry.log import Log

# How late a change of what to read is noticed; an entry ends the wait at once.
_BLOCK = timedelta(milliseconds=200)
_PACKS = 8  # of a stream in one turn, of up to 4,000 events each
_ROWS = 2_000  # of a shard in one look at the log
_WATCH_SECONDS = 1.0  # between looks at the heads: how late a generation is noticed
_POLL_SECONDS = 0.05  # between looks at the log while a stream brings nothing
_FIRST_WAIT = timedelta(milliseconds=100)
_LONGEST_WAIT = timedelta(seconds=1)
_NOT_READ = "not read yet"

STREAMS_LOST = "streams.lost"
STREAMS_FOUND = "streams.found"
LOG_LOST = "log.lost"
LOG_FOUND = "log.found"

_say = Log("gateway")


class LogTail(Protocol):
    """The log, as the pump needs it."""

    async def shard_heads(self, places: Mapping[int, LogPosition]) -> list[ShardSnapshot]: ...
    async def shards_after(
        self, places: Mapping[int, LogPosition], limit: int
    ) -> list[tuple[ShardSnapshot, list[LogRow]]]: ...


class StreamTail(Protocol):
    """The live streams, as the pump needs them."""

    async def after(self, places: Mapping[int, LogPosition], block: timedelta, count: int) -> list[Pack]: ...


class Pump:
    """Reads everything that is new and applies it to the followers."""

    def __init__(
        self,
        log: LogTail,
        streams: StreamTail,
        followers: Followers,
        on_news: Callable[[], None],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """`on_news` is called after each turn that may have brought events; `clock` counts seconds."""
        self._log = log
        self._streams = streams
        self._followers = followers
        self._on_news = on_news
        self._clock = clock
        self._chance = chance
        self._log_wanted = asyncio.Event()
        self.started = asyncio.Event()  # set once the heads were read for the first time
        self.log_problem: str | None = _NOT_READ
        self.streams_problem: str | None = _NOT_READ

    async def run(self) -> None:
        """Read until cancelled; what it raises is a bug."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._watch_heads())
            loops.create_task(self._follow_streams())
            loops.create_task(self._follow_log())

    async def refresh(self) -> None:
        """Read the heads now: another generation or history is followed; raise LogUnavailableError."""
        asked = self._followers.cursors
        heads = await self._log.shard_heads({shard: cursor.place for shard, cursor in asked.items()})
        self._followers.see_heads(asked, heads, self._clock())
        self._after_turn()
        self.started.set()

    async def _watch_heads(self) -> None:
        waits = self._backoff()
        while True:
            try:
                await self.refresh()
            except LogUnavailableError as error:
                self._lose_log(error)
                await asyncio.sleep(waits.next_delay().total_seconds())
            else:
                self._find_log()
                waits.reset()
                await asyncio.sleep(_WATCH_SECONDS)

    async def _follow_streams(self) -> None:
        await self.started.wait()
        waits = self._backoff()
        while True:
            places = self._followers.for_streams
            if not places:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            try:
                packs = await self._streams.after(places, _BLOCK, _PACKS)
            except StreamsUnavailableError as error:
                self._lose_streams(error)
                self._followers.lose_streams()
                self._after_turn()
                await asyncio.sleep(waits.next_delay().total_seconds())
                continue
            self._find_streams()
            waits.reset()
            for pack in packs:
                self._followers.take_pack(pack)
            self._after_turn()

    async def _follow_log(self) -> None:
        waits = self._backoff()
        while True:
            await self._log_wanted.wait()
            asked = self._followers.for_log
            if not asked:
                self._log_wanted.clear()
                continue
            places = {shard: cursor.place for shard, cursor in asked.items()}
            try:
                found = await self._log.shards_after(places, _ROWS)
            except LogUnavailableError as error:
                self._lose_log(error)
                await asyncio.sleep(waits.next_delay().total_seconds())
                continue
            waits.reset()
            new = sum(
                self._followers.take_rows(asked[snapshot.shard], snapshot, rows) for snapshot, rows in found
            )
            self._after_turn()
            if not new:
                await asyncio.sleep(_POLL_SECONDS)

    def _after_turn(self) -> None:
        if self._followers.for_log:
            self._log_wanted.set()
        self._on_news()

    def _lose_log(self, error: LogUnavailableError) -> None:
        if self.log_problem in (None, _NOT_READ):
            _say.warning(LOG_LOST, detail=error.detail)
        self.log_problem = error.detail

    def _find_log(self) -> None:
        if self.log_problem is not None:
            _say.info(LOG_FOUND)
        self.log_problem = None

    def _lose_streams(self, error: StreamsUnavailableError) -> None:
        if self.streams_problem in (None, _NOT_READ):
            _say.warning(STREAMS_LOST, detail=error.detail)
        self.streams_problem = error.detail

    def _find_streams(self) -> None:
        if self.streams_problem is not None:
            _say.info(STREAMS_FOUND)
        self.streams_problem = None

    def _backoff(self) -> Backoff:
        return Backoff(_FIRST_WAIT, _LONGEST_WAIT, self._chance)
