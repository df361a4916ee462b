"""What a lane does when a failover took commits that it had an answer to."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from sinks.outages import HistoryLostError
from storage import resume
from storage.lane_reads import WRITER
from storage.parking import match_states
from tests.event_builders import MATCH, a_goal, a_pass
from tests.fixtures.log_writer import CONTROL_LIFE, LIFE, SHARD, NewWriter, Writer, letters_of
from tests.fixtures.postgres_pair import PostgresPair
from tests.fixtures.waiting import eventually

SOON = timedelta(seconds=40)
QUIET = 1 - SHARD

_GENERATIONS = "SELECT shard, generation FROM delivery_shards ORDER BY shard"


def _an_event(writer: Writer) -> None:
    writer.write(a_pass("lost"))


def _a_letter(writer: Writer) -> None:
    writer.write(b"not json")


def _a_park(writer: Writer) -> None:
    writer.tell("park")


def _parked_events(writer: Writer) -> None:
    writer.write(a_goal("parked"), a_pass("parked too"))


def _a_release_of_repeats(writer: Writer) -> None:
    writer.tell("release")
    with closing(psycopg.connect(writer.settings.postgres, autocommit=True)) as database:
        eventually(lambda: not match_states(database, SHARD), SOON)


def _nothing(_: Writer) -> None:
    """Nothing of this kind comes before the cut."""


def _park_with_a_repeat(writer: Writer) -> None:
    """What waits is in the log by the time it is released, so the release stores no event."""
    writer.tell("park")
    with closing(psycopg.connect(writer.settings.postgres, autocommit=True)) as database:
        eventually(lambda: match_states(database, SHARD), SOON)
        database.execute(
            "INSERT INTO parked"
            " (shard, match, topic, source_offset, importance, language, original, parked_at)"
            " SELECT %s, %s, t.topic, 10000, 1, 'und', convert_to(%s, 'UTF8'), now() FROM topics AS t"
            " WHERE t.name = 'broadcast-events'",
            (SHARD, MATCH, "{}"),
        )


def _generations(settings_postgres: str) -> dict[int, int]:
    with closing(psycopg.connect(settings_postgres, target_session_attrs="read-write")) as database:
        return dict(database.execute(_GENERATIONS).fetchall())


@pytest.mark.parametrize(
    ("before", "lost"),
    [
        (_nothing, _an_event),
        (_nothing, _a_letter),
        (_nothing, _a_park),
        (_a_park, _parked_events),
        (_park_with_a_repeat, _a_release_of_repeats),
    ],
    ids=["an event", "a dead letter", "a park", "parked events", "a release without events"],
)
def test_a_failover_that_took_a_commit_of_any_kind_is_seen_and_every_shard_begins_a_generation(
    postgres_pair: PostgresPair, before: Callable[[Writer], None], lost: Callable[[Writer], None]
) -> None:
    """A commit without events leaves head and chain as they were, and is missed all the same.

    The shard that lost nothing begins a generation too, and reading goes on
    at what was lost.
    """
    writer = Writer(postgres_pair.settings)
    writer.committer.own(SHARD, None)
    writer.committer.own(QUIET, None)
    try:
        writer.write(a_pass("kept"))
        before(writer)
        writer.settle()
        generations = _generations(writer.settings.postgres)
        read = _next_offsets(writer)
        postgres_pair.cut()
        lost(writer)
        writer.settle()
        postgres_pair.fail_over()
        (fatal,) = eventually(lambda: writer.fatal, SOON)
        assert isinstance(fatal, HistoryLostError)
        assert [loss.shard for loss in fatal.losses] == [SHARD]
        raised = _generations(writer.settings.postgres)
        assert all(raised[shard] > generations[shard] for shard in (SHARD, QUIET))
        assert _next_offsets(writer) == read
    finally:
        writer.committer.close()


def test_a_failover_that_took_nothing_is_worked_through(postgres_pair: PostgresPair) -> None:
    """A standby that had everything goes on in the same generation, and the lane with it."""
    writer = Writer(postgres_pair.settings)
    writer.committer.own(SHARD, None)
    try:
        writer.write(a_pass("kept"), b"not json")
        writer.settle()
        generations = _generations(writer.settings.postgres)
        postgres_pair.cut()
        postgres_pair.fail_over()
        writer.write(a_pass("next"))
        writer.settle()
        assert writer.fatal == []
        assert _generations(writer.settings.postgres) == generations
    finally:
        writer.committer.close()


def test_a_lane_that_dies_with_the_primary_begins_a_generation_on_the_new_timeline(
    postgres_pair: PostgresPair,
) -> None:
    """Nobody is left who knows what was committed, so readers must not go on by their numbers."""
    first = Writer(postgres_pair.settings)
    first.committer.own(SHARD, None)
    first.write(a_pass("kept"))
    first.settle()
    generation = _generations(first.settings.postgres)[SHARD]
    postgres_pair.cut()
    first.write(a_pass("lost"))
    first.settle()
    first.committer.close()
    postgres_pair.fail_over()
    second = Writer(postgres_pair.settings)
    second.committer.own(SHARD, None)
    second.committer.close()
    raised = _generations(first.settings.postgres)[SHARD]
    assert raised > generation
    third = Writer(postgres_pair.settings)
    third.committer.own(SHARD, None)
    third.committer.close()
    assert _generations(first.settings.postgres)[SHARD] == raised


@pytest.mark.parametrize("lost", ["dead_letters", "parked", "controls"])
def test_commits_without_events_that_a_disk_copy_took_are_missed(
    new_writer: NewWriter, database: psycopg.Connection, lost: str
) -> None:
    """A restored copy of the disk keeps the timeline; what the commits left behind is gone with them."""
    writer = new_writer()
    writer.write(a_pass("kept"), b"not json")
    writer.settle()
    before = database.execute("SELECT coalesce(max(number), 0) FROM commit_tokens").fetchone()
    if lost == "dead_letters":
        writer.write(b"not json either")
    else:
        writer.tell("park")
        writer.settle()
        if lost == "parked":
            before = database.execute("SELECT coalesce(max(number), 0) FROM commit_tokens").fetchone()
            writer.write(a_pass("waits"))
    writer.settle()
    database.execute("DELETE FROM commit_tokens WHERE number > %s", before)
    (fatal,) = eventually(lambda: writer.fatal, SOON)
    assert isinstance(fatal, HistoryLostError)


def test_a_generation_that_the_database_lost_is_never_used_again(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Two losses one after the other: the number of the first new generation names another history."""
    writer = new_writer()
    writer.write(a_pass("p1"))
    writer.settle()
    row = database.execute("SELECT generation FROM delivery_shards WHERE shard = %s", (SHARD,)).fetchone()
    assert row is not None
    database.execute("UPDATE delivery_shards SET generation = 7 WHERE shard = %s", (SHARD,))
    (fatal,) = eventually(lambda: writer.fatal, SOON)
    assert isinstance(fatal, HistoryLostError)
    after = database.execute("SELECT generation FROM delivery_shards WHERE shard = %s", (SHARD,)).fetchone()
    assert after is not None
    assert after[0] > row[0]


