"""The raw topics as Kafka has them, whatever their partition counts."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewPartitions,
    OffsetSpec,
)

from recovery.audit.servers import CannotRunError, naming_servers
from schemas.raw import RAW_TOPICS
from settings import Settings

_SECONDS = 10.0
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class FoundTopic(NamedTuple):
    """A raw topic in its present life."""

    topic: str  # without the installation's prefix
    name: str
    cluster_id: str
    topic_id: str
    ranges: Mapping[int, tuple[int, int]]  # partition -> first offset, end


class TopicAdmin:
    """Asks and tells a cluster about the raw topics; raises CannotRunError when it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = {settings.topic_prefix + topic: topic for topic in RAW_TOPICS}
        config: dict[str, Any] = {
            "bootstrap.servers": settings.kafka,
            "log_level": 0,
            "error_cb": ignore_error,
        }
        self._admin = AdminClient(config)

    def look(self) -> list[FoundTopic]:
        """The raw topics now."""
        with naming_servers(self._settings):
            there = self._admin.list_topics(timeout=_SECONDS)
            for name in self._names:
                if name not in there.topics:
                    raise CannotRunError(
                        "Kafka", f"topic {name} is not there", "./dev up creates the topics."
                    )
            described = self._admin.describe_topics(
                TopicCollection(list(self._names)), request_timeout=_SECONDS
            )
            places = [
                TopicPartition(name, partition)
                for name in self._names
                for partition in there.topics[name].partitions
            ]
            firsts, ends = self._offsets(places, _EARLIEST), self._offsets(places, _LATEST)
            return [
                FoundTopic(
                    topic,
                    name,
                    str(there.cluster_id),
                    str(described[name].result().topic_id),
                    {
                        place.partition: (firsts[name, place.partition], ends[name, place.partition])
                        for place in places
                        if place.topic == name
                    },
                )
                for name, topic in self._names.items()
            ]

    def _offsets(self, places: Iterable[TopicPartition], which: OffsetSpec) -> dict[tuple[str, int], int]:
        asked = dict.fromkeys(places, which)
        answers = self._admin.list_offsets(asked, request_timeout=_SECONDS)
        return {(place.topic, place.partition): int(answers[place].result().offset) for place in asked}

    def add_partitions(self, name: str, partitions: int) -> None:
        """Let a topic have so many; it has fewer now."""
        with naming_servers(self._settings):
            asked = [NewPartitions(name, partitions)]
            self._admin.create_partitions(asked, operation_timeout=_SECONDS)[name].result(_SECONDS)

    def delete_before(self, name: str, partition: int, offset: int) -> None:
        """Delete the records of a partition below an offset."""
        place = TopicPartition(name, partition, offset)
        with naming_servers(self._settings):
            self._admin.delete_records([place], request_timeout=_SECONDS)[place].result(_SECONDS)


def ignore_error(_: KafkaError) -> None:
    """Brokers that do not answer show as answers that do not come."""
