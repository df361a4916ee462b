"""What actions ask of the brokers and tell them: leaders, offsets, settings and lives of topics."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
)

from schemas.raw import RAW_TOPICS
from settings import Settings

_SECONDS = 10.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_NEW_LEADER = (
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
)

Partition = tuple[str, int]  # topic with its prefix, number


class Cluster:
    """The brokers, over their own ports. Blocks: call it in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.raw_topics = [settings.topic_prefix + topic for topic in RAW_TOPICS]
        self._shards = settings.shards
        config: dict[str, Any] = {"bootstrap.servers": settings.kafka, "log_level": 0, "error_cb": _no_news}
        self._admin: Any = AdminClient(config)

    def leaders(self) -> list[int]:
        """The brokers that lead a partition of a raw topic."""
        return sorted({leader for leader, _ in self._partitions().values() if leader >= 0})

    def in_sync(self) -> dict[Partition, int]:
        """How many replicas of each partition of the raw topics are in step."""
        return {place: in_sync for place, (_, in_sync) in self._partitions().items()}

    def _partitions(self) -> dict[Partition, tuple[int, int]]:
        topics = self._admin.list_topics(timeout=_SECONDS).topics
        return {
            (name, number): (partition.leader, len(partition.isrs))
            for name in self.raw_topics
            for number, partition in topics[name].partitions.items()
        }

    def ends(self) -> dict[Partition, int]:
        """Where the partitions of the raw topics end: what is behind is acknowledged.

        Left out is one whose new leader does not know it yet: with too few
        replicas in step it does not learn it, and acknowledges nothing.
        """
        places = [TopicPartition(name, shard) for name in self.raw_topics for shard in range(self._shards)]
        answers = self._admin.list_offsets(dict.fromkeys(places, _LATEST), request_timeout=_SECONDS)
        found: dict[Partition, int] = {}
        for place in places:
            try:
                found[place.topic, place.partition] = answers[place].result().offset
            except KafkaException as error:
                if error.args[0].code() not in _NEW_LEADER:
                    raise
        return found

    def ask_for_in_sync(self, replicas: int) -> None:
        """Set `min.insync.replicas` of the raw topics."""
        entry = ConfigEntry("min.insync.replicas", str(replicas), incremental_operation=AlterConfigOpType.SET)
        resources = [
            ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
            for name in self.raw_topics
        ]
        _all(self._admin.incremental_alter_configs(resources, request_timeout=_SECONDS))

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        """Delete the records before these offsets, as retention does."""
        places = [TopicPartition(name, shard, offset) for (name, shard), offset in offsets.items()]
        _all(self._admin.delete_records(places, request_timeout=_SECONDS))

    def delete_topic(self, topic: str) -> None:
        _all(self._admin.delete_topics([topic], operation_timeout=_SECONDS))

    def life_of(self, topic: str) -> str:
        """The id that a topic has in its present life."""
        described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS)
        return str(described[topic].result().topic_id)


def _all(futures: Mapping[Any, "Future[Any]"]) -> None:
    for future in futures.values():
        future.result(_SECONDS)


def _no_news(_: object) -> None:
    """A call that gets no answer says so itself."""