def test_a_topic_that_lost_its_number_stops_the_writer(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The number may be given to another topic, and origins would point into that one."""
    writer = new_writer()
    database.execute("DELETE FROM topics WHERE name = %s", (LIFE.name,))
    (fatal,) = eventually(lambda: writer.fatal, SOON)
    assert isinstance(fatal, HistoryLostError)
    assert LIFE.name in str(fatal)


def test_a_snapshot_ahead_of_the_log_begins_a_generation_of_every_shard(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The snapshots of the others may be older than what they lost."""
    writer = new_writer()
    writer.committer.own(QUIET, None)
    writer.write(a_pass("p1"))
    committed = writer.committer.drain(SHARD)
    before = _generations(writer.settings.postgres)
    successor = Writer(writer.settings)
    successor.committer.own(QUIET, None)
    successor.committer.own(SHARD, committed._replace(position=committed.position + 1))
    successor.committer.close()
    after = _generations(writer.settings.postgres)
    assert all(after[shard] > before[shard] for shard in (SHARD, QUIET))


def test_a_snapshot_of_an_ended_generation_begins_no_other(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Readers were told of that loss already; the lane that found it left this snapshot behind."""
    writer = new_writer()
    writer.write(a_pass("p1"), a_pass("p2"))
    committed = writer.committer.drain(SHARD)
    database.execute("DELETE FROM events WHERE position = 2")
    eventually(lambda: writer.fatal, SOON)
    before = _generations(writer.settings.postgres)
    assert before[SHARD] > committed.generation
    successor = Writer(writer.settings)
    successor.committer.own(SHARD, committed)
    successor.committer.close()
    assert _generations(writer.settings.postgres) == before


def test_a_commit_whose_answer_was_lost_is_proved_once_it_was_found(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The lane goes on behind what it finds there, so a failover that takes that later is missed as well."""
    writer = new_writer()
    writer.write(b"not json")
    writer.settle()
    with database.transaction():  # the next record's commit, as a lane sees it that got no answer
        database.execute(
            "INSERT INTO dead_letters"
            " (topic, partition, source_offset, reason, detail, original, rejected_at)"
            " SELECT d.topic, d.partition, %s, d.reason, d.detail, d.original, now() FROM dead_letters AS d",
            (writer.offset,),
        )
        database.execute(
            "INSERT INTO commit_tokens (shard, number, token)"
            " SELECT shard, max(number) + 1, gen_random_uuid() FROM commit_tokens GROUP BY shard",
        )
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        (WRITER,),
    )
    writer.write(b"not json either")
    writer.settle()
    assert len(letters_of(database)) == 2
    with database.transaction():
        database.execute("DELETE FROM dead_letters WHERE source_offset = %s", (writer.offset - 1,))
        database.execute("DELETE FROM commit_tokens WHERE number = (SELECT max(number) FROM commit_tokens)")
    (fatal,) = eventually(lambda: writer.fatal, timedelta(seconds=10))
    assert isinstance(fatal, HistoryLostError)


def test_old_commit_tokens_are_pruned_and_not_missed(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A snapshot may name a token that is older than all that are kept."""
    writer = new_writer()
    writer.write(b"not json")
    committed = writer.committer.drain(SHARD)
    writer.write(b"nor this")
    writer.settle()
    writer.committer.close()
    before = _generations(writer.settings.postgres)
    database.execute("DELETE FROM commit_tokens WHERE number = 1")
    successor = Writer(writer.settings)
    successor.committer.own(SHARD, committed)
    successor.committer.close()
    assert _generations(writer.settings.postgres) == before


def test_what_left_kafka_unread_leaves_a_token_too(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """That letter is written beside the lane's own commits, and may be lost like them."""
    writer = new_writer()
    number = resume.register_topics(database, [LIFE])["broadcast-events"]
    row = database.execute("SELECT now()").fetchone()
    assert row is not None
    for _ in range(2):
        resume.note_removed(database, SHARD, number, 3, 9, row[0])
    tokens = database.execute("SELECT number FROM commit_tokens WHERE shard = %s", (SHARD,)).fetchall()
    assert tokens == [(1,)]
    writer.write(a_pass("p1"))
    writer.settle()


def _next_offsets(writer: Writer) -> dict[str, int]:
    """Where the log says that reading goes on."""
    with closing(
        psycopg.connect(writer.settings.postgres, autocommit=True, target_session_attrs="read-write")
    ) as database:
        numbers = resume.register_topics(database, [LIFE, CONTROL_LIFE])
        return resume.by_name(resume.next_offsets(database, SHARD), numbers)
