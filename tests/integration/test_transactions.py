"""Raw topics that a transactional producer wrote: marks at their ends are no records."""

from collections.abc import Sequence
from itertools import count

import pytest
from confluent_kafka import Producer

from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from settings import Settings
from tests.event_builders import MATCH, a_pass, encoded
from tests.lane_process import drain, rows

pytestmark = pytest.mark.integration

_producers = count(1)


def _in_a_transaction(settings: Settings, events: Sequence[RawEvent], ending: str) -> Producer:
    """Write events in one transaction, which is committed, aborted or left open."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "transactional.id": f"{settings.topic_prefix}{next(_producers)}",
            "log_level": 2,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    partition = partition_of(MATCH, settings.shards)
    for event in events:
        producer.produce(
            f"{settings.topic_prefix}broadcast-events", encoded(event), MATCH.encode(), partition
        )
    producer.flush(30)
    if ending == "committed":
        producer.commit_transaction(30)
    elif ending == "aborted":
        producer.abort_transaction(30)
    return producer


def _passes(first: int, end: int) -> list[RawEvent]:
    return [a_pass(f"p{number}") for number in range(first, end)]


@pytest.mark.parametrize("ending", ["committed", "aborted", "open"])
def test_a_lane_that_stops_at_the_end_stops_behind_a_transaction(installation: Settings, ending: str) -> None:
    """What was committed is in the log, what was aborted or never ended is not, and each drain ends."""
    _in_a_transaction(installation, _passes(0, 5), "committed")
    last = _in_a_transaction(installation, _passes(5, 9), ending)
    expected = 9 if ending == "committed" else 5
    for _ in range(2):  # the second one begins at the mark
        done = drain(installation)
        assert (done.code, rows(installation)) == (0, expected), done.said
    del last
    _in_a_transaction(installation, _passes(9, 12), "committed")
    if ending != "open":  # that one still hides what follows
        assert drain(installation).code == 0
        assert rows(installation) == expected + 3
