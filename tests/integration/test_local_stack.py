"""The local stack: real servers that heal, stop cleanly and leave nothing behind."""

import psycopg
import redis
from confluent_kafka.admin import AdminClient

from local.topics import topic_names
from settings import Settings
from tests.fixtures.stack import NewInstallation


def test_an_installation_has_its_own_topics_tables_and_redis(new_installation: NewInstallation) -> None:
    """Two tests at once see nothing of each other."""
    first, second = new_installation(2), new_installation(8)
    assert not set(topic_names(first.topic_prefix)) & set(topic_names(second.topic_prefix))
    with psycopg.connect(first.postgres) as one, psycopg.connect(second.postgres) as other:
        assert one.info.dbname != other.info.dbname
        assert one.execute("TABLE schema_migrations").fetchall()
    with redis.Redis.from_url(first.redis) as one_redis, redis.Redis.from_url(second.redis) as other_redis:
        one_redis.set("key", "value")
        assert other_redis.get("key") is None


def test_topics_have_one_partition_per_shard(installation: Settings) -> None:
    """The shard of a match is its partition, so all topics must agree on the count."""
    topics = AdminClient({"bootstrap.servers": installation.kafka}).list_topics(timeout=10).topics
    for name in topic_names(installation.topic_prefix):
        assert len(topics[name].partitions) == installation.shards
