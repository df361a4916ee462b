"""One run of torture from its plan to its verdict."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
from confluent_kafka import KafkaException
from redis import RedisError

from settings import Settings
from tests.torture.actions.registry import ACTIONS, NotReachedError, needs_of_all
from tests.torture.checker import (
    SETTLES,
    SETTLES_WITHIN,
    Violation,
    audit,
    check_fan,
    check_generations,
    check_places,
    fans_reach,
    log_by_match,
)
from tests.torture.fans import LastingFan
from tests.torture.load import Load, LoadFailedError, MatchDay, write_ledger
from tests.torture.plan import Step, groups
from tests.torture.report import Done, Outcome
from tests.torture.rig import NotInTimeError, Rig, Say, running_rig

IN_TIME = "recovers in time"
_FANS = 2
# Recoveries are waited for, so the actions take longer than the plan says; the pulse goes on to their end.
_DAY_LASTS = 1.1
_WARM_WITHIN = 60.0
_READ_WITHIN = timedelta(seconds=120)
_FANS_WITHIN = timedelta(seconds=30)


async def torture(
    settings: Settings,
    folder: Path,
    seed: int,
    plan: Sequence[Step],
    seconds: float,
    say: Say,
    patience: float = 1.0,
    brokers: int = 1,
) -> Outcome:
    """Run a plan against a platform of its own; what cannot be judged raises.

    `patience` stretches every bound, for a machine that is busy or slow.
    """
    outcome = Outcome(seed, brokers)
    started = time.monotonic()
    async with running_rig(settings, folder, say, patience, brokers) as rig:
        say(f"platform up after {time.monotonic() - started:.0f} s; load begins")
        rig.load = Load(rig.settings, MatchDay(rig.settings, folder, seed, seconds * _DAY_LASTS))
        fans = [LastingFan(rig.settings.url("gateway")) for _ in range(_FANS)]
        rig.witness.start()
        following = asyncio.create_task(_follow(fans, rig.load))
        try:
            await rig.load.start()
            for fan in fans:
                fan.start()
            await _recovered(rig, fans[0], _WARM_WITHIN)
            await _act(rig, plan, fans[0], outcome)
            await _end_load(rig, outcome)
            await _judge(rig, fans, outcome)
        finally:
            following.cancel()
            await rig.witness.stop()
            await rig.load.stop()
            for fan in fans:
                await fan.stop()
    outcome.seconds = time.monotonic() - started
    return outcome


async def _act(rig: Rig, plan: Sequence[Step], fan: LastingFan, outcome: Outcome) -> None:
    begun = time.monotonic()
    for group in groups(plan, needs_of_all()):
        await asyncio.sleep(max(0.0, group[0].at - (time.monotonic() - begun)))
        async with asyncio.TaskGroup() as together:
            for step in group:
                done = Done(step)
                outcome.done.append(done)
                together.create_task(_take(rig, done, outcome))
                if step is not group[-1]:
                    assert step.next_after is not None
                    await asyncio.sleep(step.next_after)
        done = outcome.done[-1]
        if done.step.is_awaited:
            bound = max(ACTIONS[step.action].bound for step in group).total_seconds()
            with _in_time(done.step, outcome):
                done.recovered = await _recovered(rig, fan, bound)
        for done in outcome.done[-len(group) :]:
            rig.say(f"{time.monotonic() - begun:6.1f} s  {done}")


async def _take(rig: Rig, done: Done, outcome: Outcome) -> None:
    """One step; what went wrong is noted."""
    at = time.monotonic()
    try:
        with _in_time(done.step, outcome):
            await ACTIONS[done.step.action].do(rig, Random(done.step.seed))
    except NotReachedError as error:
        done.not_reached = str(error)
    except (psycopg.OperationalError, RedisError, KafkaException, ConnectionError) as error:
        done.not_reached = f"another fault was in the way: {error}"
    done.took = time.monotonic() - at


@contextmanager
def _in_time(step: Step, outcome: Outcome) -> Iterator[None]:
    try:
        yield
    except (NotInTimeError, TimeoutError) as error:
        outcome.violations.append(Violation(IN_TIME, f"step {step.number}, {step.action}: {error}"))


async def _recovered(rig: Rig, fan: LastingFan, within: float) -> float:
    """Seconds until a fan has an event of every shard that was sent after now; raise NotInTimeError."""
    pulse = rig.load.pulse
    begun, beat = time.monotonic(), pulse.number + 1

    def late() -> list[str]:
        return [match for match in pulse.matches.values() if fan.beats.get(match, 0) < beat]

    try:
        await rig.until(lambda: not late(), within, "events to flow")
    except NotInTimeError as error:
        raise NotInTimeError(f"{error}: nothing new of {', '.join(late())}") from None
    return time.monotonic() - begun


async def _follow(fans: Sequence[LastingFan], load: Load) -> None:
    """Let fans follow each match as soon as it is known."""
    while True:
        for match in sorted(await asyncio.to_thread(load.matches)):
            for fan in fans:
                fan.follow(match)
        await asyncio.sleep(1)


async def _end_load(rig: Rig, outcome: Outcome) -> None:
    try:
        await rig.load.day.finish(_READ_WITHIN * rig.patience)
    except LoadFailedError as error:
        outcome.violations.append(Violation(SETTLES, str(error)))
    await rig.load.pulse.stop()
    await rig.load.sender.finish()


async def _judge(rig: Rig, fans: Sequence[LastingFan], outcome: Outcome) -> None:
    ledger = rig.folder / "ledger-of-all.jsonl"
    outcome.violations += [Violation(*each) for each in rig.violations]
    try:
        outcome.acknowledged = write_ledger(ledger, rig.load.day.entries(), rig.load.sender.acknowledged)
    except LoadFailedError as error:
        outcome.violations.append(Violation(SETTLES, str(error)))
        return
    audited = await audit(rig.settings, ledger, SETTLES_WITHIN * rig.patience)
    outcome.violations += audited.violations
    outcome.compared = audited.receipt.get("compared")
    outcome.violations += await asyncio.to_thread(check_generations, rig.witness)
    log = await asyncio.to_thread(log_by_match, rig.settings)
    await fans_reach(fans, log, _FANS_WITHIN * rig.patience)
    for number, fan in enumerate(fans, 1):
        checked = check_fan(f"fan {number}", fan, log, rig.witness.written)
        outcome.violations += checked.violations
        lives = [life for lives in fan.lives.values() for life in lives]
        outcome.fans[f"fan {number}"] = {
            "events": sum(len(life.events) for life in lives),
            "matches": len(fan.lives),
            "connections": fan.connections,
            "resyncs": len(lives) - len(fan.lives),
            "unwitnessed": checked.unwitnessed,
        }
    outcome.violations += await asyncio.to_thread(check_places, rig.settings, fans, rig.witness.written)
