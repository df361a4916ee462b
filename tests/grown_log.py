"""A log that grows, forgets and dies as a test says, and what its copies must then hold.

Rows are appended without any enrich: the relay knows nothing of events but
their bytes, their place and their chain.
"""

import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Self, cast

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.identity import ZERO_CHAIN, next_chain
from schemas.letters import DeadLetter, Origin
from settings import Settings
from sinks.live_streams import Delivery
from storage.append import take_shard
from storage.connect import connect
from storage.copy_rows import COPY_EVENTS, COPY_LETTERS, PlacedLetter, event_row, letter_rows, microseconds
from storage.simple_query import CopyIn, run
from storage.streams import Streams, stream_name

AT = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)
_TOPIC = "INSERT INTO topics (name, cluster_id, topic_id) VALUES (%s, 'test', 'test') RETURNING topic"
_GENERATION = "SELECT generation FROM delivery_shards WHERE shard = %s"
_LOSE = "DELETE FROM events WHERE shard = %s AND position > %s"
_DROP = "DELETE FROM events WHERE shard = %s AND position <= %s"
_BASE = "UPDATE delivery_shards SET base_position = %s, base_chain = %s WHERE shard = %s"


class Row(NamedTuple):
    """One row of a shard; the first one is at position 1."""

    chain: bytes
    payload: bytes


class GrownLog:
    """The log of an installation, and a copy of it in memory to compare with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: psycopg.Connection = connect(settings.postgres, "touchline-test")
        self.rows: dict[int, list[Row]] = {shard: [] for shard in range(settings.shards)}
        self._seqs: dict[int, int] = dict.fromkeys(self.rows, 0)
        self._topics: dict[str, int] = {}
        for shard in self.rows:
            take_shard(self._connection, shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def generation(self, shard: int) -> int:
        found = self._connection.execute(_GENERATION, (shard,)).fetchone()
        assert found is not None
        return int(found[0])

    def head(self, shard: int) -> int:
        return len(self.rows[shard])

    def chain_at(self, shard: int, position: int) -> bytes:
        return self.rows[shard][position - 1].chain if position else ZERO_CHAIN

    def grow(self, shard: int, count: int, text_bytes: int = 20) -> Delivery:
        """Commit rows; return what the committer would offer for write-through."""
        previous, blobs = self.head(shard), []
        prev_chain = chain = self.chain_at(shard, previous)
        for _ in range(count):
            key, body = uuid.uuid4().bytes, random.randbytes(8)
            chain = next_chain(chain, key, body)
            self._seqs[shard] += 1  # never twice, also after rows were lost: the constraint is on the match
            position, seq = self.head(shard) + 1, self._seqs[shard]
            payload = b'{"shard":%d,"seq":%d,"text":"%s"}' % (
                shard,
                seq,
                random.randbytes(text_bytes).hex().encode(),
            )
            blobs.append(
                event_row(
                    shard, position, seq, key, body, chain, 1, seq, microseconds(AT), microseconds(AT),
                    True, 1, b"match-%d" % shard, payload,
                )
            )  # fmt: skip
            self.rows[shard].append(Row(chain, payload))
        run(self._connection, b"BEGIN;", [CopyIn(COPY_EVENTS, b"".join(blobs))], b"COMMIT")
        grown = self.rows[shard][previous:]
        return Delivery(
            shard,
            self.generation(shard),
            previous,
            prev_chain,
            self.head(shard),
            chain,
            [row.payload for row in grown],
            [row.chain for row in grown],
        )

    def lose_after(self, shard: int, position: int) -> None:
        """Forget the end of a shard, as a database restored from a backup does."""
        self._connection.execute(_LOSE, (shard, position))
        del self.rows[shard][position:]

    def lose_generation(self, shard: int) -> None:
        """Forget that the generation of a shard rose."""
        self._connection.execute(
            "UPDATE delivery_shards SET generation = generation - 1000 WHERE shard = %s", (shard,)
        )

    def drop_until(self, shard: int, position: int) -> None:
        """Drop the beginning of a shard, as dropping an old bucket does."""
        with self._connection.transaction():
            self._connection.execute(_DROP, (shard, position))
            chain = uuid.UUID(bytes=self.chain_at(shard, position))
            self._connection.execute(_BASE, (position, chain, shard))

    def restore_letters(self) -> None:
        """Forget every letter and the numbers they had."""
        self._connection.execute("TRUNCATE dead_letters RESTART IDENTITY CASCADE")

    def reject(
        self, topic: str, partition: int, offset: int, original: bytes, key: bytes | None = b"key"
    ) -> None:
        """Commit a dead letter."""
        if topic not in self._topics:
            found = self._connection.execute(_TOPIC, (topic,)).fetchone()
            assert found is not None
            self._topics[topic] = found[0]
        letter = DeadLetter("malformed_json", "no brace", Origin(topic, partition, offset), key, original)
        blob = letter_rows([PlacedLetter(self._topics[topic], letter)], datetime.now(UTC))
        run(self._connection, b"BEGIN;", [CopyIn(COPY_LETTERS, blob)], b"COMMIT")


def streamed(settings: Settings, shard: int, generation: int) -> dict[int, bytes]:
    """Position -> payload of a stream; fails on a gap, a repeat or a damaged entry."""
    streams = Streams(settings.redis)
    entries = streams.read_after(stream_name(shard, generation), 0, 1_000_000)
    streams.close()
    found: dict[int, bytes] = {}
    for entry in entries:
        assert not found or entry.first == max(found) + 1, f"a gap or a repeat at {entry.first}"
        assert len(entry.payloads) == entry.top.position - entry.first + 1
        found.update(enumerate(entry.payloads, entry.first))
    return found


def streams_hold(settings: Settings, log: GrownLog, begin: Mapping[int, int] | None = None) -> bool:
    """Whether each shard's stream holds its log, from `begin` (1) to the head; or an AssertionError."""
    for shard, rows in log.rows.items():
        first = (begin or {}).get(shard, 1)
        expected = {position: row.payload for position, row in enumerate(rows, 1) if position >= first}
        assert streamed(settings, shard, log.generation(shard)) == expected, f"shard {shard}"
    return True


