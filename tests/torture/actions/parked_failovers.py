"""A failover takes commits that left no event: parked events, dead letters, and what a lane was told."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

import psycopg

from recovery.deadletters.sending import RawProducer
from schemas.control import PARK, RELEASE, ControlRecord, Kind
from storage.parking import OPEN, PARKED, obeyed
from tests.torture.actions.parking import tell
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.actions.standby import standby
from tests.torture.load import a_pass, a_reading
from tests.torture.rig import LANES, NotInTimeError, Rig

STANDS = "an acknowledged park or release stands"
LETTERS = "dead letters accounted for"
LOST = "nothing lost"
ORDER = "in order, without gaps"
_COMMITTED_WITHIN_SECONDS = 20.0
_BACK_WITHIN_SECONDS = 45.0
_ACTION_BOUND = timedelta(seconds=60)
_ASKS_EVERY_SECONDS = 0.02
# A lane writes down where reading stands a second after its last batch.
_STILL_LOOKS = 60

_STANDING = """
SELECT
    coalesce(
        (SELECT c.state FROM controls AS c WHERE c.match = %(match)s ORDER BY c.control DESC LIMIT 1),
        'open'
    ),
    (SELECT count(*) FROM events AS e WHERE e.match = %(match)s),
    (SELECT count(*) FROM parked AS p WHERE p.match = %(match)s),
    (SELECT count(*) FROM dead_letters AS l WHERE l.record_key = convert_to(%(match)s, 'UTF8'))
"""
_COMMITS = """
SELECT
    (SELECT count(*) FROM events AS e WHERE e.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM parked AS p WHERE p.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM controls AS c WHERE c.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM dead_letters AS l WHERE l.partition = ANY(%(shards)s)),
    (SELECT max(k.saved_at) FROM checkpoints AS k WHERE k.shard = ANY(%(shards)s))
"""
_ORDER = "SELECT payload -> 'event' ->> 'source_event_id' FROM events WHERE match = %s ORDER BY seq"


class _Standing(NamedTuple):
    """How a match stands in the log."""

    state: str
    events: int
    parked: int
    letters: int


@dataclass
class _Match:
    """A match of an action's own, and what was sent to it."""

    rig: Rig
    name: str
    topics: int  # its events are of so many
    events: int = 0
    letters: int = 0
    state: str = OPEN  # as acknowledged

    async def say(self, events: int) -> None:
        """Send events, and wait until Kafka has them."""
        sender = self.rig.load.sender
        for _ in range(events):
            self.events += 1
            make = a_pass if self.topics > 1 and self.events % 2 else a_reading
            await sender.acknowledge(sender.send(make(self.name, make.__name__, self.events)))

    async def say_malformed(self) -> None:
        sender = self.rig.load.sender
        self.letters += 1
        value = f'{{"source": "sensors", "match": "{self.name}", "number": {self.letters}}}'.encode()
        await sender.acknowledge(sender.send_malformed(self.name, value))

    async def tell(self, kind: Kind) -> None:
        """Tell the lane, as `deadletters park` and `release` do, and wait until it obeyed."""
        self.state = PARKED if kind == PARK else OPEN
        record = ControlRecord(
            type=kind, match=self.name, issued_at=datetime.now(UTC), issued_by="torture", because="torture"
        )
        settings = self.rig.settings
        producer = RawProducer(settings.kafka, settings.topic_prefix)
        origin = await asyncio.to_thread(producer.tell, record, settings.shards)

        def is_obeyed() -> bool:
            with psycopg.connect(settings.postgres) as connection:
                return obeyed(connection, origin) is not None

        await _soon(is_obeyed, f"{kind} {self.name} to be obeyed")

    def standing(self) -> _Standing:
        with psycopg.connect(self.rig.settings.postgres) as connection:
            row = connection.execute(_STANDING, {"match": self.name}).fetchone()
            assert row is not None
            return _Standing(*row)

    def is_whole(self) -> bool:
        """Whether all that was sent is there, and it stands as a lane said."""
        now = self.standing()
        return (
            now.state == self.state and now.events + now.parked == self.events and now.letters == self.letters
        )

    def disorder(self) -> str | None:
        """The order of its events, where those of one topic are not as they were sent."""
        with psycopg.connect(self.rig.settings.postgres) as connection:
            ids = [str(row[0]).rpartition("-") for row in connection.execute(_ORDER, (self.name,))]
        for topic in {name for name, _, _ in ids}:
            numbers = [int(number) for name, _, number in ids if name == topic]
            if numbers != sorted(numbers):
                return f"{topic}: {numbers}"
        return None


