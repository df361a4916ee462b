"""The checker must fail when a precaution is missing, and say which promise broke.

Each control takes one precaution away and brings about what it is for. The
same scene with the precaution in place has to be clean, so that it is the
sabotage that the checker found.
"""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from datetime import timedelta

import psycopg
import pytest

from schemas.identity import ZERO_CHAIN, next_chain
from schemas.pack import pack
from schemas.raw import RawEvent
from settings import Settings
from tests.event_builders import a_pass, a_reading
from tests.torture import sabotage
from tests.torture.checker import LOST, ORDER, Violation
from tests.torture.proxy import FaultProxy
from tests.torture.stage import Stage, set_up

pytestmark = pytest.mark.integration

ONE_WRITER = "one writer"
TWICE, STREAMS = "nothing twice", "streams = log"
_GATE = 20_031

_NO_FENCE = """
CREATE OR REPLACE FUNCTION check_append(shards smallint[], fences uuid[], heads bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
BEGIN
    PERFORM 1 FROM delivery_shards AS d WHERE d.shard = ANY(shards) ORDER BY d.shard FOR UPDATE;
    FOR i IN 1..cardinality(shards) LOOP
        SELECT coalesce(max(e.position), 0) INTO head FROM events AS e WHERE e.shard = shards[i];
        IF head <> heads[i] THEN
            RAISE EXCEPTION 'head of shard % is %, not %', shards[i], head, heads[i] USING ERRCODE = 'TL002';
        END IF;
    END LOOP;
END $$
"""

# The real one, with its two halves in the other order.
_HEADS_BEFORE_LOCK = """
CREATE OR REPLACE FUNCTION check_append(shards smallint[], fences uuid[], heads bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held integer;
    head bigint;
BEGIN
    FOR i IN 1..cardinality(shards) LOOP
        SELECT coalesce(max(e.position), 0) INTO head FROM events AS e WHERE e.shard = shards[i];
        IF head <> heads[i] THEN
            RAISE EXCEPTION 'head of shard % is %, not %', shards[i], head, heads[i] USING ERRCODE = 'TL002';
        END IF;
    END LOOP;
    SELECT count(*) INTO held FROM (
        SELECT 1 FROM delivery_shards AS d
        INNER JOIN unnest(shards, fences) AS mine (shard, fence)
            ON d.shard = mine.shard AND d.fence = mine.fence
        ORDER BY d.shard FOR UPDATE OF d
    ) AS locked;
    IF held <> cardinality(shards) THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'TL001';
    END IF;
END $$
"""

# Unique keys would refuse what this is about, and make a redo of it.
_NO_UNIQUE_KEYS = """
ALTER TABLE events DROP CONSTRAINT events_pkey;
ALTER TABLE events DROP CONSTRAINT events_event_key_key;
DROP INDEX events_match_seq;
CREATE INDEX events_by_position ON events (shard, position);
CREATE INDEX events_by_key ON events (event_key);
CREATE INDEX events_by_seq ON events (match, seq);
"""

# A commit of events waits for whoever holds the gate.
_GATED_COMMIT = f"""
CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({_GATE});
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON events
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_the_gate();
"""
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"

with_and_without = pytest.mark.parametrize("is_sabotaged", [True, False], ids=["sabotaged", "whole"])


@with_and_without
def test_a_lane_without_a_fence_writes_beside_the_one_that_took_over(
    installation: Settings, is_sabotaged: bool
) -> None:
    """A lane that slept while another took its shards has to end at its first append."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            if is_sabotaged:
                stage.database.execute(_NO_FENCE)
            zombie = await stage.lane(store="first")
            relay = await stage.relay()
            await stage.say(a_reading("r-1"))
            await stage.holds(1)
            zombie.send_signal(signal.SIGSTOP)
            await stage.lane(store="second")
            await stage.say(a_reading("r-2"))
            await stage.holds(2)
            zombie.send_signal(signal.SIGCONT)
            await stage.say(a_reading("r-3"))
            await stage.holds(3)
            await _gives_way(stage, zombie, 5 if is_sabotaged else 40)
            assert relay.returncode is None
            return await stage.broken()

    assert asyncio.run(play()) == ({ONE_WRITER} if is_sabotaged else set())


async def _gives_way(stage: Stage, lane: Process, seconds: float) -> None:
    if not await stage.comes(lambda: lane.returncode is not None, seconds):
        stage.violations.append(Violation(ONE_WRITER, "it runs on beside the lane that took its shards"))
    else:
        assert lane.returncode == os.EX_TEMPFAIL, stage.said()


@with_and_without
def test_what_is_looked_up_before_the_lock_is_appended_twice(
    installation: Settings, is_sabotaged: bool
) -> None:
    """A commit is under way when its connection breaks; the lane does it again while the server finishes."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            stage.database.execute(_NO_UNIQUE_KEYS)
            stage.database.execute(_GATED_COMMIT)
            if is_sabotaged:
                stage.database.execute(_HEADS_BEFORE_LOCK)
            way = await FaultProxy.listening("lane to postgres", installation.port("postgres"))
            await stage.relay()
            await stage.lane(sabotage.LOOK_UP_FIRST if is_sabotaged else "", postgres_port=way.port)
            await stage.say(a_reading("r-0"))  # with it the match is known: that row has a key of its own
            await stage.holds(1)
            with psycopg.connect(installation.postgres, autocommit=True) as gatekeeper:
                gatekeeper.execute("SELECT pg_advisory_lock(%s)", (_GATE,))
                await stage.say(a_reading("r-1"))
                await stage.until(lambda: _waiting(stage) == 1)
                way.cut()
                await stage.until(lambda: _waiting(stage) >= 2)
            await stage.say(a_reading("r-2"))
            await stage.until(lambda: _is_there(stage, "r-2"))
            await way.close()
            return await stage.broken()

    broken = asyncio.run(play())
    assert {TWICE, ORDER} <= broken if is_sabotaged else not broken


