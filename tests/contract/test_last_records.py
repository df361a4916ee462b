"""What partitions end with: one that cannot be asked holds up no other."""

from datetime import timedelta

import pytest
from confluent_kafka import Producer

from sinks.last_records import Partition, TopicsUnreadableError, look_at_ends
from tests.fixtures.mock_kafka import MockKafka

HERE, EMPTY, BEYOND, GONE = (Partition("t", 1), Partition("t", 0), Partition("t", 9), Partition("gone", 0))


def test_ends_are_told_as_far_as_they_can_be_read(mock_kafka: MockKafka) -> None:
    mock_kafka.create_topic("t", 2)
    producer = Producer({"bootstrap.servers": mock_kafka.servers})
    for number in range(3):
        producer.produce("t", b"v", b"k", 1, headers=[("letter", str(number))])
    producer.flush()
    found = look_at_ends(mock_kafka.servers, [GONE, BEYOND, HERE, EMPTY])
    assert found.headers == {HERE: {"letter": b"2"}}
    assert found.unreadable.keys() == {GONE, BEYOND}
    with pytest.raises(TopicsUnreadableError, match="gone"):
        look_at_ends(mock_kafka.servers, [GONE])


def test_a_cluster_that_is_away_is_an_outage_of_all(mock_kafka: MockKafka) -> None:
    mock_kafka.create_topic("t", 2)
    mock_kafka.go_down()
    with pytest.raises(TopicsUnreadableError):
        look_at_ends(mock_kafka.servers, [HERE, EMPTY], timedelta(seconds=0.5))
