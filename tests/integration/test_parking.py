"""Parked matches on a real PostgreSQL: what waits, what goes on, and how it is released."""

from contextlib import closing

import psycopg

from schemas import letters
from sinks.release import MOST_AT_ONCE
from storage import resume
from storage.parking import match_states
from tests.event_builders import MATCH, a_goal, a_pass
from tests.fixtures.log_writer import (
    LONG,
    SHARD,
    SHARDS,
    NewWriter,
    Writer,
    assert_sound,
    letters_of,
    log_of,
)
from tests.fixtures.waiting import eventually
from tests.matches import neighbour_of

OTHER = neighbour_of(MATCH, SHARDS)


def _ids(database: psycopg.Connection, match: str = MATCH) -> list[str]:
    return [live.event.source_event_id for live in log_of(database) if live.event.match == match]


def _waiting(database: psycopg.Connection) -> int:
    row = database.execute("SELECT count(*) FROM parked").fetchone()
    assert row is not None
    return int(row[0])


def _is_open(database: psycopg.Connection) -> bool:
    return not match_states(database, SHARD)


def _parked(writer: Writer) -> None:
    writer.write(a_pass("before"))
    writer.tell("park")
    writer.write(a_pass("p1"), a_goal("other", match=OTHER), a_goal("g1"))


def test_events_of_a_parked_match_wait_and_others_go_on(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    writer = new_writer()
    _parked(writer)
    writer.settle()
    assert _ids(database) == ["before"]
    assert _ids(database, OTHER) == ["other"]
    assert _waiting(database) == 2
    assert match_states(database, SHARD) == {MATCH: "parked"}


def test_released_events_come_in_their_order_and_then_the_match_goes_on(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    writer = new_writer()
    _parked(writer)
    writer.tell("release")
    writer.write(a_pass("p2"))
    writer.settle()
    eventually(lambda: _is_open(database), LONG)
    writer.write(a_pass("p3"))
    writer.settle()
    assert _ids(database) == ["before", "p1", "g1", "p2", "p3"]
    assert _waiting(database) == 0
    eventually(lambda: sum(len(d.payloads) for d in writer.recorded.deliveries) == 6, LONG)


def test_what_is_told_twice_is_obeyed_once(new_writer: NewWriter, database: psycopg.Connection) -> None:
    writer = new_writer()
    writer.tell("release")
    writer.tell("park")
    writer.tell("park")
    writer.write(a_pass("p1"))
    writer.tell("release")
    writer.tell("release")
    writer.settle()
    eventually(lambda: _is_open(database), LONG)
    told = database.execute("SELECT kind, state FROM controls ORDER BY control").fetchall()
    assert told[:3] == [("release", "open"), ("park", "parked"), ("park", "parked")]
    assert told[-1] == ("opened", "open")
    assert _ids(database) == ["p1"]


def test_a_repeat_is_one_event_whether_it_waits_or_not(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """What the log has is a repeat at once; what waits is told apart when it is released."""
    writer = new_writer()
    _parked(writer)
    writer.write(a_pass("before"), a_pass("p1"), a_goal("g1", player="Other"))
    writer.settle()
    assert _waiting(database) == 4
    writer.tell("release")
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == ["before", "p1", "g1"]
    assert [reason for reason, _ in letters_of(database)] == [letters.CONFLICTING_DUPLICATE]


def test_a_long_queue_is_released_in_parts_and_others_are_not_held_up(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    writer = new_writer()
    writer.tell("park")
    count = 2 * MOST_AT_ONCE + 7
    writer.write(*[a_pass(f"p{number}") for number in range(count)])
    writer.tell("release")
    for number in range(40):
        writer.write(a_pass(f"late{number}"), a_pass(f"o{number}", match=OTHER))
    writer.settle()
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == [f"p{n}" for n in range(count)] + [f"late{n}" for n in range(40)]
    assert _ids(database, OTHER) == [f"o{n}" for n in range(40)]
    assert _waiting(database) == 0
    assert writer.fatal == []


def test_a_match_can_be_parked_again_while_it_is_released(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    writer = new_writer()
    writer.tell("park")
    writer.write(*[a_pass(f"p{number}") for number in range(MOST_AT_ONCE + 5)])
    writer.tell("release")
    writer.tell("park")
    writer.write(a_pass("behind"))
    writer.settle()
    assert match_states(database, SHARD) == {MATCH: "parked"}
    assert _waiting(database) + len(_ids(database)) == MOST_AT_ONCE + 6
    writer.tell("release")
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == [f"p{n}" for n in range(MOST_AT_ONCE + 5)] + ["behind"]


def test_another_writer_goes_on_where_the_first_one_stood(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Parked events and controls count as read, and a match stays as it was told."""
    first = new_writer()
    _parked(first)
    first.settle()
    first.committer.close()
    database.execute("DELETE FROM checkpoints")
    offsets = resume.next_offsets(database, SHARD)
    assert sorted(offsets.values()) == [first.told, first.offset]
    second = new_writer()
    second.offset, second.told = first.offset, first.told
    second.write(a_pass("p2"))
    second.tell("release")
    second.settle()
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == ["before", "p1", "g1", "p2"]


def test_a_writer_that_starts_goes_on_with_a_release(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """The first one was killed when it had obeyed and released nothing."""
    first = new_writer()
    _parked(first)
    first.settle()
    first.committer.close()
    database.execute(
        "INSERT INTO controls (shard, match, kind, state, issued_by, because, obeyed_at)"
        " VALUES (%s, %s, 'release', 'releasing', 'a test', '', now())",
        (SHARD, MATCH),
    )
    second = new_writer()
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == ["before", "p1", "g1"]
    assert second.fatal == []


def test_cut_connections_park_and_release_each_event_once(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    """Sessions are killed between and within transactions: what is in doubt is looked up by its origin."""
    writer = new_writer()
    rounds, each = 12, 30
    with closing(psycopg.connect(writer.settings.postgres, autocommit=True)) as other:
        for turn in range(rounds):
            writer.tell("park" if turn % 3 == 0 else "release" if turn % 3 == 1 else "park")
            for number in range(each):
                writer.write(a_pass(f"p{turn}-{number}"), a_pass(f"o{turn}-{number}", match=OTHER))
                if number % 10 == 5:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'touchline-enrich-writer' AND datname = current_database()"
                    )
        writer.tell("release")
        writer.settle()
        eventually(lambda: _is_open(database), LONG)
    assert writer.fatal == []
    assert _ids(database) == [f"p{turn}-{n}" for turn in range(rounds) for n in range(each)]
    assert _ids(database, OTHER) == [f"o{turn}-{n}" for turn in range(rounds) for n in range(each)]
    assert _waiting(database) == 0


def test_an_event_that_postgres_refuses_at_its_release_becomes_a_letter_alone(
    new_writer: NewWriter, database: psycopg.Connection
) -> None:
    writer = new_writer()
    writer.tell("park")
    writer.write(a_pass("p1"), a_pass("p2", text="poison"), a_goal("g1"))
    writer.settle()
    database.execute(
        "ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload::text NOT LIKE '%%poison%%')"
    )
    writer.tell("release")
    eventually(lambda: _is_open(database), LONG)
    assert _ids(database) == ["p1", "g1"]
    assert letters_of(database) == [(letters.REFUSED_BY_STORAGE, 1)]
    assert_sound(database)
    assert writer.fatal == []
