"""One run of torture from its plan to its verdict."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
from confluent_kafka import KafkaException
from redis import RedisError

from settings import Settings
from tests.torture.actions.registry import ACTIONS, NotReachedError
from tests.torture.checker import (
    SETTLES,
    SETTLES_WITHIN,
    Violation,
    audit,
    check_fan,
    fans_reach,
    log_by_match,
)
from tests.torture.fans import LastingFan
from tests.torture.load import LoadFailedError, MatchDay, Pulse, write_ledger
from tests.torture.plan import Step
from tests.torture.report import Done, Outcome
from tests.torture.rig import NotInTimeError, Rig, Say, running_rig
from tests.torture.witness import Witness

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
        pulse = Pulse(rig.settings)
        day = MatchDay(rig.settings, folder, seed, seconds * _DAY_LASTS)
        fans = [LastingFan(rig.settings.url("gateway")) for _ in range(_FANS)]
        witness = Witness(rig.settings)
        witness.start()
        following = asyncio.create_task(_follow_the_day(fans, day))
        try:
            await day.start()
            pulse.start()
            for fan in fans:
                for match in pulse.matches.values():
                    fan.follow(match)
                fan.start()
            await _recovered(rig, pulse, fans[0], _WARM_WITHIN)
            await _act(rig, plan, pulse, fans[0], outcome)
            await _end_load(rig, day, pulse, outcome)
            await _judge(rig, day, pulse, fans, witness, outcome)
        finally:
            following.cancel()
            await witness.stop()
            await day.stop()
            for fan in fans:
                await fan.stop()
    outcome.seconds = time.monotonic() - started
    return outcome


async def _act(rig: Rig, plan: Sequence[Step], pulse: Pulse, fan: LastingFan, outcome: Outcome) -> None:
    begun = time.monotonic()
    for step in plan:
        await asyncio.sleep(max(0.0, step.at - (time.monotonic() - begun)))
        done = Done(step)
        outcome.done.append(done)
        action = ACTIONS[step.action]
        at = time.monotonic()
        try:
            await action.do(rig, Random(step.seed))
        except NotReachedError as error:
            done.not_reached = str(error)
        except (psycopg.OperationalError, RedisError, KafkaException, ConnectionError) as error:
            done.not_reached = f"another fault was in the way: {error}"
        except (NotInTimeError, TimeoutError) as error:
            outcome.violations.append(Violation(IN_TIME, f"step {step.number}, {step.action}: {error}"))
        done.took = time.monotonic() - at
        if step.is_awaited:
            bound = action.bound.total_seconds()
            try:
                done.recovered = await _recovered(rig, pulse, fan, bound)
            except NotInTimeError as error:
                outcome.violations.append(Violation(IN_TIME, f"step {step.number}, {step.action}: {error}"))
        rig.say(f"{time.monotonic() - begun:6.1f} s  {done}")


async def _recovered(rig: Rig, pulse: Pulse, fan: LastingFan, within: float) -> float:
    """Seconds until a fan has an event of every shard that was sent after now; raise NotInTimeError."""
    begun, beat = time.monotonic(), pulse.number + 1

    def late() -> list[str]:
        return [match for match in pulse.matches.values() if fan.beats.get(match, 0) < beat]

    try:
        await rig.until(lambda: not late(), within, "events to flow")
    except NotInTimeError as error:
        raise NotInTimeError(f"{error}: nothing new of {', '.join(late())}") from None
    return time.monotonic() - begun


async def _follow_the_day(fans: Sequence[LastingFan], day: MatchDay) -> None:
    """Let fans follow each match of the day as soon as it is known."""
    while True:
        for match in sorted(await asyncio.to_thread(day.matches)):
            for fan in fans:
                fan.follow(match)
        await asyncio.sleep(1)


async def _end_load(rig: Rig, day: MatchDay, pulse: Pulse, outcome: Outcome) -> None:
    try:
        await day.finish(_READ_WITHIN * rig.patience)
    except LoadFailedError as error:
        outcome.violations.append(Violation(SETTLES, str(error)))
    await pulse.stop()


async def _judge(
    rig: Rig,
    day: MatchDay,
    pulse: Pulse,
    fans: Sequence[LastingFan],
    witness: Witness,
    outcome: Outcome,
) -> None:
    ledger = rig.folder / "ledger-of-all.jsonl"
    outcome.violations += [Violation(*each) for each in rig.violations]
    try:
        outcome.acknowledged = write_ledger(ledger, day.entries(), pulse.acknowledged)
    except LoadFailedError as error:
        outcome.violations.append(Violation(SETTLES, str(error)))
        return
    audited = await audit(rig.settings, ledger, SETTLES_WITHIN * rig.patience)
    outcome.violations += audited.violations
    outcome.compared = audited.receipt.get("compared")
    log = await asyncio.to_thread(log_by_match, rig.settings)
    await fans_reach(fans, log, _FANS_WITHIN * rig.patience)
    for number, fan in enumerate(fans, 1):
        checked = check_fan(f"fan {number}", fan, log, witness.written)
        outcome.violations += checked.violations
        lives = [life for lives in fan.lives.values() for life in lives]
        outcome.fans[f"fan {number}"] = {
            "events": sum(len(life.events) for life in lives),
            "matches": len(fan.lives),
            "connections": fan.connections,
            "resyncs": len(lives) - len(fan.lives),
            "unwitnessed": checked.unwitnessed,
        }
