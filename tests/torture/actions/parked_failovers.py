"""A failover takes commits that left no event: parked events, dead letters, and what a lane was told."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from random import Random

import psycopg

from schemas.control import PARK, RELEASE, Kind
from storage.parking import OPEN, PARKED
from tests.torture.actions.parking import tell
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.actions.standby import standby
from tests.torture.checker import STANDS
from tests.torture.own_match import OwnMatch
from tests.torture.rig import LANES, NotInTimeError, Rig

_COMMITTED_WITHIN_SECONDS = 20.0
_BACK_WITHIN_SECONDS = 45.0
_ACTION_BOUND = timedelta(seconds=60)
_ASKS_EVERY_SECONDS = 0.02
# A lane writes down where reading stands a second after its last batch.
_STILL_POLLS = 60

_COMMITS = """
SELECT
    (SELECT count(*) FROM events AS e WHERE e.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM parked AS p WHERE p.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM controls AS c WHERE c.shard = ANY(%(shards)s)),
    (SELECT count(*) FROM dead_letters AS l WHERE l.partition = ANY(%(shards)s)),
    (SELECT max(k.saved_at) FROM checkpoints AS k WHERE k.shard = ANY(%(shards)s))
"""


async def only_events(match: OwnMatch) -> None:
    await match.say(4)


async def only_a_letter(match: OwnMatch) -> None:
    await match.say_malformed()


async def only_a_park(match: OwnMatch) -> None:
    await _obeyed(match, PARK)


async def a_park_and_more(match: OwnMatch) -> None:
    await _obeyed(match, PARK)
    await match.say(3)
    await match.say_malformed()


async def only_a_release(match: OwnMatch) -> None:
    await _obeyed(match, RELEASE)


async def _obeyed(match: OwnMatch, kind: Kind) -> None:
    told = await match.tell(kind)
    await _soon(lambda: match.is_obeyed(told), f"{kind} to be obeyed")


# What is lost of a match that was parked before, and of an open one.
_OF_A_PARKED = (only_events, only_events, only_a_release, only_a_letter)
_OF_AN_OPEN = (only_a_park, a_park_and_more, a_park_and_more, only_a_letter)


@action(weight=3, bound=_ACTION_BOUND, needs="postgres lanes kafka edges load")
async def lossy_failover_while_parked(rig: Rig, draw: Random) -> None:
    """A failover takes parked events, a letter or a park of a lane that committed nothing else."""
    lane = draw.randrange(LANES)
    shards = list(range(lane, rig.settings.shards, LANES))
    shard = draw.choice(shards)
    match = OwnMatch(rig.settings, rig.load.sender, rig.load.new_match(shard), draw.choice((1, 2)))
    was_parked = draw.random() < 0.5
    lose = draw.choice(_OF_A_PARKED if was_parked else _OF_AN_OPEN)
    # Whose load comes back with the failover. With that of others the lane connects again, and may
    # still believe what it remembers of the shard that stays quiet.
    loud = draw.choice(((), shards, [each for each in shards if each != shard]))
    await match.say(2)
    if was_parked:
        await _obeyed(match, PARK)
    with ExitStack() as silence:
        async with standby(rig) as other:
            silence.enter_context(rig.load.silenced(shards))
            await _stands_still(rig, shards)
            await other.is_level("async")
            other.way.swallow()
            await lose(match)
            await _soon(lambda: not match.broken(), f"{lose.__name__} to be committed")

            async def end_silence() -> None:
                rig.load.pulse.quiet -= set(loud)

            await other.take_over(draw, end_silence)
        await match.say(1)
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
        return len(seen) > _STILL_POLLS and all(past == now for past in seen[-_STILL_POLLS:])

    await _soon(is_still, "the lane to stand still")


async def _soon(question: Callable[[], bool], what: str) -> None:
    """Wait for what a fault has to find; raise NotReachedError."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _COMMITTED_WITHIN_SECONDS
    while not await asyncio.to_thread(question):
        if clock() > deadline:
            raise NotReachedError(f"waited {_COMMITTED_WITHIN_SECONDS:g} s for {what}")
        await asyncio.sleep(_ASKS_EVERY_SECONDS)


async def _is_whole_again(rig: Rig, match: OwnMatch, lost: str) -> bool:
    """Give the lane time to have all of a match again, and note what it lacks."""
    try:
        await rig.until_told(lambda: not match.broken(), _BACK_WITHIN_SECONDS, "the match to be whole")
    except NotInTimeError as error:
        for promise, detail in await asyncio.to_thread(match.broken):
            rig.violations.append((promise, f"{detail}; lost was {lost}, {error}"))
        return False
    return True


async def _goes_on(rig: Rig, match: OwnMatch) -> None:
    """More events come: they wait where the match is parked, and leave in order when it is released."""
    before = await asyncio.to_thread(match.standing)
    await match.say(2)
    if not await _is_whole_again(rig, match, "nothing since"):
        return
    if match.state == PARKED:
        if (await asyncio.to_thread(match.standing)).events != before.events:
            rig.violations.append((STANDS, f"{match.name}: an event passed those that wait"))
        await tell(rig, RELEASE, match.name)
        match.state = OPEN
        await _is_whole_again(rig, match, "nothing since, and it was released")
