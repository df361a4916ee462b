"""The Kafka source: one consumer per priority, demultiplexed into one Bytewax partition per shard.

The stock KafkaSource costs three to four times more per message, and one
consumer with four threads per partition. Here a worker polls librdkafka
once for all its shards and emits one batch per partition and poll.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from schemas.batch import RawBatch
from telemetry.log import Log

TROUBLED = "source.troubled"

_log = Log("source")

# Incidents of play first: a goal never waits behind a flood of readings and posts,
# and the floor keeps the flood moving while incidents come without end. Every topic
# of RAW_TOPICS has its place here, which a test holds.
PRIORITIES: tuple[tuple[str, ...], ...] = (
    ("broadcast-events", "derived-events"),
    ("sensor-events", "social-events"),
)
_POLL_MESSAGES = 4_000
_LOW_FLOOR = 500
_PENDING_RECORDS = 4 * _POLL_MESSAGES  # read and not yet handed on, over all shards of a process
_WATERMARK_SECONDS = 10.0
# Between empty polls of a worker, whatever the number of shards. At 1 ms a quiet lane
# took 12% of a core; after a quarter of a second without records it looks less often.
_IDLE = timedelta(milliseconds=3)
_QUIET = timedelta(milliseconds=5)
_QUIET_AFTER_SECONDS = 0.25

_FATAL = frozenset(
    {
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        # A record set that cannot be read: stepping over it would lose it unsaid.
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
    }
)

# shard -> topic -> offset to start at; a topic that is missing starts at its beginning.
StartingOffsets = Callable[[int], Mapping[str, int]]


class TopicUnreadableError(RuntimeError):
    """A partition cannot be read on: the topic is gone, or its log no longer has the offset.

    Stops the lane by name: going on elsewhere would skip records unsaid.
    """

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(f"{topic}[{partition}] cannot be read from offset {offset}: {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset


def consumer_config(bootstrap: str, group: str) -> dict[str, Any]:
    """librdkafka's settings for a lane: small queues, so that a goal is not behind megabytes of readings."""
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.min.bytes": 1,
        "fetch.wait.max.ms": 250,  # an answer comes with the first record, however long it may wait
        "fetch.queue.backoff.ms": 10,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        "check.crcs": False,
        "reconnect.backoff.max.ms": 1_000,
        "error_cb": lambda _: None,  # brokers come back by themselves; lag tells
        "log_level": 2,
    }


class _TopicSlice:
    """One partition of one topic: what was read and not yet handed on."""

    __slots__ = ("end", "is_at_end", "next", "partition", "pending", "read_on", "topic")

    def __init__(self, topic: str, partition: int, start: int) -> None:
        self.topic = topic
        self.partition = partition
        self.next = start  # offset of the next record to hand on
        self.read_on = start  # offset of the next record to take from librdkafka
        self.pending: list[RawBatch] = []
        self.end: int | None = None  # stop here, when draining
        self.is_at_end = False  # librdkafka said so, after `end` was known

    @property
    def is_drained(self) -> bool:
        """Whether everything up to `end` was handed on.

        The last offsets of a partition may be marks of transactions, which no
        consumer ever gets: only librdkafka knows that it has passed them.
        """
        if self.end is None or self.pending:
            return False
        return self.is_at_end or self.next >= self.end


class _Reader:
    """The consumer of one priority, shared by the shards of a process."""

    def __init__(self, config: dict[str, Any], prefix: str, stop_at_end: bool) -> None:
        self._config = {**config, "enable.partition.eof": stop_at_end}
        self._prefix = prefix
        self._stop_at_end = stop_at_end
        self._slices: dict[tuple[str, int], _TopicSlice] = {}
        self._consumer: Consumer | None = None
        self._stale = False
        self._pending_records = 0
        self._idle_until = 0.0
        self._last_records = 0.0  # monotonic
        self.pause = _IDLE  # how long to leave librdkafka alone after an empty poll
        self._lock = threading.Lock()  # several workers may share the process

    def add(self, topic: str, partition: int, start: int) -> _TopicSlice:
        with self._lock:
            added = self._slices[self._prefix + topic, partition] = _TopicSlice(topic, partition, start)
            self._stale = True
        return added

    def _assign(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._config)
        for (topic, partition), part in self._slices.items():
            if self._stop_at_end and part.end is None:
                place = TopicPartition(topic, partition)
                low, part.end = self._consumer.get_watermark_offsets(place, _WATERMARK_SECONDS)
                if part.next == OFFSET_BEGINNING:
                    part.next = part.read_on = low
        self._consumer.assign(
            [TopicPartition(topic, index, part.read_on) for (topic, index), part in self._slices.items()]
        )
        self._stale = False
        return self._consumer

    def poll(self, limit: int) -> int:
        """Take up to `limit` records without waiting; return how many came."""
        if not self._lock.acquire(blocking=False):
            return 0
        try:
            now = time.monotonic()
            # A shard that is up to date must not pull the backlog of one that is busy into memory.
            if now < self._idle_until or self._pending_records > _PENDING_RECORDS:
                return 0
            consumer = self._assign() if self._stale or self._consumer is None else self._consumer
            messages = consumer.consume(limit, 0.0)
            if not messages:
                self.pause = _QUIET if now - self._last_records > _QUIET_AFTER_SECONDS else _IDLE
                self._idle_until = now + self.pause.total_seconds()
                return 0
            self._last_records = now
            self._sort_in(messages)
            return len(messages)
        finally:
            self._lock.release()

    def _sort_in(self, messages: Sequence[Message]) -> None:
        batches: dict[tuple[str, int], list[tuple[int, bytes | None, bytes | None]]] = {}
        for message in messages:
            error = message.error()
            place = _place(message)
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._slices[place].is_at_end = True
                else:
                    self._raise_if_fatal(message, error)
                continue
            batch = batches.get(place)
            if batch is None:
                batch = batches[place] = []
            batch.append((message.offset() or 0, message.key(), message.value()))
        for place, records in batches.items():
            part = self._slices[place]
            part.read_on = records[-1][0] + 1
            if part.end is not None:
                records = [r for r in records if r[0] < part.end]
            self._pending_records += len(records)
            if records:
                part.pending.append(RawBatch(part.topic, part.partition, records))

    def take(self, part: _TopicSlice) -> list[RawBatch]:
        """What was read of one partition and not yet handed on."""
        with self._lock:
            taken, part.pending = part.pending, []
            part.next = taken[-1].records[-1][0] + 1
            self._pending_records -= sum(len(batch.records) for batch in taken)
        return taken

    def _raise_if_fatal(self, message: Message, error: KafkaError) -> None:
        if error.fatal() or error.code() in _FATAL:
            part = self._slices.get(_place(message))
            raise TopicUnreadableError(*_place(message), part.next if part else -1, error.str())
        _log.warning(TROUBLED, topic=message.topic(), partition=message.partition(), detail=error.str())


