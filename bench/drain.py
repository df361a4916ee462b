"""How fast a backlog goes from Kafka into Postgres and Redis, beside merely reading it in the same call."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.load import Produced, preload
from bench.servers import finished, installation, say, servers
from local.environment import environment_of, inherited
from schemas.raw import RAW_TOPICS
from schemas.validation import parse
from settings import Settings
from sources.kafka import consumer_config
from storage.append import read_head
from storage.streams import stream_name

_POLL_SECONDS = 0.1
_STUCK_AFTER = timedelta(minutes=10)


class DrainFigures(msgspec.Struct, frozen=True):
    """One drain. Rates are records read a second; `ratio` is drained over merely read and decoded."""

    records: int
    distinct: int
    lanes: int
    seconds: float
    drained_per_second: int
    read_and_decoded_per_second: int
    ratio: float
    in_redis_after_seconds: float
    audit_exit_code: int


class DrainError(RuntimeError):
    """The backlog did not arrive."""


async def drain(settings: Settings, records: int, lanes: int, seed: int) -> DrainFigures:
    """Preload `records`, read them with a bare consumer, drain them with `lanes` lanes, audit."""
    async with servers(settings):
        with installation(settings) as made:
            say(f"preloading {records:,} records")
            loaded = preload(made.kafka, made.topic_prefix, made.shards, records, seed)
            say("reading and decoding them, nothing else: the comparison")
            bare = _read_and_decode(made, records)
            say(f"draining them with {lanes} lane(s)")
            return await _drain(made, loaded, lanes, bare)


def _read_and_decode(settings: Settings, records: int) -> float:
    """Records a second of one process that reads and parses, and does nothing with them."""
    config = consumer_config(settings.kafka, f"{settings.topic_prefix}bench")
    config["auto.offset.reset"] = "earliest"
    with closing(Consumer(config)) as consumer:
        consumer.assign(
            [
                TopicPartition(settings.topic_prefix + topic, partition, OFFSET_BEGINNING)
                for topic in RAW_TOPICS
                for partition in range(settings.shards)
            ]
        )
        left = records
        began = time.perf_counter()
        while left > 0:
            for message in consumer.consume(4_000, 1.0):
                parse(message.value())
                left -= 1
        return records / (time.perf_counter() - began)


async def _drain(settings: Settings, loaded: Produced, lanes: int, bare: float) -> DrainFigures:
    said = msgspec.structs.replace(settings, stop_at_end=True)
    flows = [
        asyncio.create_subprocess_exec(
            *_lane_command(settings.data / f"recovery-{lane}"),
            env=inherited({**environment_of(said), "TOUCHLINE_LANE": f"{lane}/{lanes}"}),
        )
        for lane in range(lanes)
    ]
    processes = await asyncio.gather(*flows)
    # One session for all looks: opening one for each took a tenth of a core from what is measured.
    with closing(psycopg.connect(settings.postgres, autocommit=True)) as connection:
        in_log = await _until(lambda: _rows(connection, settings.shards) >= loaded.distinct)
    codes = await asyncio.gather(*(process.wait() for process in processes))
    # Only now: filling `live-events` takes as much of these cores as a lane does.
    relay = await asyncio.create_subprocess_exec(
        *_python("-m", "bytewax.run", "dataflows.deliver"), env=inherited(environment_of(settings))
    )
    try:
        in_redis = await _until(lambda: _streamed(settings) >= loaded.distinct)
    finally:
        relay.terminate()
        await relay.wait()
    if any(codes):
        raise DrainError(f"lanes ended with {codes}")
    seconds = in_log - _first_append(settings)
    audit = await finished(
        "-m", "recovery", "audit", "--settle", "30s", environment=inherited(environment_of(settings))
    )
    rate = loaded.records / seconds
    return DrainFigures(
        loaded.records,
        loaded.distinct,
        lanes,
        round(seconds, 2),
        round(rate),
        round(bare),
        round(rate / bare, 3),
        round(in_redis - in_log, 2),
        audit,
    )


def _lane_command(store: Path) -> list[str]:
    return _python("-m", "bytewax.run", "dataflows.enrich", "-r", str(store), "-s", "1", "-b", "0")


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


async def _until(is_so: Callable[[], bool]) -> float:
    """Seconds since 1970 at which it became so."""
    ends = time.time() + _STUCK_AFTER.total_seconds()
    while time.time() < ends:
        if await asyncio.to_thread(is_so):
            return time.time()
        await asyncio.sleep(_POLL_SECONDS)
    raise DrainError(f"nothing more arrived within {_STUCK_AFTER}")


def _rows(connection: psycopg.Connection, shards: int) -> int:
    """Rows of the log: the sum of the heads, which costs an index look per shard."""
    return sum(read_head(connection, shard).position for shard in range(shards))


def _streamed(settings: Settings) -> int:
    """Events in the streams: the sum of their tops, which are positions."""
    with closing(psycopg.connect(settings.postgres)) as connection:
        rows = connection.execute("SELECT shard, generation FROM delivery_shards").fetchall()
    with redis.Redis.from_url(settings.redis) as server:
        tops = [server.xrevrange(stream_name(shard, generation), count=1) for shard, generation in rows]
    return sum(int(top[0][0].partition(b"-")[0]) for top in tops if top)


def _first_append(settings: Settings) -> float:
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT extract(EPOCH FROM min(appended_at))::float8 FROM events").fetchone()
    if row is None or row[0] is None:
        raise DrainError("the log is empty")
    return float(row[0])
