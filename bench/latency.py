"""How long an event takes from an adapter's acceptance to a fan, beside Kafka's bare round trip."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random
from statistics import quantiles

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.fan import FOLLOWED, READY, Seen
from bench.load import MATCHES
from bench.push import Load, push
from bench.servers import installation, platform, say, servers
from local.ports import free_base
from settings import Settings
from sources.kafka import consumer_config


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
    to_log_ms: Spread
    to_client_ms: Spread
    kafka_round_trip_ms: Spread
    ratio: float


class LatencyError(RuntimeError):
    """Records were refused or did not arrive."""


async def latency(
    settings: Settings, rate: int, duration: timedelta, warm_up: timedelta, lanes: int, seed: int
) -> LatencyFigures:
    """Measure `rate` records a second for `duration` on a platform of its own, after a warm-up."""
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(servers(settings))
        made = opened.enter_context(installation(settings))
        say(f"Kafka alone: produce and consume at {rate:,} records a second")
        bare = await asyncio.to_thread(_round_trips, made, rate, timedelta(seconds=8))
        made = msgspec.structs.replace(made, port_base=free_base(Random()))
        say("starting the platform")
        await opened.enter_async_context(platform(made, lanes))
        url = f"{made.url('ingest')}/sensors"
        say(f"warming up for {warm_up.seconds} s")
        await push(Load(url, rate, warm_up, seed + 1))
        say(f"pushing {rate:,} records a second for {duration.seconds} s")
        load = Load(url, rate, duration, seed)
        expected = sum(1 for number in range(load.records) if number % MATCHES < FOLLOWED)
        fan = await opened.enter_async_context(_following(made.url("gateway"), f"{seed}-", expected))
        await push(load)
        seen = await _seen(fan, expected)
        to_client, kafka = _spread(seen.to_client), _spread(bare)
        return LatencyFigures(
            rate,
            load.records,
            expected,
            _spread(seen.to_log),
            to_client,
            kafka,
            round(to_client.p95 / kafka.p95, 2),
        )


@asynccontextmanager
async def _following(url: str, ids_begin: str, expected: int) -> AsyncIterator[Process]:
    """A fan in a process of its own, who follows its matches by now."""
    command = (sys.executable, "-m", "bench.fan", url, ids_begin, str(expected))
    fan = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        if fan.stdout is None or await fan.stdout.readline() != READY:
            raise LatencyError("the client could not follow its matches")
        yield fan
    finally:
        if fan.returncode is None:
            fan.terminate()
        await fan.wait()


async def _seen(fan: Process, expected: int) -> Seen:
    """What the fan saw; raise LatencyError when it is not exactly what was sent."""
    out, _ = await fan.communicate()
    seen = msgspec.json.decode(out, type=Seen)
    if len(seen.to_client) != expected:
        raise LatencyError(f"{len(seen.to_client)} of {expected} records reached the client")
    return seen


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
