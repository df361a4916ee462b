"""The checker must fail where a loss was passed over: a control of each rule about lost history."""

import asyncio
import signal

import pytest
from confluent_kafka import Producer

from schemas.control import PARK
from schemas.outlets import CHAIN, GENERATION, LIVE_EVENTS, POSITION
from schemas.pack import pack
from settings import Settings
from tests.event_builders import MATCH, a_pass, a_reading
from tests.torture.checker import (
    LETTERS,
    LOST,
    NEW_GENERATION,
    ONE_EVENT,
    STANDS,
    check_generations,
    check_places,
)
from tests.torture.load import Sender
from tests.torture.own_match import OwnMatch
from tests.torture.stage import Stage, set_up
from tests.torture.witness import Witness

pytestmark = pytest.mark.integration

STREAMS, COPIES = "streams = log", "copies in Kafka = log"
WAITS_IN_OPEN = "no event waits in an open match"

# Whoever begins a new generation stays in the old one.
_NO_NEW_GENERATION = """
CREATE FUNCTION keep_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.generation := OLD.generation;
    RETURN NEW;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON delivery_shards FOR EACH ROW EXECUTE FUNCTION keep_generation();
"""
_ANOTHER_EVENT = (
    "UPDATE events SET event_key = gen_random_uuid(), chain = gen_random_uuid() WHERE position = 2"
)


@pytest.mark.parametrize("is_sabotaged", [True, False], ids=["sabotaged", "whole"])
def test_a_log_that_fell_and_stays_in_its_generation_has_two_events_at_a_place(
    installation: Settings, is_sabotaged: bool
) -> None:
    """The log lost its last event; another one takes its place, in a generation of its own or not."""

    async def play() -> set[str]:
        async with set_up(installation) as stage:
            if is_sabotaged:
                stage.database.execute(_NO_NEW_GENERATION)
            witness = Witness(installation)
            lane = await stage.lane()
            await stage.say(a_reading("r-1"))
            await stage.holds(1)
            await stage.say(a_reading("r-2"))
            await stage.holds(2)
            lane.send_signal(signal.SIGTERM)  # it ends with a snapshot of all it has written
            await asyncio.wait_for(lane.wait(), 20)
            witness.read()
            stage.database.execute("DELETE FROM events WHERE position = 2")
            stage.database.execute("DELETE FROM checkpoints")
            witness.read()
            assert [fall.position for fall in witness.falls] == [2]
            await stage.say(a_pass("p-1"))
            await stage.lane()
            await stage.holds(3)
            # Which of the two topics is read first is up to Kafka.
            stage.database.execute(_ANOTHER_EVENT)
            broken = check_generations(witness)
            await witness.stop()
            return {violation.promise for violation in broken}

    assert asyncio.run(play()) == ({NEW_GENERATION, ONE_EVENT} if is_sabotaged else set())


def test_a_park_that_fell_and_what_is_lost_with_it_are_found(installation: Settings) -> None:
    """All holds; then the log forgets what the lane was told, the letter, and the events that wait."""

    async def play() -> None:
        async with set_up(installation) as stage:
            match = OwnMatch(installation, Sender(installation), MATCH)
            await stage.relay()
            await stage.lane()
            await match.say(1)
            await stage.holds(1)
            told = await match.tell(PARK)
            await stage.until(lambda: match.is_obeyed(told))
            await match.say(1)
            await match.say_malformed()
            await stage.until(lambda: not match.broken())
            assert await stage.broken() == set()
            stage.database.execute("DELETE FROM controls")
            assert _promises(match) == {STANDS}
            assert await stage.broken(None) == {LOST, WAITS_IN_OPEN}
            stage.database.execute("DELETE FROM parked")
            assert _promises(match) == {STANDS, LOST}
            stage.database.execute("DELETE FROM dead_letters")
            assert _promises(match) == {STANDS, LOST, LETTERS}

    asyncio.run(play())


def _promises(match: OwnMatch) -> set[str]:
    return {violation.promise for violation in match.broken()}


@pytest.mark.parametrize("copy", ["stream", "live-events"])
def test_an_event_that_reached_nobody_and_one_in_the_place_of_another_are_found(
    installation: Settings, copy: str
) -> None:
    """Neither its stream nor `live-events` has the last event; then one of them has it as the first."""

    async def play() -> None:
        async with set_up(installation) as stage:
            await stage.lane()
            relay = await stage.relay()
            await stage.say(a_reading("r-1"))
            await stage.holds(1)
            assert await stage.broken(outlets=True) == set()
            assert check_places(installation, [], {}) == []
            relay.kill()
            await relay.wait()
            await stage.say(a_reading("r-2"))
            await stage.until(lambda: stage.stream_top() == 2)
            stage.redis.delete(stage.stream())
            assert await stage.broken(None, outlets=True) == {STREAMS, COPIES}
            _claim_the_first_place(stage, copy)
            assert {violation.promise for violation in check_places(installation, [], {})} == {ONE_EVENT}

    asyncio.run(play())


def _claim_the_first_place(stage: Stage, copy: str) -> None:
    """Show the second event as the first of the same generation, beside the first itself."""
    rows = stage.database.execute(
        "SELECT d.generation, convert_to(e.payload::text, 'UTF8') FROM events AS e"
        " INNER JOIN delivery_shards AS d ON d.shard = e.shard ORDER BY e.position"
    ).fetchall()
    (generation, first), (_, second) = rows
    claiming = second.replace(b'"seq":2', b'"seq":1')
    if copy == "stream":
        stage.redis.xadd(stage.stream(), {"f": b"1", "c": b"", "e": pack([first, claiming])}, id="2-0")
        return
    producer = Producer({"bootstrap.servers": stage.settings.kafka, "log_level": 0})
    producer.produce(
        stage.settings.topic_prefix + LIVE_EVENTS,
        claiming,
        MATCH.encode(),
        stage.shard,
        headers={GENERATION: str(generation), POSITION: "1", CHAIN: "00" * 16},
    )
    producer.flush()
