"""Make the raw topics fit the shards: a partition for each, and no record where no lane reads.

Kafka gives partitions to a topic and never takes them away. So records that
were written beyond the shards are sent to the partition of their match and
deleted where they lay; the partitions stay, empty.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from recovery.audit.kafka_reads import KafkaSilentError
from recovery.audit.servers import naming_servers
from recovery.deadletters.sending import NotSentError
from recovery.topics.cluster import FoundTopic, TopicAdmin, ignore_error
from schemas.control import parse_control
from schemas.partitioning import partition_of
from schemas.validation import Rejection, parse
from settings import Settings

_BATCH = 1_000
_SENT_WITHIN_SECONDS = 10
_SILENT_SECONDS = 20  # a broker that gives nothing for so long is down


class Stray(NamedTuple):
    """What a partition beyond the shards holds: offsets from `first` up to `end`."""

    partition: int
    first: int
    end: int


class TopicFit(msgspec.Struct, frozen=True, kw_only=True):
    """A raw topic beside the shards."""

    topic: str  # without the installation's prefix
    name: str
    partitions: int
    missing: int  # partitions that it lacks
    strays: list[Stray]  # of the partitions beyond the shards those that are not empty

    @property
    def fits(self) -> bool:
        """Whether lanes read all that there is."""
        return not self.missing and not self.strays

    @property
    def unread(self) -> int:
        """Offsets that no lane reads; marks of transactions count as well."""
        return sum(stray.end - stray.first for stray in self.strays)


def fit_of(found: FoundTopic, shards: int) -> TopicFit:
    """Compare a topic with the shards."""
    strays = [
        Stray(partition, first, end)
        for partition, (first, end) in sorted(found.ranges.items())
        if partition >= shards and end > first
    ]
    count = len(found.ranges)
    return TopicFit(
        topic=found.topic,
        name=found.name,
        partitions=count,
        missing=max(0, shards - count),
        strays=strays,
    )


class Fitter:
    """Makes raw topics fit; raises CannotRunError and NotSentError.

    Delivery: at least once, in order within a partition. A record is deleted
    after all in-sync replicas have it where it belongs; a crash in between
    sends it again, which the log counts once.
    """

    def __init__(self, settings: Settings, admin: TopicAdmin) -> None:
        self._settings = settings
        self._admin = admin
        self._config: dict[str, Any] = {
            "bootstrap.servers": settings.kafka,
            "log_level": 0,
            "error_cb": ignore_error,
        }

    def fit(self, topic: TopicFit) -> int:
        """Add the partitions that are missing, and send home what strayed; return how many records."""
        if topic.missing:
            self._admin.add_partitions(topic.name, self._settings.shards)
        sent = 0
        for stray in topic.strays:
            with naming_servers(self._settings):
                home = _Home(self._config, topic.name, self._settings.shards)
                for messages in self._read(topic.name, stray):
                    home.send(messages)
                    sent += len(messages)
            self._admin.delete_before(topic.name, stray.partition, stray.end)
        return sent

    def _read(self, name: str, stray: Stray) -> Iterator[list[Message]]:
        consumer = Consumer(
            {
                **self._config,
                "group.id": "touchline-topics",  # assigns by hand and commits nothing
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(name, stray.partition, stray.first)])
            following, silent = stray.first, 0
            while following < stray.end:
                found: list[Message] = []
                messages = consumer.consume(_BATCH, 1.0)
                silent = 0 if messages else silent + 1
                if silent > _SILENT_SECONDS:
                    raise KafkaSilentError(name, stray.partition, following, stray.end)
                for message in messages:
                    error = message.error()
                    if error is None:
                        following = (message.offset() or 0) + 1
                        if following <= stray.end:
                            found.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        following = stray.end  # what is missing up to here are marks of transactions
                    elif not error.retriable():
                        raise KafkaException(error)
                if found:
                    yield found
        finally:
            consumer.close()


class _Home:
    """Writes strayed records to the partitions of their matches, as they are."""

    def __init__(self, config: dict[str, Any], name: str, shards: int) -> None:
        self._name = name
        self._shards = shards
        self._refusal = ""
        self._producer = Producer(
            {
                **config,
                "client.id": "touchline-recovery",
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": _SENT_WITHIN_SECONDS * 1000,
                # The topic took each of them, maybe packed: so it takes them again.
                "compression.type": "zstd",
                "message.max.bytes": 100_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
                "on_delivery": self._take,
            }
        )

    def send(self, messages: Sequence[Message]) -> None:
        """Write records, in order, and wait until all in-sync replicas have them; raise NotSentError."""
        for message in messages:
            partition = self._partition(message.value(), message.partition() or 0)
            self._producer.produce(
                self._name, message.value(), message.key(), partition, headers=message.headers()
            )
        self._producer.flush()
        if self._refusal:
            raise NotSentError(self._name, self._refusal)

    def _partition(self, value: bytes | None, stray: int) -> int:
        """That of its match. What names none becomes a dead letter wherever it is read."""
        record = parse(value)
        match = record.match
        if isinstance(record, Rejection) and (control := parse_control(value)) is not None:
            match = control.match
        return stray % self._shards if match is None else partition_of(match, self._shards)

    def _take(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._refusal = error.str()
