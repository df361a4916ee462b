"""What Kafka and Postgres say now, each by itself: one that is down costs its own answer only."""

from typing import Any

import msgspec
import psycopg
from confluent_kafka import KafkaException

from recovery.audit.kafka_reads import KafkaReads, KafkaSilentError, ShardCountError, TopicMissingError
from settings import Settings
from storage.audit_reads import AuditReads


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """A server did not say, and why."""

    reason: str


class TopicLook(msgspec.Struct, frozen=True):
    """A raw topic in its present life."""

    topic: str  # without the installation's prefix
    topic_id: str
    firsts: dict[int, int]  # partition -> first offset that is still there
    ends: dict[int, int]  # partition -> next offset


class KafkaLook(msgspec.Struct, frozen=True, tag="known"):
    """The raw topics of an installation."""

    cluster_id: str
    topics: list[TopicLook]

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        return {(topic.topic, shard): end for topic in self.topics for shard, end in topic.ends.items()}


class ShardLook(msgspec.Struct, frozen=True):
    """Where the log of a shard ends."""

    shard: int
    generation: int  # 0: never had a writer
    position: int
    chain: str  # hex
    read: dict[str, int]  # topic -> next offset that a lane reads


class LogLook(msgspec.Struct, frozen=True, tag="known"):
    """The log in Postgres."""

    server_version: str
    shards: list[ShardLook]

    @property
    def heads(self) -> dict[int, int]:
        return {shard.shard: shard.position for shard in self.shards}

    @property
    def read(self) -> dict[str, dict[str, int]]:
        """As the offsets of a store are kept: by the shard's key."""
        return {f"{shard.shard:03d}": shard.read for shard in self.shards}


def look_at_kafka(settings: Settings) -> KafkaLook | Unknown:
    """Ask Kafka for its topics, their lives and offsets."""
    try:
        with KafkaReads(settings.kafka, settings.topic_prefix, settings.shards) as kafka:
            cluster = kafka.cluster_id()
            topics = [
                TopicLook(
                    cut.topic,
                    cut.topic_id,
                    {shard: first for shard, (first, _) in cut.ranges.items()},
                    {shard: end for shard, (_, end) in cut.ranges.items()},
                )
                for cut in kafka.cut()
            ]
    except KafkaException as error:
        return Unknown(f"Kafka at {settings.kafka}: {_said(error)}")
    except (KafkaSilentError, ShardCountError, TopicMissingError) as error:
        return Unknown(f"Kafka at {settings.kafka}: {error}")
    return KafkaLook(cluster, topics)


def look_at_log(settings: Settings) -> LogLook | Unknown:
    """Ask Postgres where the log of each shard ends."""
    where = psycopg.conninfo.conninfo_to_dict(settings.postgres)
    try:
        with AuditReads(settings.postgres) as log:
            if not log.is_ready():
                return Unknown("PostgreSQL has no log yet")
            names = {topic.number: topic.name for topic in log.topics_now()}
            progress = log.progress()
            shards = [
                ShardLook(
                    row.shard,
                    row.generation,
                    row.head,
                    row.chain.hex(),
                    {
                        names[topic]: offset
                        # Of a topic that was recreated the newest life counts.
                        for (shard, topic), offset in sorted(progress.items())
                        if shard == row.shard and topic in names
                    },
                )
                for row in log.shards_now(settings.shards).values()
            ]
            return LogLook(log.server_version, shards)
    except psycopg.Error as error:
        said = str(error).strip().splitlines()
        reason = said[0] if said else type(error).__name__
        return Unknown(f"PostgreSQL at {where.get('host', 'localhost')}:{where.get('port', 5432)}: {reason}")


def _said(error: KafkaException) -> str:
    detail: Any = error.args[0] if error.args else error
    return str(detail.str()) if hasattr(detail, "str") else str(detail)
