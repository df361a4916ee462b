"""The producer: an acknowledgement means that Kafka has the record, whatever happens to Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from confluent_kafka import KafkaError

from ingest import producer as producer_module
from ingest.health import KafkaProbe
from ingest.link import Link
from ingest.producer import DeliveryError, NotAcknowledgedError, ProducerFullError, RecordProducer
from ingest.records import Outgoing
from tests.clocks import FakeClock
from tests.fixtures.mock_kafka import MockKafka
from tests.kafkas import KafkaMocked

pytestmark = pytest.mark.anyio

SOON = timedelta(seconds=30)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def kafka(mock_kafka: MockKafka) -> AsyncIterator[KafkaMocked]:
    made = KafkaMocked(mock_kafka)
    await made.connect()
    yield made
    await made.close()


def a_record(value: bytes, partition: int = 0, topic: str = "sensor-events") -> Outgoing:
    return Outgoing(topic, partition, b"m-1", value)


async def test_many_batches_at_once_are_each_acknowledged_in_full(kafka: KafkaMocked) -> None:
    batches = [[a_record(b"%d/%d" % (batch, n), n % 2) for n in range(50)] for batch in range(40)]
    await asyncio.gather(*(kafka.send(batch) for batch in batches))
    assert {record.value for record in kafka.on("sensor-events")} == {
        record.value for batch in batches for record in batch
    }


async def test_no_records_are_acknowledged_at_once_even_without_kafka(kafka: KafkaMocked) -> None:
    kafka.go_down()
    await kafka.send([])


async def test_an_outage_shows_in_the_link_and_so_does_its_end(kafka: KafkaMocked) -> None:
    await kafka.send([a_record(b"1")])
    kafka.go_down()
    with pytest.raises(NotAcknowledgedError):
        await kafka.send([a_record(b"2")])
    assert not kafka.link.is_up
    kafka.come_back()
    while True:
        try:
            await kafka.send([a_record(b"3")])
            break
        except DeliveryError:
            continue
    assert kafka.link.is_up


async def test_a_partition_that_does_not_exist_is_told_at_once(kafka: KafkaMocked) -> None:
    await kafka.send([a_record(b"1")])
    with pytest.raises(NotAcknowledgedError, match="partition"):
        await kafka.send([a_record(b"2", partition=77)])


async def test_a_record_that_its_topic_refuses_is_named_and_the_others_get_through(
    kafka: KafkaMocked, mock_kafka: MockKafka
) -> None:
    """A batch is refused as a whole: each record is then sent alone, and only the guilty one is told."""
    await kafka.send([a_record(b"0")])
    mock_kafka.refuse_next_records([KafkaError.MSG_SIZE_TOO_LARGE, 0, KafkaError.MSG_SIZE_TOO_LARGE])
    assert await kafka.producer.send([a_record(b"1"), a_record(b"2"), a_record(b"3")]) == [1]
    assert kafka.link.is_up
    assert {record.value for record in kafka.on("sensor-events")} == {b"0", b"1", b"3"}
    assert await kafka.producer.send([a_record(b"4")]) == ()


async def test_what_does_not_fit_is_refused_and_not_queued(
    kafka: KafkaMocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound holds for what waits; a batch on its own is always tried."""
    monkeypatch.setattr(producer_module, "MOST_IN_FLIGHT", 10)
    kafka.go_down()
    waiting = asyncio.create_task(kafka.send([a_record(b"%d" % n) for n in range(11)]))
    await asyncio.sleep(0)
    with pytest.raises(ProducerFullError) as error:
        await kafka.send([a_record(b"more")])
    assert error.value.retry_after > timedelta(0)
    with pytest.raises(NotAcknowledgedError):
        await waiting


async def test_a_buffer_of_librdkafka_that_is_full_is_refused_too(mock_kafka: MockKafka) -> None:
    mock_kafka.create_topic("sensor-events", 2)
    tiny = {"queue.buffering.max.messages": 5, "delivery.timeout.ms": 500}
    producer = RecordProducer(mock_kafka.servers, "", Link("kafka", "", FakeClock()), tiny)
    with pytest.raises(ProducerFullError):
        await producer.send([a_record(b"%d" % n) for n in range(50)])
    await producer.close(SOON)


async def test_a_producer_that_lost_its_place_for_good_is_replaced(mock_kafka: MockKafka) -> None:
    """Who waits is told, and the next record goes through: no restart is needed."""
    mock_kafka.create_topic("sensor-events", 2)
    mock_kafka.refuse_next_producer()
    producer = RecordProducer(mock_kafka.servers, "", Link("kafka", "", FakeClock()))
    with pytest.raises(NotAcknowledgedError):
        await producer.send([a_record(b"1")])
    await producer.send([a_record(b"2")])
    await producer.close(SOON)


async def test_closing_waits_for_what_is_in_flight(mock_kafka: MockKafka) -> None:
    mock_kafka.create_topic("sensor-events", 2)
    producer = RecordProducer(mock_kafka.servers, "", Link("kafka", "", FakeClock()))
    sending = asyncio.create_task(producer.send([a_record(b"1")]))
    await asyncio.sleep(0)
    assert await producer.close(SOON) == 0
    await sending


async def test_closing_without_kafka_tells_those_who_wait(mock_kafka: MockKafka) -> None:
    mock_kafka.create_topic("sensor-events", 2)
    mock_kafka.go_down()
    producer = RecordProducer(mock_kafka.servers, "", Link("kafka", "", FakeClock()))
    sending = asyncio.create_task(producer.send([a_record(b"1")]))
    await asyncio.sleep(0)
    assert await producer.close(timedelta(milliseconds=100)) == 1
    with pytest.raises(NotAcknowledgedError):
        await sending


async def test_a_probe_says_what_is_wrong_with_the_topics(kafka: KafkaMocked) -> None:
    async def complaint(sources: list[str], shards: int) -> str:
        link = Link("kafka", "", FakeClock())
        await KafkaProbe(kafka.producer, link, sources, shards, time.monotonic).refresh()
        return link.report().detail

    assert await complaint(["sensors", "social"], shards=2) == "answers"
    # Partitions beyond the shards get nothing from us, so sensors may go on pushing.
    assert await complaint(["sensors"], shards=1) == "answers"
    assert await complaint(["sensors"], shards=8) == (
        "topic sensor-events has 2 partitions, TOUCHLINE_SHARDS is 8"
    )
