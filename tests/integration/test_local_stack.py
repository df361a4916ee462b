"""The local stack: real servers that heal, stop cleanly and leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from local import ownership
from local.environment import environment_of, inherited
from local.topics import topic_names
from settings import ROOT, Settings, load
from tests.fixtures.stack import NewInstallation, is_up, parts_of, running_stack
from tests.fixtures.waiting import eventually
from tests.free_ports import a_free_base

pytestmark = pytest.mark.integration

# A killed server is back in one or two seconds; the rest is for a busy machine.
HEALS_WITHIN = timedelta(seconds=90)


@pytest.fixture
def own_settings(tmp_path: Path) -> Settings:
    """A place for a stack of the test's own, which it may kill."""
    return load(
        {
            "TOUCHLINE_PORT_BASE": str(a_free_base()),
            "TOUCHLINE_DATA": str(tmp_path / "a folder with spaces"),
        }
    )


@pytest.mark.parametrize("server", ["kafka", "postgres", "redis"])
def test_a_killed_server_comes_back_by_itself(stack: Settings, server: str) -> None:
    """SIGKILL of a server costs a second or two, not a person's attention."""
    before = parts_of(stack)[server]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def is_back() -> bool:
        now = parts_of(stack)[server]
        return is_up(stack, server) and now.pid != before.pid and now.restarts > before.restarts

    eventually(is_back, HEALS_WITHIN)


def test_an_installation_has_its_own_topics_tables_and_redis(new_installation: NewInstallation) -> None:
    """Two tests at once see nothing of each other."""
    first, second = new_installation(2), new_installation(8)
    assert not set(topic_names(first.topic_prefix)) & set(topic_names(second.topic_prefix))
    with psycopg.connect(first.postgres) as one, psycopg.connect(second.postgres) as other:
        assert one.info.dbname != other.info.dbname
        assert one.execute("TABLE schema_migrations").fetchall()
    with _redis(first) as one_redis, _redis(second) as other_redis:
        one_redis.set("key", "value")
        assert other_redis.get("key") is None


def test_topics_have_one_partition_per_shard(installation: Settings) -> None:
    """The shard of a match is its partition, so all topics must agree on the count."""
    topics = AdminClient({"bootstrap.servers": installation.kafka}).list_topics(timeout=10).topics
    for name in topic_names(installation.topic_prefix):
        assert len(topics[name].partitions) == installation.shards


def test_a_second_supervisor_is_refused_and_says_what_to_do(stack: Settings) -> None:
    """Two supervisors in one data folder would fight over its files."""
    done = _local(stack, "up")
    assert done.returncode == 1
    assert f"a stack already runs in {stack.data}" in done.stderr
    assert "./dev down" in done.stderr


def test_a_port_in_use_names_its_holder_and_the_way_out(own_settings: Settings) -> None:
    """Nobody should have to search who has the port."""
    with socket.create_server(("127.0.0.1", own_settings.port("redis"))):
        done = _local(own_settings, "up")
    assert done.returncode == 1
    assert f"port {own_settings.port('redis')}, for redis, is in use" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "TOUCHLINE_PORT_BASE" in done.stderr


def test_status_is_healthy_while_up_and_says_so_when_down(stack: Settings, own_settings: Settings) -> None:
    """Scripts ask by exit code, people by reading."""
    eventually(lambda: _local(stack, "status").returncode == 0)
    done = _local(own_settings, "status")
    assert (done.returncode, "nothing runs" in done.stdout) == (1, True)


@pytest.mark.timeout(400)
def test_a_killed_supervisor_leaves_no_orphan_and_no_loss(own_settings: Settings) -> None:
    """The kernel tells each child that its parent is gone; the next start finds everything."""
    topic = "sensor-events"
    with running_stack(own_settings) as supervisor:
        with psycopg.connect(own_settings.postgres, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'goal' AS word")
        assert _produce(own_settings, topic, b"goal") == 0
        with _redis(own_settings) as server:
            server.set("kept", "goal")
            assert server.waitaof(1, 0, 5000)[0] == 1
        pids = [record.pid for record in ownership.read_record(own_settings.data) if record.pid]
        supervisor.kill()
        supervisor.wait(timeout=10)
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), HEALS_WITHIN)

    with running_stack(own_settings):
        with psycopg.connect(own_settings.postgres) as connection:
            assert connection.execute("TABLE kept").fetchall() == [("goal",)]
        assert _consume_one(own_settings, topic) == b"goal"
        with _redis(own_settings) as server:
            assert server.get("kept") == b"goal"
        assert _local(own_settings, "down").returncode == 0
        assert ownership.holder(own_settings.data) is None
        assert not any(ownership.is_alive(record) for record in ownership.read_record(own_settings.data))


@pytest.mark.timeout(400)
def test_three_brokers_go_on_when_one_is_killed(own_settings: Settings) -> None:
    """Replication 3 with two in sync: an acknowledged record has a second home in another rack."""
    with running_stack(own_settings, "--brokers", "3"):
        admin = AdminClient({"bootstrap.servers": own_settings.kafka})
        topic = admin.list_topics("sensor-events", timeout=10).topics["sensor-events"]
        assert all(len(partition.replicas) == 3 for partition in topic.partitions.values())
        record = parts_of(own_settings)["kafka-1"]
        assert record.pid is not None
        os.kill(record.pid, signal.SIGKILL)
        assert _produce(own_settings, "sensor-events", b"goal") == 0
        eventually(lambda: is_up(own_settings, "kafka-1"), HEALS_WITHIN)


def _local(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env=inherited(environment_of(settings)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def _produce(settings: Settings, topic: str, value: bytes) -> int:
    """Send one record to partition 0; return how many were not acknowledged."""
    producer = Producer({"bootstrap.servers": settings.kafka, "acks": "all"})
    producer.produce(topic, value=value, partition=0)
    return int(producer.flush(60))


def _consume_one(settings: Settings, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": "test"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        return None if message is None else message.value()
    finally:
        consumer.close()


@contextmanager
def _redis(settings: Settings) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(settings.redis) as server:
        yield server
