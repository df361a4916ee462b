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
from gateway.followers import Followers
from gateway.history import History
from gateway.resume import Resume
from gateway.wire import Frame, Wire
from gateway.wire_json import Fragment
from schemas.fold import empty_image, fold
from schemas.identity import key_of
from schemas.image import MatchImage
from schemas.live import encode_live
from storage.log_reads import LogQueries, LogRow, MatchHead, Page, ShardHead
from storage.match_reads import Asked, MatchQueries, MatchView
from storage.reading import LogUnavailableError
from storage.stream_reads import Pack, StreamReader
from tests.event_builders import MATCH, a_pass

_AT = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)


class MemoryLog(LogQueries, MatchQueries):
    """One shard, one match; reads wait at a gate and may fail there."""

    def __init__(self) -> None:
        self.generation = 1
        self.rows: list[LogRow] = []
        self.is_gated = False
        self.reads_late = False  # a gated read sees the log as it is when let go, not when asked
        self.gates: deque[asyncio.Future[None]] = deque()
        self.is_lost = False
        self._images = [empty_image(MATCH)]

    def grow(self, events: int) -> None:
        for _ in range(events):
            seq = len(self.rows) + 1
            event = a_pass(f"pass-{seq}", clock=600 + seq)
            image, live = fold(self._images[-1], event, key_of(event).hex(), _AT, 1, "und")
            self._images.append(image)
            self.rows.append(LogRow(0, seq, MATCH, seq, encode_live(live)))

    def image(self, seq: int) -> MatchImage:
        return self._images[seq]

    async def _gate(self) -> None:
        if self.is_lost:
            raise LogUnavailableError("lost")
        if self.is_gated:
            gate = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate

    async def shard_heads(self) -> list[ShardHead]:
        await self._gate()
        return [ShardHead(0, self.generation, len(self.rows))]

    async def view(self, asked: Asked) -> MatchView:
        seen = self.generation, len(self.rows)
        await self._gate()
        generation, seq = (self.generation, len(self.rows)) if self.reads_late else seen
        return MatchView(asked.match, generation, self.image(seq) if seq else None)

    async def events_after(self, match: str, shard: int, after_seq: int, limit: int) -> Page:
        generation, head = self.generation, len(self.rows)
        await self._gate()
        rows = self.rows[after_seq : min(head, after_seq + limit)]
        return Page(generation, head, [row.seq for row in rows], [row.payload for row in rows])

    async def match_heads(self, shard_of: Mapping[str, int]) -> dict[str, MatchHead]:
        await self._gate()
        return {match: MatchHead(self.generation, len(self.rows)) for match in shard_of}


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
        self.pumped = 0
        history = History(self.log, self.log, NoStreams())
        self.resume = Resume(
            self.channels, self.followers, history, self.wire, self.refresh, 1, chance=lambda: 0.0
        )
        self.broadcaster = Broadcaster(
            self.channels, self.wire, lambda channel, member: self.resume.catch_up(channel, member)
        )
        self.followers.see_heads([ShardHead(0, 1, 0)], 0.0)
        self.joins: list[asyncio.Task[None]] = []

    async def refresh(self) -> None:
        before = self.followers.generation_of(0)
        heads = await self.log.shard_heads()
        self.followers.see_heads(heads, 0.0)
        if self.followers.generation_of(0) != before:  # it goes on from the head
            self.pumped = max(self.pumped, heads[0].position)

    def pump(self, events: int) -> None:
        """Let the followers take what was committed."""
        place = ShardHead(0, self.followers.generation_of(0), self.pumped)
        rows = self.log.rows[self.pumped : self.pumped + events]
        self.followers.take_rows(place, rows)
        self.pumped += len(rows)
        self.broadcaster.wake()

    def join(self, client: str, since: tuple[int, int] | None = None) -> None:
        """Begin a join; its answer is noted as a client gets it: right when the handler returns."""

        async def ask() -> None:
            try:
                answer = await self.resume.join(client, Join(MATCH, Since(*since) if since else None))
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