def _waiting(stage: Stage) -> int:
    row = stage.database.execute(_WAITING).fetchone()
    assert row is not None
    return int(row[0])


def _is_there(stage: Stage, source_event_id: str) -> bool:
    found = stage.database.execute(
        "SELECT 1 FROM events WHERE payload::text LIKE %s", (f"%{source_event_id}%",)
    )
    return found.fetchone() is not None


@with_and_without
def test_plain_xadd_leaves_a_hole_where_a_stream_was_lost(installation: Settings, is_sabotaged: bool) -> None:
    """A stream is deleted and the next event is written through before the relay looks."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            await stage.lane(sabotage.PLAIN_XADD if is_sabotaged else "")
            relay = await stage.relay()
            await stage.say(a_reading("r-1"))
            await stage.until(lambda: stage.log_length() == 1 and stage.stream_top() == 1)
            relay.send_signal(signal.SIGSTOP)
            stage.redis.delete(stage.stream())
            await stage.say(a_reading("r-2"))
            await stage.holds(2)
            if is_sabotaged:  # awake, the relay looks where streams begin, and would mend this one
                await stage.until(lambda: stage.stream_top() == 2)
            else:
                relay.send_signal(signal.SIGCONT)
            return await stage.broken()

    assert asyncio.run(play()) == ({STREAMS} if is_sabotaged else set())


@with_and_without
def test_a_ring_with_authority_loses_what_the_database_lost(
    installation: Settings, is_sabotaged: bool
) -> None:
    """The log lost its last event and it is read again; the ring of the snapshot has seen it."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            name = sabotage.RING_WITH_AUTHORITY if is_sabotaged else ""
            await stage.relay()
            lane = await stage.lane(name)
            await stage.say(a_reading("r-1"))
            await stage.holds(1)
            await stage.say(a_reading("r-2"))
            await stage.holds(2)
            lane.send_signal(signal.SIGTERM)  # it ends with a snapshot of all it has seen
            await asyncio.wait_for(lane.wait(), 20)
            stage.database.execute("DELETE FROM events WHERE position = 2")
            stage.database.execute("DELETE FROM checkpoints")
            await stage.lane(name)
            await stage.say(a_reading("r-3"))
            await stage.until(lambda: _is_there(stage, "r-3"))
            return await stage.broken()

    broken = asyncio.run(play())
    assert LOST in broken if is_sabotaged else not broken


@with_and_without
def test_a_fork_with_the_same_event_on_top_is_seen_by_its_chain_only(
    installation: Settings, is_sabotaged: bool
) -> None:
    """The stream is of another life, which had the same events in another order, but for the last."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            await stage.lane()
            told: list[RawEvent] = [a_reading("r-1"), a_pass("p-1"), a_reading("r-2")]
            for number, event in enumerate(told, 1):
                await stage.say(event)
                await stage.holds(number)
            await stage.until(lambda: stage.stream_top() == 3)
            _swap_the_first_two(stage)
            await stage.relay(sabotage.FORK_BY_TOP_KEY if is_sabotaged else "")
            forked = stage.stream()
            if not is_sabotaged:
                await stage.until(lambda: stage.stream() != forked)
            await stage.say(a_reading("r-3"))
            await stage.holds(4)
            await stage.comes(lambda: stage.stream_top() == 4, 5)
            return await stage.broken(timedelta(seconds=10 if is_sabotaged else 60))

    broken = asyncio.run(play())
    assert broken if is_sabotaged else not broken
    assert not is_sabotaged or broken <= {STREAMS, "settles in time"}


def _swap_the_first_two(stage: Stage) -> None:
    """Write the stream as a life would have it in which the first two events came the other way round."""
    rows = stage.database.execute(
        "SELECT event_key, body_hash, convert_to(payload::text, 'UTF8') FROM events ORDER BY position"
    ).fetchall()
    stream = stage.stream()
    stage.redis.delete(stream)
    chain = ZERO_CHAIN
    for position, (key, body_hash, payload) in enumerate((rows[1], rows[0], rows[2]), 1):
        chain = next_chain(chain, key.bytes, body_hash.to_bytes(8, "big", signed=True))
        stage.redis.xadd(stream, {"f": str(position), "c": chain, "e": pack([payload])}, id=f"{position}-0")
