"""Offsets that are told to Kafka for its tools: whatever Kafka says to it, nobody waits and nothing stops."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from sinks.group_offsets import GroupOffsets, Place
from tests.fixtures.mock_kafka import MockKafka
from tests.fixtures.waiting import eventually

SOON = timedelta(seconds=30)
GROUP = "touchline-enrich-0"


class Teller:
    """Tells offsets that a test moves."""

    def __init__(self, servers: str) -> None:
        self.standing: dict[Place, int] = {("t", 0): 5}
        self.offsets = GroupOffsets(servers, GROUP, lambda: dict(self.standing))


@contextmanager
def telling(servers: str) -> Iterator[Teller]:
    teller = Teller(servers)
    teller.offsets.start()
    try:
        yield teller
    finally:
        teller.offsets.close(timedelta(seconds=5))


@pytest.fixture
def told(mock_kafka: MockKafka) -> Iterator[Callable[[], dict[Place, int]]]:
    mock_kafka.create_topic("t", 2)
    consumer = Consumer({"bootstrap.servers": mock_kafka.servers, "group.id": GROUP})
    places = [TopicPartition("t", 0), TopicPartition("t", 1)]

    def look() -> dict[Place, int]:
        found = consumer.committed(places, timeout=10)
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    yield look
    consumer.close()


def test_what_moved_is_told_and_the_rest_at_the_end(
    mock_kafka: MockKafka, told: Callable[[], dict[Place, int]]
) -> None:
    with telling(mock_kafka.servers) as teller:
        eventually(lambda: told() == {("t", 0): 5}, SOON)
        teller.standing |= {("t", 0): 9, ("t", 1): 3}
        eventually(lambda: told() == teller.standing, SOON)
        teller.standing[("t", 1)] = 1  # a failover took rows: the log stands behind
    assert told() == {("t", 0): 9, ("t", 1): 1}


@pytest.mark.parametrize(
    "refusal",
    [
        KafkaError.UNKNOWN_MEMBER_ID,  # somebody else consumes with this group
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
    ],
    ids=["unknown member", "no coordinator", "not allowed", "too large"],
)
def test_a_refusal_is_followed_by_what_is_true_then(
    mock_kafka: MockKafka, told: Callable[[], dict[Place, int]], refusal: int
) -> None:
    mock_kafka.refuse_next_offsets([refusal] * 2)
    with telling(mock_kafka.servers) as teller:
        teller.standing[("t", 1)] = 7
        eventually(lambda: told() == teller.standing, SOON)


def test_an_outage_is_followed_by_what_is_true_then(
    mock_kafka: MockKafka, told: Callable[[], dict[Place, int]]
) -> None:
    with telling(mock_kafka.servers) as teller:
        eventually(lambda: told() == teller.standing, SOON)
        mock_kafka.go_down()
        teller.standing[("t", 1)] = 7
        mock_kafka.come_back()
        eventually(lambda: told() == teller.standing, SOON)


def test_without_kafka_the_end_of_a_lane_does_not_wait(mock_kafka: MockKafka) -> None:
    """The lane behind it wants the store: what cannot be told now is told by that one."""
    mock_kafka.go_down()
    teller = Teller(mock_kafka.servers)
    teller.offsets.start()
    closing = threading.Thread(target=teller.offsets.close, args=[timedelta(seconds=0.1)], daemon=True)
    closing.start()
    eventually(lambda: not closing.is_alive(), SOON)
