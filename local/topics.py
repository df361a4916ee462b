"""The Kafka topics of an installation: made once, checked ever after."""

import time
from collections.abc import Iterable
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.raw import RAW_TOPICS
from settings import Settings

LIVE = "live-events"
LARGEST_RECORD_BYTES = 1024 * 1024
ANSWER_WITHIN_SECONDS = 30.0
LOOK_EVERY_SECONDS = 0.02


class ShardCountError(RuntimeError):
    """A topic has fewer partitions than the installation has shards."""

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(
            f"topic {topic} has {found} partitions, TOUCHLINE_SHARDS is {wanted}. The count is fixed for the"
            f" life of an installation: set TOUCHLINE_SHARDS={found}, or start another data folder."
        )
        self.topic = topic
        self.found = found
        self.wanted = wanted


def topic_names(prefix: str) -> list[str]:
    """Every topic of an installation: raw, dead letters of each, live."""
    return [prefix + name for raw in RAW_TOPICS for name in (raw, f"{raw}-dlq")] + [prefix + LIVE]


def create_topics(settings: Settings, replicas: int) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises ShardCountError for one that is there with too few partitions. Those that have too many are
    no hindrance here: lanes say so, and what mends it needs the servers.
    """
    admin = _admin(settings)
    there = admin.list_topics(timeout=ANSWER_WITHIN_SECONDS).topics
    wanted = topic_names(settings.topic_prefix)
    for name in wanted:
        if name in there and len(there[name].partitions) < settings.shards:
            raise ShardCountError(name, len(there[name].partitions), settings.shards)
    missing = [name for name in wanted if name not in there]
    if missing:
        config = {
            "max.message.bytes": str(LARGEST_RECORD_BYTES),
            "min.insync.replicas": str(min(2, replicas)),
        }
        topics = [
            NewTopic(name, num_partitions=settings.shards, replication_factor=replicas, config=config)
            for name in missing
        ]
        _finish(admin.create_topics(topics).values(), KafkaError.TOPIC_ALREADY_EXISTS)
        _wait_until_seen(admin, missing)
    return missing


def delete_topics(settings: Settings) -> None:
    """Delete the installation's topics; those that are gone already are fine."""
    admin = _admin(settings)  # held: its futures fail when it is collected
    gone = admin.delete_topics(topic_names(settings.topic_prefix))
    _finish(gone.values(), KafkaError.UNKNOWN_TOPIC_OR_PART)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka})


def _wait_until_seen(admin: AdminClient, names: list[str]) -> None:
    """The controller answers before the brokers have heard of the topics."""
    deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
    while unseen := set(names) - admin.list_topics(timeout=ANSWER_WITHIN_SECONDS).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"topics were created, but no broker knows {', '.join(sorted(unseen))}")
        time.sleep(LOOK_EVERY_SECONDS)


def _finish(futures: Iterable["Future[None]"], harmless: int) -> None:
    for future in futures:
        try:
            future.result(ANSWER_WITHIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != harmless:
                raise
