"""How long an event takes from an adapter's acceptance to a fan, beside Kafka's bare round trip."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import quantiles
from typing import Any

import httpx
import msgspec
import socketio
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.load import MATCHES, match_name, readings
from bench.servers import installation, platform, say, servers
from local.ports import free_base
from settings import Settings
from sources.kafka import consumer_config

# One request carries what came up in this time: a stadium's gateway would do the same.
_TICK = timedelta(milliseconds=10)
_WARM_UP = timedelta(seconds=2)
# What one fan follows of all matches: more would measure how fast Python's client parses.
_FOLLOWED = 4
_ARRIVES_WITHIN = 30.0
_encode = msgspec.json.Encoder().encode


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class LatencyFigures(msgspec.Struct, frozen=True):
    """One run. `ratio` is the p95 to the screen over the p95 of Kafka's bare round trip."""

    rate: int
    sent: int
    followed: int  # of the sent ones, those of the matches that the client follows; all of them came
    to_client_ms: Spread
    kafka_round_trip_ms: Spread
    ratio: float


class LatencyError(RuntimeError):
    """Records were refused or did not arrive."""


async def latency(
    settings: Settings, rate: int, duration: timedelta, lanes: int, seed: int
) -> LatencyFigures:
    """Measure `rate` records a second for `duration` on a platform of its own."""
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(servers(settings))
        made = opened.enter_context(installation(settings))
        say(f"Kafka alone: produce and consume at {rate:,} records a second")
        bare = await asyncio.to_thread(_round_trips, made, rate, timedelta(seconds=8))
        made = msgspec.structs.replace(made, port_base=free_base(Random()))
        say("starting the platform")
        await opened.enter_async_context(platform(made, lanes))
        say(f"pushing {rate:,} records a second for {duration.seconds} s")
        fan = _Fan()
        await opened.enter_async_context(_following(made, fan))
        sent = await _push(made, rate, duration, seed)
        await _arrival(fan, sum(1 for number in range(sent) if number % MATCHES < _FOLLOWED))
        spread, kafka = _spread(fan.milliseconds), _spread(bare)
        return LatencyFigures(rate, sent, fan.received, spread, kafka, round(spread.p95 / kafka.p95, 2))


class _Fan:
    """What a stock client sees."""

    def __init__(self) -> None:
        self.received = 0
        self.milliseconds: list[float] = []
        self.counts_from = datetime.now(UTC) + _WARM_UP
        self.has_all = asyncio.Event()
        self._expected: int | None = None

    def expect(self, count: int) -> None:
        """Say how many there will be; `has_all` is set once they are there."""
        self._expected = count
        self._look()

    def _look(self) -> None:
        if self._expected is not None and self.received >= self._expected:
            self.has_all.set()

    def events(self, message: dict[str, Any]) -> None:
        now = time.time()
        for live in message["events"]:
            self.received += 1
            accepted = datetime.fromisoformat(live["event"]["ingested_at"])
            if accepted >= self.counts_from:
                self.milliseconds.append((now - accepted.timestamp()) * 1_000)
        self._look()

    def resync(self, message: dict[str, Any]) -> None:
        """Count what an image holds: a match that begins after the join starts with one."""
        self.received += message["seq"]
        self._look()


@asynccontextmanager
async def _following(settings: Settings, fan: _Fan) -> AsyncIterator[None]:
    client = socketio.AsyncClient()
    client.on("events", fan.events)
    client.on("resync", fan.resync)
    await client.connect(settings.url("gateway"), transports=["websocket"])
    for match in range(_FOLLOWED):
        answer = await client.call("join", {"match": match_name(match)})
        if "error" in answer:
            raise LatencyError(f"join was refused: {answer}")
    fan.counts_from = datetime.now(UTC) + _WARM_UP
    try:
        yield
    finally:
        await client.disconnect()


async def _push(settings: Settings, rate: int, duration: timedelta, seed: int) -> int:
    """Push readings as NDJSON, one request a tick, and return how many were accepted."""
    source = readings(seed)
    accepted = sent = 0
    url = f"{settings.url('ingest')}/sensors"
    waiting: set[asyncio.Task[int]] = set()
    async with httpx.AsyncClient(timeout=10) as client:
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < duration.total_seconds():
            due = int(elapsed * rate) - sent
            if due > 0:
                now = datetime.now(UTC)
                body = b"\n".join([_encode(next(source)(now)) for _ in range(due)])
                sent += due
                task = asyncio.create_task(_post(client, url, body))
                waiting.add(task)
            done = {task for task in waiting if task.done()}
            accepted += sum(task.result() for task in done)
            waiting -= done
            await asyncio.sleep(_TICK.total_seconds())
        accepted += sum(await asyncio.gather(*waiting))
    if accepted != sent:
        raise LatencyError(f"{sent - accepted} of {sent} records were not accepted")
    return sent


async def _post(client: httpx.AsyncClient, url: str, body: bytes) -> int:
    answer = await client.post(url, content=body, headers={"Content-Type": "application/x-ndjson"})
    if answer.status_code != httpx.codes.ACCEPTED:
        raise LatencyError(f"ingest answered {answer.status_code}: {answer.text[:300]}")
    return int(answer.json()["accepted"])


async def _arrival(fan: _Fan, expected: int) -> None:
    fan.expect(expected)
    try:
        await asyncio.wait_for(fan.has_all.wait(), _ARRIVES_WITHIN)
    except TimeoutError:
        raise LatencyError(f"{fan.received} of {expected} records reached the client") from None
    if fan.received > expected:
        raise LatencyError(f"{fan.received} records reached the client, and only {expected} were sent")


def _round_trips(settings: Settings, rate: int, duration: timedelta) -> list[float]:
    """Milliseconds from produce to consume of a producer and a consumer like ours, nothing between."""
    topic = f"{settings.topic_prefix}live-events"
    config = consumer_config(settings.kafka, f"{settings.topic_prefix}bench")
    config["auto.offset.reset"] = "latest"
    consumer = Consumer(config)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.consume(1, 2.0)
    producer = Producer({"bootstrap.servers": settings.kafka, "acks": "all", "linger.ms": 2, "log_level": 2})
    took: list[float] = []
    sent = 0
    began = time.perf_counter()
    payload = b" " * 300
    while (elapsed := time.perf_counter() - began) < duration.total_seconds():
        due = int(elapsed * rate) - sent
        for _ in range(due):
            producer.produce(topic, repr(time.time()).encode() + payload, partition=0)
        sent += due
        producer.poll(0)
        for message in consumer.consume(1_000, 0.001):
            value = message.value()
            if value and elapsed > 1:
                took.append((time.time() - float(value.strip())) * 1_000)
    producer.flush(10)
    consumer.close()
    return took


def _spread(milliseconds: list[float]) -> Spread:
    cuts = quantiles(milliseconds, n=100)
    return Spread(*(round(value, 1) for value in (cuts[49], cuts[94], cuts[98], max(milliseconds))))
