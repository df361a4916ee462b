"""Write-through on a real Redis: at once when all is well, and never in the committer's way."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from settings import Settings
from sinks.live_streams import Delivery, LivePublisher, LiveStats
from storage.streams import StreamName, Streams
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.integration

# No other test uses this shard number, so the server may be shared.
STREAM = StreamName(1_022, 1_700_000_000_000)
# An offer only takes a lock; far below the timeout of a hanging Redis.
AT_ONCE_SECONDS = 0.5
CLOSES_WITHIN = timedelta(seconds=5)


def a_run(after: int, to: int) -> Delivery:
    payloads = [b"%d" % position for position in range(after + 1, to + 1)]
    chains = [position.to_bytes(16, "big") for position in range(after, to + 1)]
    return Delivery(*STREAM, after, chains[0], to, chains[-1], payloads, chains[1:])


@pytest.fixture
def redis(stack: Settings) -> Iterator["Redis"]:
    with Redis.from_url(stack.redis) as client:
        client.delete(STREAM.key)
        yield client
        client.delete(STREAM.key)


@pytest.fixture
def publisher(stack: Settings, redis: "Redis") -> Iterator[LivePublisher]:
    made = LivePublisher(stack.redis, backlog_rows=100)
    yield made
    made.close(CLOSES_WITHIN)


def held(settings: Settings) -> list[bytes]:
    """Every payload of the stream."""
    streams = Streams(settings.redis)
    entries = streams.read_after(STREAM.key, 0, 1_000)
    streams.close()
    return [payload for entry in entries for payload in entry.payloads]


def test_runs_are_published_in_order(stack: Settings, publisher: LivePublisher) -> None:
    for after in range(0, 50, 5):
        assert publisher.offer([a_run(after, after + 5)])
    eventually(lambda: publisher.stats == LiveStats(published=50))
    assert held(stack) == [b"%d" % position for position in range(1, 51)]


def test_what_does_not_follow_is_refused_and_counted(stack: Settings, publisher: LivePublisher) -> None:
    publisher.offer([a_run(0, 5)])
    publisher.offer([a_run(7, 9)])
    eventually(lambda: publisher.stats == LiveStats(published=5, refused=2))
    assert len(held(stack)) == 5


def test_a_redis_that_hangs_fills_the_backlog_and_blocks_nobody(
    stack: Settings, redis: "Redis", publisher: LivePublisher
) -> None:
    """Beyond the bound rows are dropped and said; what was taken is published when Redis goes on."""
    redis.client_pause(1_000)
    began = time.monotonic()
    taken = 0
    while publisher.offer([a_run(taken, taken + 10)]):
        taken += 10
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert taken == 100
    assert publisher.stats.dropped == 10
    eventually(lambda: publisher.stats == LiveStats(published=100, dropped=10))
    assert len(held(stack)) == 100


def test_a_redis_that_refuses_to_work_is_left_alone_until_it_works_again(
    redis: "Redis", publisher: LivePublisher
) -> None:
    """A key of another kind stands for every error that a server may answer."""
    redis.set(STREAM.key, "not a stream")
    publisher.offer([a_run(0, 5)])
    eventually(lambda: publisher.stats == LiveStats(dropped=5))
    redis.delete(STREAM.key)
    eventually(lambda: publisher.offer([a_run(0, 5)]))
    eventually(lambda: publisher.stats.published == 5)


def test_without_redis_everything_is_dropped_at_once() -> None:
    publisher = LivePublisher("redis://127.0.0.1:1/0", backlog_rows=100)
    publisher.offer([a_run(0, 5)])
    eventually(lambda: publisher.stats.dropped == 5)
    began = time.monotonic()
    assert not publisher.offer([a_run(5, 9)])
    publisher.close(CLOSES_WITHIN)
    assert not publisher.offer([a_run(9, 10)])
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert publisher.stats == LiveStats(dropped=10)


def test_closing_publishes_what_waits(stack: Settings, redis: "Redis") -> None:
    publisher = LivePublisher(stack.redis, backlog_rows=100)
    redis.client_pause(200)
    for after in range(0, 100, 20):
        publisher.offer([a_run(after, after + 20)])
    publisher.close(CLOSES_WITHIN)
    assert publisher.stats == LiveStats(published=100)