async def only_events(match: _Match) -> None:
    await match.say(4)


async def only_a_letter(match: _Match) -> None:
    await match.say_malformed()


async def only_a_park(match: _Match) -> None:
    await match.tell(PARK)


async def a_park_and_more(match: _Match) -> None:
    await match.tell(PARK)
    await match.say(3)
    await match.say_malformed()


async def only_a_release(match: _Match) -> None:
    await match.tell(RELEASE)


# What is lost of a match that was parked before, and of an open one.
_OF_A_PARKED = (only_events, only_events, only_a_release, only_a_letter)
_OF_AN_OPEN = (only_a_park, a_park_and_more, a_park_and_more, only_a_letter)


@action(bound=_ACTION_BOUND, needs="postgres lanes kafka load")
async def lossy_failover_while_parked(rig: Rig, draw: Random) -> None:
    """A failover takes parked events, a letter or a park of a lane that committed nothing else."""
    lane = draw.randrange(LANES)
    shards = list(range(lane, rig.settings.shards, LANES))
    match = _Match(rig, rig.load.new_match(draw.choice(shards)), draw.choice((1, 2)))
    was_parked = draw.random() < 0.5
    lose = draw.choice(_OF_A_PARKED if was_parked else _OF_AN_OPEN)
    stays_quiet = draw.random() < 0.5
    await match.say(2)
    if was_parked:
        await match.tell(PARK)
    with ExitStack() as silence:
        async with standby(rig) as other:
            silence.enter_context(rig.load.silenced(shards))
            await _stands_still(rig, shards)
            await other.is_level("async")
            other.way.swallow()
            await lose(match)
            await _soon(match.is_whole, f"{lose.__name__} to be committed")

            async def end_silence() -> None:
                if not stays_quiet:
                    silence.close()

            await other.take_over(draw, end_silence)
        is_whole = await _is_whole_again(rig, match, lose.__name__)
    if is_whole:
        await _goes_on(rig, match)


async def _stands_still(rig: Rig, shards: Sequence[int]) -> None:
    """Wait until a lane has committed all that was sent to it."""
    seen: list[object] = []

    def is_still() -> bool:
        with psycopg.connect(rig.settings.postgres) as connection:
            now = connection.execute(_COMMITS, {"shards": shards}).fetchone()
        seen.append(now)
        return len(seen) > _STILL_LOOKS and all(past == now for past in seen[-_STILL_LOOKS:])

    await _soon(is_still, "the lane to stand still")


async def _soon(question: Callable[[], bool], what: str) -> None:
    """Wait for what a fault has to find; raise NotReachedError."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _COMMITTED_WITHIN_SECONDS
    while not await asyncio.to_thread(question):
        if clock() > deadline:
            raise NotReachedError(f"waited {_COMMITTED_WITHIN_SECONDS:g} s for {what}")
        await asyncio.sleep(_ASKS_EVERY_SECONDS)


async def _is_whole_again(rig: Rig, match: _Match, lost: str) -> bool:
    """Give the lane time to have all of a match again, and note what it lacks."""
    try:
        await rig.until_told(match.is_whole, _BACK_WITHIN_SECONDS, f"{match.name} to be whole")
    except NotInTimeError as error:
        now = await asyncio.to_thread(match.standing)
        said = f"{match.name} ({lost}): {error}"
        if now.state != match.state:
            rig.violations.append((STANDS, f"{said}; it is {now.state}, and was told to be {match.state}"))
        if now.events + now.parked != match.events:
            detail = (
                f"{said}; {match.events} events were sent, {now.events} are in the log, {now.parked} wait"
            )
            rig.violations.append((LOST, detail))
        if now.letters != match.letters:
            rig.violations.append((LETTERS, f"{said}; of {match.letters} there are {now.letters}"))
        return False
    return True


async def _goes_on(rig: Rig, match: _Match) -> None:
    """More events come: they wait where the match is parked, and leave in order when it is released."""
    before = await asyncio.to_thread(match.standing)
    await match.say(2)
    if not await _is_whole_again(rig, match, "after it was whole"):
        return
    if match.state == PARKED:
        now = await asyncio.to_thread(match.standing)
        if now.events != before.events:
            rig.violations.append((STANDS, f"{match.name}: an event passed the parked ones"))
        await tell(rig, RELEASE, match.name)
        match.state = OPEN
        if not await _is_whole_again(rig, match, "released"):
            return
    if (disorder := await asyncio.to_thread(match.disorder)) is not None:
        rig.violations.append((ORDER, f"{match.name}, {disorder}"))
