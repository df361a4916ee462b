"""The relay's way into Kafka: what is refused stops only itself, and nothing gets in behind it unsaid."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast

import pytest
from confluent_kafka import KafkaError

from sinks.availability import Availability
from sinks.kafka_outlet import KafkaOutlet
from sinks.record_fit import KafkaRecord
from telemetry.log import Log
from tests.clocks import FakeClock
from tests.fixtures.mock_kafka import MockKafka, records_on
from tests.fixtures.waiting import eventually

SOON = timedelta(seconds=30)
MANY = 900  # three batches of each partition


class Feeder:
    """Feeds records to an outlet as a looker does: after each failure from where the topics end."""

    def __init__(self, cluster: MockKafka, partitions: int) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self.clock = FakeClock()
        availability = Availability("kafka", Log("test"), self.clock, lambda: 0.0)
        self.outlet = KafkaOutlet(cluster.servers, ["t"], availability, self.clock)
        self._life = 0
        self._sent: dict[int, int] = {}

    def held(self) -> list[list[str]]:
        """What each partition holds: the position in each record's headers, marked when it is a stub."""
        found: list[list[str]] = [[] for _ in range(self._partitions)]
        for message in records_on(self._cluster.servers, "t", self._partitions):
            headers = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
            stub = "-" if "stub" in headers else ""
            found[message.partition() or 0].append(f"{headers['position'].decode()}{stub}")
        return found

    def feed(self, records: int, copies: Callable[[int, int], KafkaRecord]) -> bool:
        """Send what is missing; tell whether all is there, in each partition that is not barred."""
        self.clock.advance(0.5)
        if not self.outlet.try_room():
            return False
        if self._life != self.outlet.life:
            self._life = self.outlet.life
            self._sent = {number: len(set(held)) for number, held in enumerate(self.held())}
        for partition, sent in self._sent.items():
            self.outlet.send([copies(partition, position) for position in range(sent, records)])
            self._sent[partition] = records
        return all(
            len(set(held)) == records
            for partition, held in enumerate(self.held())
            if not self.outlet.is_barred("t", partition)
        )


@pytest.fixture
def feeder(mock_kafka: MockKafka) -> Iterator[Feeder]:
    mock_kafka.create_topic("t", 2)
    made = Feeder(mock_kafka, 2)
    yield made
    made.outlet.close(0)


def a_copy(partition: int, position: int) -> KafkaRecord:
    headers: list[tuple[str, str | bytes]] = [("position", str(position))]
    return KafkaRecord("t", partition, b"k", b"v" * 3_000, headers, may_be_cut=True)


@pytest.mark.parametrize(
    "refusals",
    [[KafkaError.MSG_SIZE_TOO_LARGE] * 3, [KafkaError.INVALID_RECORD], [KafkaError.NOT_ENOUGH_REPLICAS] * 3],
    ids=["too large", "invalid", "not in sync"],
)
def test_nothing_gets_in_behind_what_was_refused(
    feeder: Feeder, mock_kafka: MockKafka, refusals: list[int]
) -> None:
    """Each record is there in order, the refused ones as stubs or smaller; none is skipped."""
    mock_kafka.refuse_next_records(refusals)
    eventually(lambda: feeder.feed(MANY, a_copy), SOON)
    for held in feeder.held():
        assert [int(each.rstrip("-")) for each in held] == list(range(MANY))


def test_a_partition_that_is_not_there_is_barred_and_the_others_go_on(feeder: Feeder) -> None:
    def one_astray(partition: int, position: int) -> KafkaRecord:
        return a_copy(7 if partition else 0, position)

    def is_barred_alone() -> bool:
        feeder.feed(5, one_astray)
        return len(feeder.held()[0]) == 5 and feeder.outlet.is_barred("t", 7)

    eventually(is_barred_alone, SOON)
    assert not feeder.outlet.is_barred("t", 0)
    feeder.clock.advance(60)
    life = feeder.outlet.life
    eventually(lambda: feeder.outlet.try_room() and feeder.outlet.life > life, SOON)
    assert not feeder.outlet.is_barred("t", 7), "it is tried again"
