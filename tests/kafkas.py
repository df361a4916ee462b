"""Where ingest writes to in tests: a list in memory, or librdkafka's mock broker behind the real producer."""

import contextlib
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError

from ingest.link import Link
from ingest.producer import DeliveryError, NotAcknowledgedError, RecordProducer
from ingest.records import Outgoing
from schemas.raw import RAW_TOPICS
from tests.fixtures.mock_kafka import MockKafka, records_on

SHARDS = 2
_GREETINGS = "greetings"


class Written(NamedTuple):
    """A record as a reader of Kafka finds it."""

    partition: int
    key: bytes | None
    value: bytes


class Kafka(Protocol):
    """What an adapter needs of Kafka, and what a test does to it."""

    refused: int  # sends that failed

    async def send(self, records: list[Outgoing]) -> Sequence[int]: ...

    def on(self, topic: str) -> list[Written]: ...

    def refuse_next(self) -> None:
        """Refuse the first record of the next batch, for good."""

    def go_down(self) -> None: ...

    def come_back(self) -> None: ...

    async def close(self) -> None: ...


class KafkaInMemory:
    """Acknowledges at once, or refuses while it is down."""

    def __init__(self) -> None:
        self._records: dict[str, list[Written]] = {topic: [] for topic in RAW_TOPICS}
        self._is_down = False
        self._refuses_next = False
        self.refused = 0

    async def send(self, records: list[Outgoing]) -> Sequence[int]:
        if self._is_down:
            self.refused += 1
            raise NotAcknowledgedError(KafkaError(KafkaError._MSG_TIMED_OUT))
        refused, self._refuses_next = (0,) if self._refuses_next else (), False
        for topic, partition, key, value in records[len(refused) :]:
            self._records[topic].append(Written(partition, key, value))
        return refused

    def on(self, topic: str) -> list[Written]:
        return sorted(self._records[topic], key=lambda record: record.partition)

    def refuse_next(self) -> None:
        self._refuses_next = True

    def go_down(self) -> None:
        self._is_down = True

    def come_back(self) -> None:
        self._is_down = False

    async def close(self) -> None:
        pass


class KafkaMocked:
    """The real producer in front of a mock broker."""

    def __init__(self, cluster: MockKafka) -> None:
        self._cluster = cluster
        for topic in RAW_TOPICS:
            cluster.create_topic(topic, SHARDS)
        # 8 s in real life; an outage in a test is shorter.
        impatient = {"delivery.timeout.ms": 3_000}
        self.link = Link("kafka", cluster.servers, time.monotonic)
        self.producer = RecordProducer(cluster.servers, "", self.link, impatient)
        self.refused = 0
        self.go_down, self.come_back = cluster.go_down, cluster.come_back

    def refuse_next(self) -> None:
        self._cluster.refuse_next_records([KafkaError.MSG_SIZE_TOO_LARGE] * 2)  # the batch, then it alone

    async def connect(self) -> None:
        """Wait until the producer has its id: that alone may take longer than it is patient."""
        self._cluster.create_topic(_GREETINGS, 1)
        while True:
            with contextlib.suppress(NotAcknowledgedError):
                await self.producer.send([Outgoing(_GREETINGS, 0, b"", b"")])
                return

    async def send(self, records: list[Outgoing]) -> Sequence[int]:
        try:
            return await self.producer.send(records)
        except DeliveryError:
            self.refused += 1
            raise

    def on(self, topic: str) -> list[Written]:
        return [
            Written(message.partition() or 0, message.key(), message.value() or b"")
            for message in records_on(self._cluster.servers, topic, SHARDS)
        ]

    async def close(self) -> None:
        await self.producer.close(timedelta(seconds=1))
