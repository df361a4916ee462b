"""The three adapters of ingest behind one face, for the contract they share."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
from litestar.testing import AsyncTestClient

from ingest.cursor import CursorFile
from ingest.intake import Intake
from ingest.link import Link
from ingest.poll import BroadcastPoll
from ingest.push import SensorPush, application
from ingest.refusals import Refusal
from ingest.stream import SocialStream
from ingest.tally import Tally
from resilience.backoff import Backoff
from resilience.rate_limit import TokenBucket
from schemas.raw import RawEvent
from tests.clocks import FakeClock
from tests.event_builders import a_goal, a_post, a_reading, encoded
from tests.kafkas import SHARDS, Kafka
from tests.upstreams import FakeFeed, FakeStream

ACCEPTED_AT = datetime(2025, 5, 4, 12, 0, tzinfo=UTC)


class Adapter(Protocol):
    """A way in: lines go in at the upstream's end."""

    topic: str
    tally: Tally

    def a_record(self, source_event_id: str) -> RawEvent: ...

    async def offer(self, lines: list[bytes]) -> None:
        """Hand lines to the adapter as its upstream does, and return at once or when they are settled."""
        ...

    async def restart(self) -> None:
        """End the adapter as a crash does, and start another one where it stood."""
        ...

    async def close(self) -> None: ...


async def reached(predicate: Callable[[], bool], deadline: timedelta = timedelta(seconds=20)) -> None:
    """Wait until the predicate holds."""
    async with asyncio.timeout(deadline.total_seconds()):
        while not predicate():  # noqa: ASYNC110 - what is waited for gives no signal of its own
            await asyncio.sleep(0.005)


def a_bucket(rate: float = 1e6, burst: float = 1e6) -> TokenBucket:
    return TokenBucket(rate, burst, FakeClock())


class Push:
    """A sensor that sends the same body again until it is told 202 or 400."""

    topic = "sensor-events"

    def __init__(self, kafka: Kafka, bucket: TokenBucket | None = None, body_limit: int = 100_000) -> None:
        self.tally = Tally()
        self.told: list[Refusal] = []
        self.statuses: list[int] = []
        push = SensorPush(
            kafka.send, bucket or a_bucket(), self.tally, SHARDS, lambda: ACCEPTED_AT, body_limit
        )
        self.client = AsyncTestClient(application([push.route()]))

    def a_record(self, source_event_id: str) -> RawEvent:
        return a_reading(source_event_id)

    async def offer(self, lines: list[bytes]) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        while True:
            answer = await self.client.post("/sensors", content=b"\n".join(lines), headers=headers)
            self.statuses.append(answer.status_code)
            if answer.status_code in (202, 400):
                self.told = msgspec.convert(answer.json()["rejected"], list[Refusal])
                return
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            await asyncio.sleep(0)

    async def restart(self) -> None:
        """It remembers nothing between two requests."""

    async def close(self) -> None:
        pass


class _Feed:
    """What the two feeds share: an adapter that runs as a task, and a folder for its cursor."""

    source: str

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.tally = Tally()
        self.link = Link(self.source, "http://feed.example", FakeClock())
        self.stopping = asyncio.Event()
        self.cursor = CursorFile(folder, self.source, "http://feed.example")
        self.backoff = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=20), lambda: 0.5)
        self.bucket = a_bucket()
        self._kafka = kafka
        self._clients = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    def intake(self) -> Intake:
        return Intake(self.source, self._kafka.send, self.bucket, self.tally, SHARDS, lambda: ACCEPTED_AT)

    async def run(self) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    async def restart(self) -> None:
        await self.close()
        await self.start()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._clients.aclose()


class Poll(_Feed):
    """The broadcast adapter in front of a fake feed."""

    topic = "broadcast-events"
    source = "broadcast"

    def __init__(
        self, kafka: Kafka, folder: Path, feed: FakeFeed | None = None, vendor: str = "touchline"
    ) -> None:
        super().__init__(kafka, folder)
        self.feed = feed or FakeFeed(page=3)
        self._vendor = vendor

    def a_record(self, source_event_id: str) -> RawEvent:
        return a_goal(source_event_id)

    async def offer(self, lines: list[bytes]) -> None:
        self.feed.lines += lines

    async def run(self, until_end: bool = False) -> None:
        client = await self._clients.enter_async_context(self.feed.client())
        poll = BroadcastPoll(
            client,
            "http://feed.example/broadcast?key=1",
            self._vendor,
            self.intake(),
            self.cursor,
            self.link,
            self.backoff,
            timedelta(milliseconds=5),
        )
        await poll.run(self.stopping, until_end)


class Stream(_Feed):
    """The social adapter in front of a fake stream."""

    topic = "social-events"
    source = "social"

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        super().__init__(kafka, folder)
        self.stream = FakeStream()

    def a_record(self, source_event_id: str) -> RawEvent:
        return a_post(source_event_id)

    async def offer(self, lines: list[bytes]) -> None:
        await self.stream.add(lines)

    async def run(self) -> None:
        client = await self._clients.enter_async_context(self.stream.client())
        stream = SocialStream(
            client, "http://feed.example/social", self.intake(), self.cursor, self.link, self.backoff
        )
        await stream.run(self.stopping)


def lines_of(adapter: Adapter, count: int, start: int = 0) -> list[bytes]:
    """Good records of one match, numbered."""
    return [encoded(adapter.a_record(f"{number:04d}")) for number in range(start, start + count)]
