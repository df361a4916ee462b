"""A raw topic that was made anew, and records that left Kafka before a lane had read them."""

import os
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from local.environment import environment_of
from local.topics import create_topics
from recovery.audit.meter import Silence
from recovery.audit.receipt import Receipt
from recovery.audit.run import Asked, run_audit
from recovery.deadletters.command import discard
from recovery.topics.command import adopt_lives, topics
from schemas import letters
from schemas.partitioning import partition_of
from schemas.raw import RAW_TOPICS, RawEvent
from settings import ROOT, Settings
from sources.topic_lives import LifeWatch, Topics
from tests.builders_log import LogBuilder, Record
from tests.event_builders import MATCH, a_pass
from tests.fixtures.recovery_commands import Call
from tests.fixtures.waiting import eventually
from tests.kafka_cluster import Cluster

pytestmark = pytest.mark.integration

LONG = timedelta(seconds=30)


def _lane(settings: Settings, said: Path, stop_at_end: bool) -> "subprocess.Popen[bytes]":
    told = msgspec.structs.replace(settings, stop_at_end=stop_at_end)
    with said.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bytewax.run", "dataflows.enrich"],
            cwd=ROOT,
            env=environment_of(told) | {"PATH": os.environ["PATH"]},
            stderr=log,
        )


def _drain(settings: Settings, said: Path) -> int:
    return _lane(settings, said, stop_at_end=True).wait(60)


def _rows(settings: Settings) -> int:
    with closing(psycopg.connect(settings.postgres)) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def _passes(first: int, end: int) -> list[RawEvent]:
    return [a_pass(f"p{number}") for number in range(first, end)]


def _produce(settings: Settings, events: list[RawEvent]) -> None:
    LogBuilder(settings).produce([Record(event) for event in events])


def _audit(settings: Settings) -> Receipt:
    return run_audit(settings, Asked(), Silence())


def test_a_topic_that_was_made_anew_is_read_once_it_is_adopted(
    installation: Settings, tmp_path: Path, called: Call
) -> None:
    """A lane stops by name, and so does its next start; then it reads the new life from its beginning."""
    said, name = tmp_path / "said", f"{installation.topic_prefix}broadcast-events"
    _produce(installation, _passes(0, 20))
    lane = _lane(installation, said, stop_at_end=False)
    try:
        eventually(lambda: _rows(installation) == 20, LONG)
        builder = LogBuilder(installation)
        names = [installation.topic_prefix + topic for topic in RAW_TOPICS]
        before = Topics(installation.kafka, names, installation.shards).lives()
        watch = LifeWatch(installation.kafka, before, installation.shards)
        assert watch.replaced() is None
        Cluster(installation).delete_topic(name)
        eventually(lambda: create_topics(installation, 1), LONG)
        # More than before, so that every offset of before is there again.
        builder.produce([Record(event) for event in _passes(15, 60)])
        found = eventually(watch.replaced, LONG)
        assert found is not None
        was, now = found
        assert (was.name, was.topic_id != now.topic_id) == (name, True)
        assert lane.wait(60) != 0
    finally:
        lane.kill()
        lane.wait()
    assert "TopicReplacedError" in said.read_text() or "cannot be read" in said.read_text()
    assert _drain(installation, said) != 0
    assert "recovery topics adopt" in " ".join(said.read_text().split())

    shown = called(installation, topics, json=True)
    assert shown.status == 1
    assert [line["topic"] for line in shown.json if line["state"] == "replaced"] == ["broadcast-events"]
    assert called(installation, adopt_lives, dry_run=True).status == 0
    assert called(installation, adopt_lives).status == 1, "nobody said yes"
    assert _drain(installation, said) != 0
    assert called(installation, adopt_lives, yes=True).status == 0
    assert called(installation, topics).status == 0

    assert _drain(installation, said) == 0, said.read_text()
    assert _rows(installation) == 60
    receipt = _audit(installation)
    assert receipt.differences == []
    (tally,) = [topic for topic in receipt.topics if topic.topic == "broadcast-events"]
    assert tally.records == 45
    assert tally.records == tally.events + tally.repeats


def test_what_left_kafka_unread_is_said_and_the_lane_goes_on(
    installation: Settings, tmp_path: Path, called: Call
) -> None:
    """The hole is in the lane's log, in a dead letter and in every audit, until somebody settles it."""
    said, topic = tmp_path / "said", f"{installation.topic_prefix}broadcast-events"
    _produce(installation, _passes(0, 20))
    assert _drain(installation, said) == 0
    _produce(installation, _passes(20, 50))
    Cluster(installation).delete_before({(topic, partition_of(MATCH, installation.shards)): 35})
    before = {difference.what for difference in _audit(installation).differences}
    assert before == {"removed", "unread", "sum"}

    assert _drain(installation, said) == 0
    assert "source.removed_unread" in said.read_text()
    assert _rows(installation) == 35
    assert _drain(installation, said) == 0
    assert "source.removed_unread" not in said.read_text(), "it is said once"
    assert [difference.what for difference in _audit(installation).differences] == ["removed"]

    with closing(psycopg.connect(installation.postgres)) as connection:
        row = connection.execute("SELECT letter, reason, detail FROM dead_letters").fetchone()
    assert row is not None
    assert row[1] == letters.REMOVED_UNREAD
    assert row[2].startswith("offsets 20 to 34 (15 records)")
    assert called(installation, discard, row[0], because="sent again by the source", yes=True).status == 0
    assert _audit(installation).differences == []
