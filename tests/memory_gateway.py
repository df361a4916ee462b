"""A gateway's inner parts over a log in memory, where a test decides what happens next.

Real: channels, followers, history, resume, broadcaster. In memory: the log,
its images and the streams; each answer of theirs waits until the test lets it go.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from gateway.asks import Join, RefusedError, Since
from gateway.broadcast import Broadcaster
from gateway.channel import Channels
from gateway.followers import Cursor, Followers
from gateway.history import History
from gateway.resume import Resume
from gateway.wire import Frame, Wire
from gateway.wire_json import Fragment
from schemas.fold import empty_image, fold
from schemas.identity import ZERO_CHAIN, body_hash, key_of, next_chain
from schemas.live import encode_live
from schemas.log_position import LogPosition
from storage.log_reads import LogQueries, LogRow, MatchHead, OtherHistoryError, Page, ShardSnapshot
from storage.match_reads import Asked, MatchQueries, MatchView
from storage.reading import LogUnavailableError
from storage.stream_reads import Pack, StreamReader
from tests.event_builders import MATCH, a_pass

_AT = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)


class MemoryLog(LogQueries, MatchQueries):
    """One shard, one match; reads wait at a gate and may fail there.

    Of every chain that ever was, also in a history that was lost, it knows
    the image there and what came before.
    """

    def __init__(self) -> None:
        self.generation = 1
        self.rows: list[LogRow] = []
        self.is_gated = False
        self.reads_late = False  # a gated read sees the log as it is when let go, not when asked
        self.gates: deque[asyncio.Future[None]] = deque()
        self.is_lost = False
        self.images = {ZERO_CHAIN: empty_image(MATCH)}
        self.before: dict[bytes, tuple[bytes, str]] = {}  # chain -> the one before it, and the event's id
        self._histories = 0

    @property
    def head(self) -> LogPosition:
        return self.place_at(len(self.rows))

    def place_at(self, position: int) -> LogPosition:
        return LogPosition(self.generation, position, self.chain_at(position))

    def chain_at(self, seq: int) -> bytes:
        return self.rows[seq - 1].chain if seq else ZERO_CHAIN

    def grow(self, events: int) -> None:
        for _ in range(events):
            seq = len(self.rows) + 1
            event = a_pass(f"pass-{seq}-{self._histories}", clock=600 + seq)
            before, key = self.chain_at(seq - 1), key_of(event)
            image, live = fold(self.images[before], event, key.hex(), _AT, 1, "und")
            chain = next_chain(before, key, body_hash(event))
            self.images[chain] = image
            self.before[chain] = before, key.hex()
            self.rows.append(LogRow(0, seq, chain, MATCH, seq, encode_live(live)))

    def lose(self, events: int) -> None:
        """Lose the last events, as in a failover: what grows next is another history of the generation."""
        lost = min(events, len(self.rows))
        self.rows = self.rows[: len(self.rows) - lost]
        self._histories += 1

    def snapshot(self, place: LogPosition | None) -> ShardSnapshot:
        return ShardSnapshot(0, self.head, 0, self.holds(place))

    def holds(self, place: LogPosition | None) -> bool:
        return (
            place is not None and place.position <= len(self.rows) and self.place_at(place.position) == place
        )

    def view_now(self, place: LogPosition | None) -> MatchView:
        if place is not None and not self.holds(place):
            raise OtherHistoryError(MATCH)
        seq = len(self.rows)
        return MatchView(
            MATCH, self.generation, self.images[self.head.chain] if seq else None, self.head.chain, seq
        )

    async def _gate(self) -> None:
        if self.is_lost:
            raise LogUnavailableError("lost")
        if self.is_gated:
            gate = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate

    async def shard_heads(self, places: Mapping[int, LogPosition]) -> list[ShardSnapshot]:
        await self._gate()
        return [self.snapshot(places.get(0))]

    async def view(self, asked: Asked) -> MatchView:
        if self.reads_late:
            await self._gate()
            return self.view_now(asked.place)
        seen = self.view_now(asked.place)
        await self._gate()
        return seen

    async def events_after(
        self, match: str, shard: int, after_seq: int, limit: int, place: LogPosition | None = None
    ) -> Page:
        if place is not None and not self.holds(place):
            raise OtherHistoryError(match)
        generation, head = self.generation, len(self.rows)
        chain = self.chain_at(after_seq) if after_seq <= head else None
        rows = self.rows[after_seq : min(head, after_seq + limit)]
        await self._gate()
        return Page(
            generation,
            head,
            chain,
            [row.seq for row in rows],
            [row.payload for row in rows],
            [row.chain for row in rows],
            LogPosition(generation, rows[-1].position, rows[-1].chain) if rows else None,
        )

    async def match_heads(self, shard_of: Mapping[str, int]) -> dict[str, MatchHead]:
        await self._gate()
        return {match: MatchHead(self.generation, len(self.rows), self.head.chain) for match in shard_of}


class NoStreams(StreamReader):
    """Streams that hold nothing: all that is missing comes from ring or log."""

    def __init__(self) -> None:
        pass

    async def before(self, shard: int, generation: int, position: int | None, count: int) -> list[Pack]:
        return []


class NotedWire(Wire):
    """Notes what each client is sent, in order."""

    def __init__(self) -> None:
        self.sent: dict[str, list[tuple[str, dict[str, Any]]]] = {}

    async def send(self, client: str, frame: Frame) -> bool:
        name, payload = orjson.loads(frame.data[1:])
        self.note(client, name, payload)
        return True

    def note(self, client: str, name: str, payload: dict[str, Any]) -> None:
        self.sent.setdefault(client, []).append((name, payload))


class MemoryGateway:
    """Everything between the log and the fans, in one event loop that the test turns."""

    def __init__(self, ring: int) -> None:
        self.log = MemoryLog()
        self.wire = NotedWire()
        self.channels = Channels(ring)
        self.followers = Followers(self.channels, lambda channel, reason: self.resume.resync(channel, reason))
        history = History(self.log, self.log, NoStreams(), self.followers.place_of, self.followers.show)
        self.resume = Resume(
            self.channels, self.followers, history, self.wire, self.refresh, 1, chance=lambda: 0.0
        )
        self.broadcaster = Broadcaster(
            self.channels, self.wire, lambda channel, member: self.resume.catch_up(channel, member)
        )
        self.followers.see_heads({}, [self.log.snapshot(None)], 0.0)
        self.joins: list[asyncio.Task[None]] = []

    async def refresh(self) -> None:
        asked = self.followers.cursors
        heads = await self.log.shard_heads({shard: cursor.place for shard, cursor in asked.items()})
        self.followers.see_heads(asked, heads, 0.0)

    def pump(self, events: int) -> None:
        """Let the followers take what was committed."""
        place = self.followers.place_of(0)
        assert place is not None
        cursor = Cursor(place, self.followers.cursors[0].restarts)
        holds = self.log.holds(cursor.place)
        after = cursor.place.position
        rows = self.log.rows[after : after + events] if holds else []
        self.followers.take_rows(cursor, self.log.snapshot(cursor.place), rows)
        self.broadcaster.wake()

    def join(self, client: str, since: Since | None = None) -> None:
        """Begin a join; its answer is noted as a client gets it: right when the handler returns."""

        async def ask() -> None:
            try:
                answer = await self.resume.join(client, Join(MATCH, since))
            except RefusedError as refused:
                answer = refused.as_answer()
            self.wire.note(client, "join", plain(answer))

        if client not in self.resume.followed:
            self.resume.connect(client)
        self.joins.append(asyncio.create_task(ask()))

    def let_go(self) -> None:
        """Answer the read that waits longest."""
        while self.log.gates:
            gate = self.log.gates.popleft()
            if not gate.done():
                gate.set_result(None)
                return


def plain(answer: Any) -> dict[str, Any]:
    """An answer as the client decodes it."""
    if isinstance(answer, Fragment):
        answer = [answer]
        return cast("dict[str, Any]", orjson.loads(orjson.dumps(answer))[0])
    return cast("dict[str, Any]", orjson.loads(orjson.dumps(answer)))
