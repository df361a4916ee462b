"""Raw topics whose partitions are not the shards: nobody reads past them unsaid, and a command mends it."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from recovery.deadletters.command import redrive_letters
from recovery.deadletters.selection import Selection
from recovery.topics.command import fit, topics
from schemas.letters import WRONG_PARTITION
from schemas.partitioning import partition_of
from schemas.raw import RawEvent
from settings import Settings
from tests.event_builders import a_goal, encoded
from tests.fixtures.recovery_commands import Call
from tests.fixtures.stack import NewInstallation
from tests.fixtures.waiting import eventually
from tests.lane_process import drain, rows, running_lane

pytestmark = pytest.mark.integration

LONG = timedelta(seconds=60)
TOPIC = "broadcast-events"
MORE = 5  # partitions, of an installation with two shards


def _add_partitions(settings: Settings, partitions: int, topic: str = TOPIC) -> None:
    name = settings.topic_prefix + topic
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    admin.create_partitions([NewPartitions(name, partitions)])[name].result(30)
    eventually(lambda: len(admin.list_topics(name, timeout=10).topics[name].partitions) == partitions, LONG)


def _goals(first: int, end: int) -> list[RawEvent]:
    return [a_goal(f"g{number}", match=f"match-{number}") for number in range(first, end)]


def _produce(settings: Settings, events: Sequence[RawEvent], partitions: int, junk: bytes = b"") -> int:
    """As a foreign producer does, which counts the partitions that there are; return how many stray."""
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True, "log_level": 2})
    homes = [partition_of(event.match, partitions) for event in events]
    for event, home in zip(events, homes, strict=True):
        producer.produce(settings.topic_prefix + TOPIC, encoded(event), event.match.encode(), home)
    if junk:
        producer.produce(settings.topic_prefix + TOPIC, junk, None, partitions - 1)
    producer.flush(30)
    return sum(home >= settings.shards for home in homes)


def _reasons(settings: Settings) -> list[str]:
    with closing(psycopg.connect(settings.postgres)) as connection:
        return [row[0] for row in connection.execute("SELECT reason FROM dead_letters ORDER BY letter")]


def test_goals_in_added_partitions_stop_the_lane_by_name_and_the_remedy_brings_them(
    installation: Settings, tmp_path: Path, called: Call
) -> None:
    """A running lane leaves, the next start is refused, and after `topics fit` each goal is logged once."""
    _produce(installation, _goals(0, 4), installation.shards)
    with running_lane(installation, tmp_path / "said") as lane:
        eventually(lambda: rows(installation) == 4, LONG)
        _add_partitions(installation, MORE)
        strays = _produce(installation, _goals(4, 24), MORE, junk=b"{")
        assert strays > 0
        eventually(lane.has_left, LONG)
        assert "PartitionCountError" in lane.said()
    refused = drain(installation)
    assert refused.code != 0
    told = " ".join(refused.said.split())
    assert f"{strays + 1} records lie in those that no lane reads" in told
    assert "recovery topics fit" in told

    shown = called(installation, topics, json=True)
    assert shown.status == 1
    assert [(line["topic"], line["unread"]) for line in shown.json if not line["fits"]] == [
        (TOPIC, strays + 1)
    ]
    assert called(installation, fit, dry_run=True).status == 0
    assert called(installation, fit).status == 1, "nobody said yes"
    assert drain(installation).code != 0
    done = called(installation, fit, yes=True, json=True)
    assert done.status == 0, done.err
    assert done.json["topics"] == [{"topic": TOPIC, "added": 0, "sent": strays + 1, "unread": 0}]
    assert called(installation, topics).status == 0
    assert called(installation, fit).status == 0, "there is nothing left to do"

    ended = drain(installation)
    assert ended.code == 0, ended.said
    letters = _reasons(installation)
    assert letters.count("malformed_json") == 1
    misplaced = letters.count(WRONG_PARTITION)
    assert len(letters) == misplaced + 1
    assert rows(installation) + misplaced == 24
    with running_lane(installation, tmp_path / "said again") as lane:
        misplaced_ones = Selection(reason=(WRONG_PARTITION,))
        assert called(installation, redrive_letters, select=misplaced_ones, yes=True).status == 0
        eventually(lambda: rows(installation) == 24, LONG)
        assert not lane.has_left(), lane.said()


def test_partitions_that_are_missing_are_added(new_installation: NewInstallation, called: Call) -> None:
    """A topic that was made anew with too few: the lane refuses by name, and the same command mends it."""
    few = new_installation(2)
    more = msgspec.structs.replace(few, shards=3)
    refused = drain(more)
    assert refused.code != 0
    assert "PartitionCountError" in refused.said
    done = called(more, fit, yes=True, json=True)
    assert done.status == 0, done.err
    assert {topic["added"] for topic in done.json["topics"]} == {1}
    _produce(more, _goals(0, 6), 3)
    ended = drain(more)
    assert (ended.code, rows(more)) == (0, 6), ended.said


def test_a_wrong_number_of_shards_moves_nothing(installation: Settings, called: Call) -> None:
    """The log knows its shards: with another number neither a lane starts nor a record is sent elsewhere."""
    _produce(installation, _goals(0, 8), installation.shards)
    assert drain(installation).code == 0
    for shards in (1, 3):
        wrong = msgspec.structs.replace(installation, shards=shards)
        refused = drain(wrong)
        assert refused.code != 0
        assert "TOUCHLINE_SHARDS" in refused.said
        answer = called(wrong, fit, yes=True, json=True)
        assert (answer.status, answer.json["error"]) == (1, "RefusedError")
    assert drain(installation).code == 0
    assert rows(installation) == 8
