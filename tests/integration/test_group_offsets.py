"""What Kafka's tools see of a lane: the offsets of its group are the log's, and nobody reads them."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.raw import RAW_TOPICS
from settings import Settings
from storage import resume
from tests.builders_log import LogBuilder, Record
from tests.event_builders import a_pass
from tests.fixtures.waiting import eventually
from tests.lane_process import drain, rows, running_lane

pytestmark = pytest.mark.integration

LONG = timedelta(seconds=60)
Offsets = dict[tuple[str, int], int]


def _group(settings: Settings) -> str:
    return f"{settings.topic_prefix}touchline-enrich-0"


def _told(settings: Settings) -> Offsets:
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    asked = ConsumerGroupTopicPartitions(_group(settings))
    answer = admin.list_consumer_group_offsets([asked])[_group(settings)].result(30)
    return {
        (each.topic.removeprefix(settings.topic_prefix), each.partition): each.offset
        for each in answer.topic_partitions
    }


def _tell(settings: Settings, offset: int) -> None:
    """As somebody who resets a group."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    places = [
        TopicPartition(settings.topic_prefix + topic, shard, offset)
        for topic in RAW_TOPICS
        for shard in range(settings.shards)
    ]
    asked = ConsumerGroupTopicPartitions(_group(settings), places)
    admin.alter_consumer_group_offsets([asked])[_group(settings)].result(30)


def _logged(settings: Settings) -> Offsets:
    with closing(psycopg.connect(settings.postgres)) as connection:
        numbers: dict[str, int] = dict(connection.execute("SELECT name, topic FROM topics").fetchall())
        return {
            (topic, shard): offset
            for shard in range(settings.shards)
            for topic, offset in resume.by_name(resume.next_offsets(connection, shard), numbers).items()
        }


def _records(first: int, end: int) -> list[Record]:
    """Passes on both shards, a repeat, and something that becomes a dead letter."""
    passes = [
        Record(a_pass(f"p{number}", match=match)) for number in range(first, end) for match in ("m-1", "m-4")
    ]
    return [*passes, passes[0], Record(value=b"{", partition=1, topic="social-events")]


def test_the_group_stands_where_the_log_stands(installation: Settings, tmp_path: Path) -> None:
    """At the end of a run, while one goes on, and for shards that were quiet since it began."""
    builder = LogBuilder(installation)
    builder.produce(_records(0, 20))
    ended = drain(installation)
    assert ended.code == 0, ended.said
    first = _logged(installation)
    assert len(first) >= 3
    assert _told(installation) == first
    _tell(installation, 0)
    with running_lane(installation, tmp_path / "said"):
        eventually(lambda: _told(installation).items() >= first.items(), LONG)
        builder.produce(_records(20, 30))
        eventually(lambda: rows(installation) == 60, LONG)
        eventually(lambda: _told(installation).items() >= _logged(installation).items(), LONG)


@pytest.mark.parametrize("wrong", [0, 7, 10_000])
def test_offsets_of_the_group_do_not_move_a_lane(installation: Settings, wrong: int) -> None:
    """Whatever somebody wrote there, a lane reads on where the log says, and puts it right."""
    builder = LogBuilder(installation)
    builder.produce(_records(0, 20))
    _tell(installation, wrong)
    assert drain(installation).code == 0
    assert rows(installation) == 40
    builder.produce(_records(20, 25))
    _tell(installation, wrong)
    assert drain(installation).code == 0
    assert rows(installation) == 50
    told, logged = _told(installation), _logged(installation)
    assert {place: told[place] for place in logged} == logged
