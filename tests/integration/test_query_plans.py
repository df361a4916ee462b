"""Queries that were planned while the log was empty still look rows up when it is long."""

from contextlib import closing

import psycopg
import pytest

from schemas.log_position import LogPosition
from settings import Settings
from storage.log_reads import LogQueries
from storage.match_reads import Asked, MatchQueries
from storage.reading import LogReader
from storage.relay_reads import RelayReads
from tests.event_builders import MATCH, a_pass
from tests.fixtures.log_writer import LONG, SHARD, NewWriter, generation_of
from tests.fixtures.waiting import eventually

# Of 4,000; a look-up reads one, the writer looks a thousand keys up after its start.
_FEW = 3_000
# Server-side plans are made at the fifth execution at the latest.
_OFTEN = range(8)


def _rows_read(database: psycopg.Connection) -> int:
    """Rows of the log that queries had to read, index entries included."""
    row = database.execute(
        "SELECT t.seq_tup_read + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes AS i"
        " WHERE i.relname = 'events')::bigint FROM pg_stat_user_tables AS t WHERE t.relname = 'events'"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.anyio
async def test_no_query_of_the_hot_path_reads_the_whole_log(
    new_writer: NewWriter, database: psycopg.Connection, installation: Settings
) -> None:
    """Relay and gateway ask many times a second, from before the first event on."""
    before = _rows_read(database)
    writer = new_writer()
    with closing(RelayReads(installation.postgres, "test-plans")) as relay:
        async with LogReader(installation.postgres, "test-plans", connections=1) as reader:
            log, matches = LogQueries(reader), MatchQueries(reader)

            async def ask() -> None:
                for _ in _OFTEN:
                    relay.states({SHARD: 1})
                    place = relay.place_at(SHARD, 1)
                    assert place is not None
                    at = LogPosition(generation_of(database), *place)
                    assert relay.after({SHARD: at}, 100).astray == []
                    (head,) = await log.shard_heads({SHARD: at})
                    assert head.holds_place
                    await log.shards_after({SHARD: head.head}, 100)
                    await log.events_after(MATCH, SHARD, head.head.position, 100, at)
                    await matches.view(Asked(MATCH, SHARD, None, at))

            writer.write(a_pass("first"))
            writer.settle()
            database.execute("ANALYZE events, delivery_shards")  # as autovacuum may do at any moment
            await ask()
            for number in range(40):
                writer.write(*[a_pass(f"p{number}-{n}") for n in range(100)])
            writer.settle()
            await ask()
    writer.committer.close()
    # Sessions that ended have handed in what they counted.
    eventually(lambda: _sessions(database) == 0, LONG)
    assert _rows_read(database) - before < _FEW


def _sessions(database: psycopg.Connection) -> int:
    row = database.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchone()
    assert row is not None
    return int(row[0])