class Copied(NamedTuple):
    """One record of a topic that the relay fills."""

    partition: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


def copied(settings: Settings, topic: str) -> list[Copied]:
    """Every record of a topic, in order within each partition; an AssertionError while it has no leader."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "test", "enable.auto.commit": False, "log_level": 0}
    )
    name = settings.topic_prefix + topic
    wanted = 0
    places = []
    for number in range(settings.shards):
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, number), 10)
        except KafkaException as error:
            raise AssertionError(f"{name} cannot be read yet") from error
        wanted += high - low
        places.append(TopicPartition(name, number, low))
    consumer.assign(places)
    found: list[Copied] = []
    while len(found) < wanted:
        for message in consumer.consume(wanted - len(found), 1.0):
            assert message.error() is None, message.error()
            pairs = cast("list[tuple[str, bytes]]", message.headers() or [])
            found.append(Copied(message.partition() or 0, message.key(), message.value() or b"", dict(pairs)))
    consumer.close()
    return found


def live_events_lack(settings: Settings, log: GrownLog) -> list[tuple[int, int]]:
    """(shard, position) of each row that `live-events` does not hold, in whatever generation."""
    there = {record.headers["chain"].decode() for record in copied(settings, "live-events")}
    return [
        (shard, position)
        for shard, rows in log.rows.items()
        for position, row in enumerate(rows, 1)
        if row.chain.hex() not in there
    ]


def live_events_hold(settings: Settings, log: GrownLog, *, exactly_once: bool) -> bool:
    """Whether `live-events` holds each row in order at its place; repeats only where they are allowed."""
    by_shard: dict[int, list[Copied]] = {shard: [] for shard in log.rows}
    for record in copied(settings, "live-events"):
        by_shard[record.partition].append(record)
    for shard, rows in log.rows.items():
        life = b"%d" % log.generation(shard)
        records = [record for record in by_shard[shard] if record.headers["generation"] == life]
        is_first_life = len(records) == len(by_shard[shard])
        # Readers of an earlier life resync: the next one may begin anywhere.
        cursor = 0 if is_first_life or not records else int(records[0].headers["position"]) - 1
        for record in records:
            position = int(record.headers["position"])
            assert position <= cursor + 1, "a gap"
            if position <= cursor:
                assert not exactly_once, f"position {position} of shard {shard} again"
                continue
            cursor = position
            row = rows[position - 1]
            assert (record.value, record.headers["chain"].decode()) == (row.payload, row.chain.hex())
            assert record.key == b"match-%d" % shard
        assert cursor == len(rows), f"shard {shard} ends at {cursor} of {len(rows)}"
    return True
