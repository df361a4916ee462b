"""Parked matches on a real PostgreSQL: what waits, what goes on, and how it is released."""


import psycopg

from storage.parking import match_states
from tests.event_builders import MATCH, a_goal, a_pass
from tests.fixtures.log_writer import (
    LONG,
    SHARD,
    SHARDS,
    NewWriter,
    Writer,
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
    published = sum(len(delivery.payloads) for delivery in writer.recorded.deliveries)
    eventually(lambda: published == 6, LONG)
