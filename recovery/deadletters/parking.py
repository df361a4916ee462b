"""`python -m recovery deadletters park|release|parked`: tell a lane to let a match wait, or to go on."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from recovery.audit.meter import Bar, Meter
from recovery.deadletters.desk import DONE, REFUSED, RefusedError, confirm, opened_desk, run, who, write_json
from recovery.deadletters.printing import show_parked
from recovery.deadletters.sending import RawProducer
from recovery.moments import read_length
from schemas.control import CONTROL_TOPIC, PARK, RELEASE, ControlRecord, Kind
from schemas.letters import Origin
from schemas.partitioning import partition_of
from settings import Settings
from storage.dead_letters import DeadLetters
from storage.parking import OPEN, RELEASING, ParkedMatch

_LOOK_EVERY_SECONDS = 0.05

_Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]
_Yes = Annotated[bool, Parameter(negative=(), help="Do not ask first.")]
_DryRun = Annotated[bool, Parameter(negative=(), help="Print what would be done, and do nothing.")]


def park(
    match: str,
    *,
    because: Annotated[str, Parameter(help="Why, for whoever sees it waiting.")] = "",
    within: Annotated[str, Parameter(help="Wait so long for the lane's answer.")] = "30s",
    unseen: Annotated[
        bool,
        Parameter(negative=(), help="Also a match that nothing has come of: its first event waits, too."),
    ] = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: _Json = False,
) -> int:
    """Let a match wait: its events are kept, in order, instead of going into its log, until it is released.

    A control record tells the lane, which obeys in its place among the events. Fans see the match stand
    still; all others go on. Park a match before you correct and redrive a dead letter that later events build
    upon: what is redriven meanwhile waits in front of the others.

    Exit status: 0 it is parked; 1 nothing has come of such a match, nobody said yes, or no lane answered in
    time; 2 it could not run.
    """

    def work(errors: Console) -> int:
        seconds = read_length("--within", within).total_seconds()
        with opened_desk() as (settings, desk):
            standing = _standing(desk, match)
            if not unseen and standing is None and not desk.has_seen(match):
                raise RefusedError(
                    f"Nothing has come of a match {match!r} so far: is it written like that? --unseen parks"
                    " it all the same, before its first event."
                )
            if dry_run:
                return _would(PARK, match, settings, standing, json)
            confirm(f"Park {match}? Fans see it stand still until it is released.", yes, errors)
            _tell(desk, settings, PARK, match, because, seconds)
            return _say(desk, match, json)

    return run(work, json)


def release(
    match: str,
    *,
    because: Annotated[str, Parameter(help="Why, for whoever reads it later.")] = "",
    within: Annotated[str, Parameter(help="Wait so long for the lane and for its last parked event.")] = "5m",
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: _Json = False,
) -> int:
    """Let a parked match go on: what waits goes into its log first, in the order in which it came.

    Redriven letters come first, then the rest. A control record tells the lane. What comes in meanwhile waits
    behind it, so the order holds; a lane that is killed goes on where it was.

    Exit status: 0 it goes on, nothing waits; 1 it was not parked, nobody said yes, or it is not done in time
    (it goes on all the same: `parked` shows how far it is); 2 it could not run.
    """

    def work(errors: Console) -> int:
        seconds = read_length("--within", within).total_seconds()
        with opened_desk() as (settings, desk):
            before = _standing(desk, match)
            if before is None:
                raise RefusedError(f"{match} is not parked; `parked` shows those that are.")
            if dry_run:
                return _would(RELEASE, match, settings, before, json)
            confirm(f"Release {match}, with {before.waiting:,} events that wait?", yes, errors)
            until = time.monotonic() + seconds
            _tell(desk, settings, RELEASE, match, because, seconds)
            with Bar(errors) as meter:
                _wait_until_open(desk, match, before.waiting, until, meter)
            return _say(desk, match, json)

    return run(work, json)


def parked(*, json: _Json = False) -> int:
    """Show the matches that are parked or being released, and how many events wait in each.

    Exit status: 0 done; 2 the database is out of reach.
    """

    def work(_: Console) -> int:
        with opened_desk() as (_settings, desk):
            matches = desk.parked_matches()
        if json:
            write_json([match._asdict() for match in matches])
        else:
            show_parked(matches, Console())
        return DONE

    return run(work, json)


def _standing(desk: DeadLetters, match: str) -> ParkedMatch | None:
    return next((found for found in desk.parked_matches() if found.match == match), None)


def _would(kind: Kind, match: str, settings: Settings, standing: ParkedMatch | None, json: bool) -> int:
    partition = partition_of(match, settings.shards)
    waiting = standing.waiting if standing else 0
    state = standing.state if standing else OPEN
    if json:
        told = {"type": kind, "match": match, "topic": CONTROL_TOPIC, "partition": partition}
        write_json({"would_tell": told, "state": state, "waiting": waiting})
    else:
        Console().print(
            f"Would write {kind} {match} to {CONTROL_TOPIC}[{partition}]. It is {state}, {waiting:,} events"
            " wait. Nothing was done.",
            markup=False,
            soft_wrap=True,
        )
    return DONE


def _tell(
    desk: DeadLetters, settings: Settings, kind: Kind, match: str, because: str, seconds: float
) -> None:
    """Write the control record and wait for the lane; raise RefusedError when it does not answer in time."""
    record = ControlRecord(
        type=kind, match=match, issued_at=datetime.now(UTC), issued_by=who(), because=because
    )
    producer = RawProducer(settings.kafka, settings.topic_prefix)
    origin = producer.tell(record, settings.shards)
    until = time.monotonic() + seconds
    while desk.obeyed(origin) is None:
        if time.monotonic() >= until:
            raise RefusedError(_unanswered(kind, match, origin, timedelta(seconds=seconds)))
        time.sleep(_LOOK_EVERY_SECONDS)


def _unanswered(kind: Kind, match: str, origin: Origin, waited: timedelta) -> str:
    where = f"{origin.topic}[{origin.partition}]@{origin.offset}"
    return (
        f"No lane has read {kind} {match} ({where}) in {waited}. It stays there and will be obeyed in its"
        " turn. Is a lane running? ./dev status tells, and `parked` shows when it is done."
    )


def _wait_until_open(desk: DeadLetters, match: str, waiting: int, until: float, meter: Meter) -> None:
    meter.begin("releasing events", waiting)
    while (standing := _standing(desk, match)) is not None and standing.state == RELEASING:
        meter.reached(max(0, waiting - standing.waiting))
        if time.monotonic() >= until:
            return
        time.sleep(_LOOK_EVERY_SECONDS)


def _say(desk: DeadLetters, match: str, json: bool) -> int:
    standing = _standing(desk, match)
    state, waiting = (standing.state, standing.waiting) if standing else (OPEN, 0)
    if json:
        write_json({"match": match, "state": state, "waiting": waiting})
    else:
        Console().print(f"{match} is {state}; {waiting:,} events wait.", markup=False)
    return REFUSED if state == RELEASING else DONE
