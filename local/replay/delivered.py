"""Follow a replayed match through Postgres, Redis and to the fan, until nothing is under way."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import psycopg

from ingest.vendors import VendorFormatError
from ingest.vendors.statsbomb import Mapper
from local.replay.fan import Fan
from local.replay.outcome import Outcome, outcome_of_last
from schemas.identity import key_of
from schemas.live import LiveEvent, decode_live
from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from schemas.validation import ReadRecord
from settings import Settings
from storage.match_report import Letter, MatchHead, MatchReport
from storage.streams import Streams, StreamsUnavailableError, stream_name

T = TypeVar("T")

_LOOK_EVERY_SECONDS = 0.1
# Longer than the slowest part takes to come back after a kill.
STUCK_AFTER_SECONDS = 60.0
_PACKS_AT_ONCE = 500

Look = Callable[[], Awaitable[tuple[bool, object]]]  # done?, and what must change meanwhile


class StuckError(RuntimeError):
    """Nothing moves any more, and something is missing."""


class Expected(NamedTuple):
    """What a set of lines has to become."""

    keys: frozenset[bytes]  # event keys: each an event
    refused: tuple[bytes, ...]  # lines that are no record: each a dead letter
    outcome: Outcome  # by what was published last of each id

    @classmethod
    def of(cls, lines: Iterable[bytes], mapper: Mapper) -> "Expected":
        """From the lines in the order of the file; what came out is read from what was delivered."""
        records: list[RawEvent] = []
        refused: dict[bytes, None] = {}
        for line in lines:
            try:
                mapped = mapper.map(line)
            except VendorFormatError:
                refused[line] = None
            else:
                records.append(mapped.event if isinstance(mapped, ReadRecord) else mapped)
        return cls(frozenset(map(key_of, records)), tuple(refused), outcome_of_last(records))


class Delivered:
    """One match as Postgres, Redis and the fan have it."""

    def __init__(self, settings: Settings, match: str, expected: Expected, fan: Fan) -> None:
        self._settings = settings
        self._match = match
        self._shard = partition_of(match, settings.shards)
        self._expected = expected
        self._fan = fan
        self._report = MatchReport(settings.postgres, match, self._shard)
        self.progress = (0, 0)  # events in Postgres, at the fan

    def close(self) -> None:
        self._report.close()

    async def count(self) -> int:
        """How many of the match's events are in the log now."""
        return (await self._head()).events

    async def settled(self) -> None:
        """Wait until every line is an event or a dead letter, and all of it with the fan and in Redis.

        Raises StuckError when nothing has moved for a minute.
        """
        await _until(self._log_is_complete, self._what_is_missing)
        await _until(self._fan_has_all, lambda: f"the Socket.IO client has {self._fan.seq} events")
        await _until(self._redis_has_all, lambda: "Redis lacks events that Postgres has")

    async def from_postgres(self) -> list[LiveEvent]:
        rows = await asyncio.to_thread(self._report.payloads)
        return [decode_live(payload) for _, payload in rows]

    async def from_redis(self) -> list[LiveEvent]:
        head = await self._head()
        return await asyncio.to_thread(self._read_stream, head)

    async def letters(self) -> dict[str, int]:
        """Dead letters by reason; a line that was sent several times counts once."""
        found = {(letter.reason, letter.original) for letter in await self._letters()}
        return dict(sorted(Counter(reason for reason, _ in found).items()))

    async def _log_is_complete(self) -> tuple[bool, object]:
        head, letters = await self._head(), await self._letters()
        self.progress = (head.events, self._fan.seq)
        originals = {letter.original for letter in letters}
        accounted = head.events + len(originals)
        return accounted >= len(self._expected.keys) + len(self._expected.refused), (head, accounted)

    async def _fan_has_all(self) -> tuple[bool, object]:
        head = await self._head()
        self.progress = (head.events, self._fan.seq)
        return self._fan.seq >= head.seq, (head, self._fan.seq)

    async def _redis_has_all(self) -> tuple[bool, object]:
        head = await self._head()
        try:
            found = await asyncio.to_thread(self._read_stream, head)
        except StreamsUnavailableError:
            return False, head
        return len(found) >= head.events, (head, len(found))

    def _what_is_missing(self) -> str:
        head, letters = self._report.head(), self._report.letters(self._expected.refused)
        return (
            f"{head.events} of {len(self._expected.keys)} events are in the log,"
            f" and {len(letters)} dead letters for {len(self._expected.refused)} lines that are no record"
        )

    async def _head(self) -> MatchHead:
        return await self._asked(self._report.head)

    async def _letters(self) -> Sequence[Letter]:
        return await self._asked(lambda: self._report.letters(self._expected.refused))

    async def _asked(self, question: Callable[[], T]) -> T:
        """Ask Postgres, which may just be restarting."""
        for _ in range(100):
            try:
                return await asyncio.to_thread(question)
            except psycopg.OperationalError:
                self._report.close()
                await asyncio.sleep(_LOOK_EVERY_SECONDS * 3)
        return await asyncio.to_thread(question)

    def _read_stream(self, head: MatchHead) -> list[LiveEvent]:
        """The match's events in its shard's stream, as often as they are there."""
        streams = Streams(self._settings.redis)
        try:
            name = stream_name(self._shard, head.generation)
            events: list[LiveEvent] = []
            position = max(0, head.first_position - 1)
            while packs := streams.read_after(name, position, _PACKS_AT_ONCE):
                events += [decode_live(payload) for pack in packs for payload in pack.payloads]
                position = packs[-1].top.position
            return [event for event in events if event.event.match == self._match]
        finally:
            streams.close()


async def _until(look: Look, missing: Callable[[], str]) -> None:
    clock = asyncio.get_running_loop().time
    seen: object = None
    moved_at = clock()
    while True:
        is_done, now = await look()
        if is_done:
            return
        if now != seen:
            seen, moved_at = now, clock()
        elif clock() - moved_at > STUCK_AFTER_SECONDS:
            raise StuckError(f"nothing has moved for {STUCK_AFTER_SECONDS:g} s: {missing()}")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
