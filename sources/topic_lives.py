"""Which life of a topic the cluster holds now: a topic that was recreated has another id."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

_SECONDS = 10.0


class LiveTopic(NamedTuple):
    """A topic as the cluster describes it."""

    name: str
    cluster_id: str
    topic_id: str
    partitions: int


class TopicMissingError(RuntimeError):
    """A topic that must be there is not, or has another number of partitions."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"topic {topic}: {reason}; ./dev prepare creates what is missing")
        self.topic = topic
        self.reason = reason


def describe_topics(bootstrap: str, names: Sequence[str], partitions: int) -> list[LiveTopic]:
    """Ask the cluster for its id and the topics' ids; raise TopicMissingError when one does not fit."""
    config: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 2, "error_cb": lambda _: None}
    admin = AdminClient(config)
    cluster_id = admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id
    described: list[LiveTopic] = []
    for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=_SECONDS).items():
        try:
            topic = future.result(_SECONDS)
        except Exception as error:
            raise TopicMissingError(name, str(error)) from error
        if len(topic.partitions) != partitions:
            raise TopicMissingError(name, f"it has {len(topic.partitions)} partitions, not {partitions}")
        described.append(LiveTopic(name, cluster_id, str(topic.topic_id), partitions))
    return described
