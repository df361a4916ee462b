"""What every way in promises, on each adapter, with Kafka in memory and behind the real producer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest.tally import ACCEPTED, FORWARDED, REFUSED
from schemas.letters import MALFORMED_JSON, OVERSIZED
from schemas.partitioning import partition_of
from schemas.raw import source_of
from schemas.validation import Rejection, parse
from tests.adapters import ACCEPTED_AT, Adapter, Poll, Push, Stream, lines_of, reached
from tests.event_builders import MATCH
from tests.kafkas import SHARDS, Kafka, KafkaInMemory, KafkaMocked

pytestmark = pytest.mark.anyio

BAD = b'{"match": "fra-2031", '


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["in memory", "mock broker"])
async def kafka(request: pytest.FixtureRequest) -> AsyncIterator[Kafka]:
    made: Kafka
    if request.param == "in memory":
        made = KafkaInMemory()
    else:
        made = mocked = KafkaMocked(request.getfixturevalue("mock_kafka"))
        await mocked.connect()
    yield made
    await made.close()


@pytest.fixture(params=["push", "poll", "stream"])
async def adapter(request: pytest.FixtureRequest, kafka: Kafka, tmp_path: Path) -> AsyncIterator[Adapter]:
    made: Adapter
    if request.param == "push":
        made = Push(kafka)
    else:
        feed = Poll(kafka, tmp_path) if request.param == "poll" else Stream(kafka, tmp_path)
        await feed.start()
        made = feed
    yield made
    await made.close()


def settled(adapter: Adapter) -> int:
    """How many lines have become something that can be seen."""
    return sum(sum(outcomes.values()) for outcomes in adapter.tally.report().values())


def ids_on(kafka: Kafka, adapter: Adapter) -> list[str]:
    found = [parse(record.value) for record in kafka.on(adapter.topic)]
    return [event.source_event_id for event in found if not isinstance(event, Rejection)]


async def test_a_good_record_is_stamped_and_in_the_partition_of_its_match(
    adapter: Adapter, kafka: Kafka
) -> None:
    await adapter.offer(lines_of(adapter, 1))
    await reached(lambda: settled(adapter) == 1)
    (record,) = kafka.on(adapter.topic)
    assert (record.partition, record.key) == (partition_of(MATCH, SHARDS), MATCH.encode())
    event = parse(record.value)
    assert not isinstance(event, Rejection)
    assert event.ingested_at == ACCEPTED_AT
    assert source_of(event) == source_of(adapter.a_record("0000"))


async def test_records_keep_their_order(adapter: Adapter, kafka: Kafka) -> None:
    await adapter.offer(lines_of(adapter, 10))
    await adapter.offer(lines_of(adapter, 10, start=10))
    await reached(lambda: settled(adapter) == 20)
    assert ids_on(kafka, adapter) == [f"{number:04d}" for number in range(20)]


async def test_a_bad_line_stops_only_itself(adapter: Adapter, kafka: Kafka) -> None:
    """It is told to who can mend it, or forwarded as it came to become a dead letter."""
    good = lines_of(adapter, 4)
    await adapter.offer([*good[:2], BAD, *good[2:]])
    await reached(lambda: settled(adapter) == 5)
    assert ids_on(kafka, adapter) == ["0000", "0001", "0002", "0003"]
    (counts,) = adapter.tally.report().values()
    values = [record.value for record in kafka.on(adapter.topic)]
    if isinstance(adapter, Push):
        assert counts == {ACCEPTED: 4, REFUSED: 1}
        assert [refusal.line for refusal in adapter.told] == [3]
        assert BAD not in values
    else:
        assert counts == {ACCEPTED: 4, FORWARDED: 1}
        assert BAD in values


async def test_a_record_that_its_topic_refuses_stops_only_itself(adapter: Adapter, kafka: Kafka) -> None:
    """A topic that takes little: who can be told is told, of a feed a dead letter remains, and both go on."""
    await adapter.offer(lines_of(adapter, 3))
    await reached(lambda: settled(adapter) == 3)
    kafka.refuse_next()
    await adapter.offer(lines_of(adapter, 3, start=3))
    await reached(lambda: settled(adapter) == 6)
    assert ids_on(kafka, adapter) == ["0000", "0001", "0002", "0004", "0005"]
    (counts,) = adapter.tally.report().values()
    if isinstance(adapter, Push):
        assert counts == {ACCEPTED: 5, REFUSED: 1}
        assert [(refusal.line, refusal.code) for refusal in adapter.told] == [(1, OVERSIZED)]
    else:
        assert counts == {ACCEPTED: 5, FORWARDED: 1}
        refusals = [parse(record.value) for record in kafka.on(adapter.topic)]
        assert [each.reason for each in refusals if isinstance(each, Rejection)] == [MALFORMED_JSON]


async def test_an_outage_of_kafka_loses_nothing_and_confirms_nothing(adapter: Adapter, kafka: Kafka) -> None:
    """While it is down nothing counts as taken; afterwards everything is there, repeats allowed."""
    await adapter.offer(lines_of(adapter, 3))
    await reached(lambda: settled(adapter) == 3)
    kafka.go_down()
    offering = asyncio.create_task(adapter.offer(lines_of(adapter, 4, start=3)))
    await reached(lambda: kafka.refused > 0)
    assert settled(adapter) == 3
    kafka.come_back()
    await offering
    await reached(lambda: settled(adapter) >= 7)
    first_seen = list(Counter(ids_on(kafka, adapter)))
    assert first_seen == [f"{number:04d}" for number in range(7)]


async def test_a_crash_during_an_outage_loses_nothing(adapter: Adapter, kafka: Kafka) -> None:
    """What Kafka has not acknowledged is asked for again."""
    if isinstance(adapter, Push):
        pytest.skip("a sensor that was not told 202 sends again by itself")
    await adapter.offer(lines_of(adapter, 3))
    await reached(lambda: settled(adapter) == 3)
    kafka.go_down()
    await adapter.offer(lines_of(adapter, 4, start=3))
    await reached(lambda: kafka.refused > 0)
    await adapter.restart()
    kafka.come_back()
    await reached(lambda: settled(adapter) >= 7)
    assert set(ids_on(kafka, adapter)) == {f"{number:04d}" for number in range(7)}
