"""Read the raw topics from Kafka, up to where they ended when the audit began."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.raw import RAW_TOPICS

_ANSWER_SECONDS = 5.0
_BATCH = 10_000
# consume() waits this long for a full batch; a short one is as good.
_WAIT_SECONDS = 0.2
# A broker that gives nothing for so long while records are still missing is down.
_SILENT_POLLS = 100
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaSilentError(RuntimeError):
    """Records that the cluster said it has did not come."""

    def __init__(self, topic: str, partition: int, at: int, end: int) -> None:
        super().__init__(f"{topic}[{partition}] gives nothing at offset {at}, though it ends at {end}")


class TopicMissingError(RuntimeError):
    """A raw topic is not there."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} is not there")
        self.topic = topic


class ShardCountError(RuntimeError):
    """A topic has fewer partitions than the installation has shards."""

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(f"topic {topic} has {found} partitions, TOUCHLINE_SHARDS is {wanted}")


class TopicCut(NamedTuple):
    """A raw topic in its present life, and the offsets that are compared."""

    topic: str  # without prefix
    name: str
    topic_id: str
    ranges: dict[int, tuple[int, int]]  # partition -> first offset, end

    def holds(self, partition: int, offset: int) -> bool:
        """Whether an offset lies within what is compared."""
        first, end = self.ranges[partition]
        return first <= offset < end

    @property
    def records(self) -> int:
        return sum(end - first for first, end in self.ranges.values())


class RawRecord(NamedTuple):
    """A record of a raw topic."""

    offset: int
    key: bytes | None
    value: bytes | None


class OutletRecord(NamedTuple):
    """A record of a topic that the relay fills."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


Record = TypeVar("Record")


class KafkaReads:
    """The raw topics of an installation.

    Raises KafkaException when no broker answers, KafkaSilentError when one
    stops to.
    """

    def __init__(self, bootstrap: str, prefix: str, shards: int) -> None:
        self._prefix = prefix
        self._shards = shards
        config: dict[str, Any] = {"bootstrap.servers": bootstrap, "error_cb": _ignored, "log_level": 0}
        self._admin = AdminClient(config)
        self._consumer = Consumer(
            {
                **config,
                "group.id": "touchline-audit",  # assigns by hand and commits nothing
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
            }
        )

    def __enter__(self) -> "KafkaReads":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def cluster_id(self) -> str:
        return self._metadata().cluster_id or ""

    def _metadata(self) -> Any:
        """What there is; asked before offsets are, which take 3 s now and then on a new connection."""
        return self._admin.list_topics(timeout=_ANSWER_SECONDS)

    def cut(self, topics: Iterable[str] = RAW_TOPICS) -> list[TopicCut]:
        """The topics with their offsets now; raise TopicMissingError, ShardCountError."""
        names = {self._prefix + topic: topic for topic in topics}
        there = self._metadata().topics
        for name in names:
            if name not in there:
                raise TopicMissingError(name)
            if len(there[name].partitions) < self._shards:
                raise ShardCountError(name, len(there[name].partitions), self._shards)
        described = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=_ANSWER_SECONDS)
        firsts = self._offsets(names, _EARLIEST)
        ends = self._offsets(names, _LATEST)
        return [
            TopicCut(
                topic,
                name,
                str(described[name].result().topic_id),
                {p: (firsts[name, p], ends[name, p]) for p in range(self._shards)},
            )
            for name, topic in names.items()
        ]

    def beyond(self) -> list[tuple[str, int, int, int]]:
        """Partitions of the raw topics that no shard has: topic, partition, first offset, end."""
        there = self._metadata().topics
        places = [
            (self._prefix + topic, partition)
            for topic in RAW_TOPICS
            for partition in range(self._shards, len(there[self._prefix + topic].partitions))
        ]
        firsts, ends = self._offsets_of(places, _EARLIEST), self._offsets_of(places, _LATEST)
        return [(*place, firsts[place], ends[place]) for place in places]

    def ends(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> where it ends now; topics without prefix."""
        names = {self._prefix + topic: topic for topic in RAW_TOPICS}
        now = self._offsets(names, _LATEST)
        return {(names[name], partition): end for (name, partition), end in now.items()}

    def _offsets(self, names: Iterable[str], which: OffsetSpec) -> dict[tuple[str, int], int]:
        return self._offsets_of([(name, part) for name in names for part in range(self._shards)], which)

    def _offsets_of(self, wanted: Iterable[tuple[str, int]], which: OffsetSpec) -> dict[tuple[str, int], int]:
        """One request for all partitions: asked one by one, eight shards took half a second."""
        places = [TopicPartition(name, partition) for name, partition in wanted]
        if not places:
            return {}
        asked = dict.fromkeys(places, which)
        answers = self._admin.list_offsets(asked, request_timeout=_ANSWER_SECONDS)
        return {(place.topic, place.partition): answers[place].result().offset for place in places}

    def records(self, name: str, partition: int, first: int, end: int) -> Iterator[list[RawRecord]]:
        """The records of a partition with first <= offset < end, in batches."""
        return self._read(name, partition, first, end, _raw_record)

    def outlet_records(self, name: str, partition: int, first: int, end: int) -> Iterator[list[OutletRecord]]:
        """The same of a topic that the relay fills."""
        return self._read(name, partition, first, end, outlet_record)

    def _read(
        self, name: str, partition: int, first: int, end: int, record_of: Callable[[Message, int], Record]
    ) -> Iterator[list[Record]]:
        if first >= end:
            return
        self._consumer.assign([TopicPartition(name, partition, first)])
        try:
            at, silent = first, 0
            while at < end:
                messages = self._consumer.consume(min(_BATCH, end - at), _WAIT_SECONDS)
                silent = 0 if messages else silent + 1
                if silent > _SILENT_POLLS:
                    raise KafkaSilentError(name, partition, at, end)
                batch, at = _sorted_in(messages, at, end, record_of)
                if batch:
                    yield batch
        finally:
            self._consumer.unassign()


def _raw_record(message: Message, offset: int) -> RawRecord:
    return RawRecord(offset, message.key(), message.value())


def outlet_record(message: Message, offset: int) -> OutletRecord:
    """A record of a topic that the relay fills, as the checks read it."""
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    # Anybody may write into these topics, also a header without a value.
    headers = {name: value for name, value in pairs if value is not None}
    return OutletRecord(offset, message.key(), message.value(), headers)


def _sorted_in(
    messages: list[Message], at: int, end: int, record_of: Callable[[Message, int], Record]
) -> tuple[list[Record], int]:
    """The records among messages, and where reading goes on: at the end once the partition says so."""
    batch: list[Record] = []
    for message in messages:
        error = message.error()
        if error is None:
            offset = message.offset()
            assert offset is not None
            at = offset + 1
            if offset < end:
                batch.append(record_of(message, offset))
        elif error.code() == KafkaError._PARTITION_EOF:
            at = end  # what is missing up to here are transaction marks
        elif not error.retriable():
            raise KafkaException(error)
    return batch, at


def _ignored(_: object) -> None:
    """Brokers that do not answer show as answers that do not come."""