def _place(message: Message) -> tuple[str, int]:
    """Topic and partition, which every message that was read has."""
    return message.topic() or "", message.partition() or 0


class _ShardPartition(StatefulSourcePartition[tuple[str, RawBatch], dict[str, int]]):
    """A shard: the same partition of every raw topic."""

    def __init__(
        self,
        key: str,
        read: Sequence[tuple[_Reader, Sequence[_TopicSlice]]],
        now: Callable[[], datetime],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._key = key
        self._read = read  # by priority
        self._now = now
        self._is_stopping = is_stopping
        self._slices = [part for _, slices in read for part in slices]
        self._awake: datetime | None = None

    def next_batch(self) -> list[tuple[str, RawBatch]]:
        if self._is_stopping():
            raise StopIteration  # what was read and not handed on is read again
        out: list[tuple[str, RawBatch]] = []
        taken = 0
        for reader, slices in self._read:
            if not any([part.pending for part in slices]):  # noqa: C419 - half the cost of a generator
                reader.poll(max(_POLL_MESSAGES - taken, _LOW_FLOOR))
            for part in slices:
                if part.pending:
                    for batch in reader.take(part):
                        out.append((self._key, batch))
                        taken += len(batch.records)
        if out:
            self._awake = None
            return out
        if self._has_ended():
            raise StopIteration
        self._awake = self._now() + min(reader.pause for reader, _ in self._read)
        return out

    def _has_ended(self) -> bool:
        return all(part.is_drained for part in self._slices)

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> dict[str, int]:
        return {part.topic: part.next for part in self._slices}


class KafkaSource(FixedPartitionedSource[tuple[str, RawBatch], dict[str, int]]):
    """Read the raw topics of some shards, incidents of play first.

    Delivery: at least once from the offsets that `starting_offsets` gives,
    which come from the log; what the log has already is found again there.
    Items are `("003", RawBatch)`, in offset order within a topic's partition.
    """

    def __init__(
        self,
        config: dict[str, Any],
        shards: Sequence[int],
        starting_offsets: StartingOffsets,
        now: Callable[[], datetime],
        topic_prefix: str = "",
        stop_at_end: bool = False,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`now` tells the time by which the engine wakes partitions.

        Once `is_stopping`, every partition ends: the engine closes the flow
        epoch with what was handed on, and the flow is over.
        """
        self._shards = shards
        self._starting_offsets = starting_offsets
        self._now = now
        self._is_stopping = is_stopping
        self._readers = [_Reader(config, topic_prefix, stop_at_end) for _ in PRIORITIES]

    def list_parts(self) -> list[str]:
        return [shard_key(shard) for shard in self._shards]

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, int] | None) -> _ShardPartition:
        """Start where the log says: the snapshot's offsets are never ahead of it."""
        shard = int(for_part)
        start = self._starting_offsets(shard)
        read = [
            (reader, [reader.add(topic, shard, start.get(topic, OFFSET_BEGINNING)) for topic in topics])
            for reader, topics in zip(self._readers, PRIORITIES, strict=True)
        ]
        return _ShardPartition(for_part, read, self._now, self._is_stopping)


def shard_key(shard: int) -> str:
    """The Bytewax key of a shard."""
    return f"{shard:03d}"


__all__ = ["KafkaSource", "TopicUnreadableError", "consumer_config", "shard_key"]
