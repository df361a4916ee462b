"""What the append does when PostgreSQL fails, forgets, refuses or is in doubt."""

import threading
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from schemas import letters
from sinks.committer import CommitterFailedError
from sinks.live_streams import LiveStats
from sinks.outages import HistoryLostError, StorageRefusesError
from tests.event_builders import a_goal, a_pass
from tests.fixtures.log_writer import LONG, SHARD, NewWriter, assert_sound, generation_of, letters_of, log_of
from tests.fixtures.waiting import eventually


def test_cut_connections_lose_and_repeat_nothing(new_writer: NewWriter, database: psycopg.Connection) -> None:
    """A session that is killed at any moment is opened again, and the batch is folded anew."""
    writer = new_writer()
    stop = threading.Event()

    def cut() -> None:
        with closing(psycopg.connect(writer.settings.postgres, autocommit=True)) as other:
            for _ in range(10):
                stop.wait(0.2)
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'touchline-enrich%%' AND datname = current_database()"
                )

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for number in range(300):
            writer.write(*[a_pass(f"p{number}-{n}") for n in range(10)])
            stop.wait(0.005)
        writer.settle()
    finally:
        stop.set()
        cutter.join()
    assert writer.fatal == []
    assert len(log_of(database)) == 3_000
    assert_sound(database)


def test_an_event_that_postgres_refuses_becomes_a_letter_alone(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The input is bisected: its neighbours are stored, in order."""
    database.execute(
        "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload::text NOT LIKE '%%poison%%')"
    )
    writer = new_writer()
    writer.write(a_pass("p1"), a_pass("p2"), a_pass("p3", text="poison"), a_goal("g1", side="home"))
    writer.settle()
    assert [live.event.source_event_id for live in log_of(database)] == ["p1", "p2", "g1"]
    assert letters_of(database) == [(letters.REFUSED_BY_STORAGE, 2)]
    assert_sound(database)


def test_rows_that_the_database_lost_are_missed_also_where_nothing_is_written(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A match that is over brings no append that would notice; the lane looks by itself."""
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(10)])
    writer.settle()
    database.execute("DELETE FROM events WHERE shard = %s AND position > 7", (SHARD,))
    (fatal,) = eventually(lambda: writer.fatal, timedelta(seconds=30))
    assert isinstance(fatal, HistoryLostError)
    assert [(loss.shard, loss.committed, loss.head) for loss in fatal.losses] == [(SHARD, 10, 7)]


def test_rows_that_the_database_lost_are_not_buried(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """After a failover to a standby that lagged, the lane stops by name, and its next start reads again."""
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(10)])
    writer.settle()
    before = generation_of(database)
    database.execute("DELETE FROM events WHERE shard = %s AND position > 7", (SHARD,))
    with pytest.raises(CommitterFailedError):
        writer.write(a_pass("next"))
        writer.settle()
    assert isinstance(writer.fatal[0], HistoryLostError)
    assert generation_of(database) > before
    assert len(log_of(database)) == 7


def test_a_database_that_refuses_everything_stops_the_lane_by_name(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """A wrong schema must not turn a whole topic into dead letters."""
    database.execute("ALTER TABLE events ADD CONSTRAINT nothing_fits CHECK (seq < 0) NOT VALID")
    writer = new_writer()
    writer.write(*[a_pass(f"p{n}") for n in range(300)])
    with pytest.raises(CommitterFailedError):
        writer.settle()
    assert isinstance(writer.fatal[0], StorageRefusesError)
    assert "nothing_fits" in str(writer.fatal[0])
    assert len(letters_of(database)) <= 50


@pytest.mark.parametrize("way", ["folded ahead", "looked up"])
def test_a_commit_that_did_not_wait_for_the_standby_is_checked(
    new_writer: NewWriter, database: psycopg.Connection, way: str
) -> None:
    """Whichever way the rows went, the log is read again before they count as stored."""
    database.execute("CREATE SEQUENCE commits")
    database.execute(
        "CREATE FUNCTION warn_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('commits') = 1 THEN RAISE WARNING 'canceling wait'; END IF; RETURN NULL; END $$"
    )
    writer = new_writer()
    if way == "folded ahead":
        writer.write(*[a_pass(f"settling{n}") for n in range(1_001)])
        writer.settle()
    known = len(log_of(database))
    database.execute(
        "CREATE CONSTRAINT TRIGGER warns AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION warn_once()"
    )
    writer.write(a_pass("p1"), a_pass("p2"))
    writer.settle()
    writer.write(a_goal("g1"))
    writer.settle()
    assert writer.committer.counts["repeats"] == 2  # found in the log, which had kept them
    assert [live.event.source_event_id for live in log_of(database)[known:]] == ["p1", "p2", "g1"]
    assert_sound(database)


def test_a_new_life_that_the_relay_began_is_written_to(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Streams refuse what goes to the old life; the writer then asks which life it is."""
    writer = new_writer()
    writer.write(a_pass("p1"))
    writer.settle()
    database.execute("UPDATE delivery_shards SET generation = generation + 1")
    writer.recorded.stats = LiveStats(refused=1)
    writer.write(a_pass("p2"))
    writer.settle()
    writer.write(a_pass("p3"))
    writer.settle()
    eventually(lambda: len(writer.recorded.deliveries) == 3, LONG)
    lives = [delivery.generation for delivery in writer.recorded.deliveries]
    assert lives[0] == generation_of(database) - 1
    assert lives[-1] == generation_of(database)
