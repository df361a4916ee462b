"""What must be true after a run: the audit of all servers, and what each fan saw against the log."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psycopg

from local.environment import environment_of, inherited
from settings import ROOT, Settings
from tests.torture.fans import LastingFan, Life
from tests.torture.places import Places, of_fan, of_live_events, of_log, of_streams
from tests.torture.witness import Witness, Written

SETTLES_WITHIN = timedelta(seconds=60)
_TOLD_AT_MOST = 10  # places with two events: one loss makes hundreds
SETTLES = "settles in time"
FANS = "a fan saw the log"
STANDS = "an acknowledged park or release stands"
LOST, ORDER, LETTERS = "nothing lost", "in order, without gaps", "dead letters accounted for"
NEW_GENERATION = "a log that lost its end begins a new generation"
ONE_EVENT = "each place of a generation has one event"
# The audit's kinds of difference, by the promise that each one breaks.
PROMISES = {
    LOST: (
        "unread",
        "removed",
        "unaccounted",
        "ledger_event",
        "ledger_final",
        "sum",
        "history",
        "partition",
    ),
    "nothing twice": ("key_twice", "accounted_twice", "ledger_extra"),
    ORDER: ("position", "seq", "order", "shard", "match", "appended_at"),
    "the chain proves the log": ("chain", "identity", "payload", "origin"),
    "image = fold": ("score", "fold", "image", "fold_version"),
    LETTERS: (
        "letter_origin",
        "letter_reason",
        "letter_fold",
        "letter_topic",
        "ledger_letter",
        "ledger_refused",
    ),
    "streams = log": (
        "stream_start",
        "stream_hole",
        "stream_pack",
        "stream_bytes",
        "stream_chain",
        "stream_top",
    ),
    "copies in Kafka = log": ("outlet_hole", "outlet_order", "outlet_bytes", "outlet_record"),
    "no event waits in an open match": ("parked",),
}
_PROMISE_OF = {kind: promise for promise, kinds in PROMISES.items() for kind in kinds}
_LOG = "SELECT match, seq, replace(event_key::text, '-', '') FROM events ORDER BY match, seq"


class Violation(NamedTuple):
    """A promise that broke, and how it showed."""

    promise: str
    detail: str


class Audited(NamedTuple):
    """What the audit said; `receipt` is its own."""

    violations: list[Violation]
    receipt: dict[str, object]


async def audit(settings: Settings, ledger: Path | None, within: timedelta = SETTLES_WITHIN) -> Audited:
    """Run `python -m recovery audit` as an operator would; raise RuntimeError when it cannot run."""
    arguments = ["-m", "recovery", "audit", "--outlets", "--json", "--settle", f"{within.total_seconds():g}s"]
    if ledger is not None:
        arguments += ["--ledger", str(ledger)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env=inherited(environment_of(settings)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"the audit could not run: {complained.decode()}")
    receipt = json.loads(said)
    return Audited(violations_of(receipt), receipt)


def violations_of(receipt: dict[str, object]) -> list[Violation]:
    """An audit's differences as broken promises."""
    found: list[Violation] = []
    for what in _list(receipt, "unsettled"):
        found.append(Violation(SETTLES, str(what)))
    for line in _list(receipt, "differences"):
        assert isinstance(line, dict)
        detail = f"{line['what']} at {line['where']}: {line['expected']} expected, {line['found']} found"
        found.append(Violation(_PROMISE_OF.get(str(line["what"]), str(line["what"])), detail))
    return found


def _list(receipt: dict[str, object], name: str) -> list[object]:
    value = receipt.get(name) or []
    assert isinstance(value, list)
    return value


def log_by_match(settings: Settings) -> dict[str, list[str]]:
    """Match -> its event ids; the seq of the first is 1."""
    events: dict[str, list[str]] = {}
    with psycopg.connect(settings.postgres) as connection:
        for match, seq, event_id in connection.execute(_LOG):
            events.setdefault(match, []).append(event_id)
            if len(events[match]) != seq:
                events[match][-1] = f"a seq is missing before {seq}"
    return events


async def fans_reach(fans: Sequence[LastingFan], log: dict[str, list[str]], within: timedelta) -> None:
    """Give fans time to see the end of every match that they follow."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + within.total_seconds()
    while clock() < deadline:
        if all(fan.seq(match) >= len(log.get(match, ())) for fan in fans for match in fan.lives):
            return
        await asyncio.sleep(0.05)


def check_generations(witness: Witness) -> list[Violation]:
    """Whether every log that lost its end has a higher generation, and no place had two events in one."""
    fell = [Violation(NEW_GENERATION, str(fall)) for fall in witness.without_new_generation()]
    return fell + [Violation(ONE_EVENT, detail) for detail in witness.two_at_a_position()]


def check_places(settings: Settings, fans: Sequence[LastingFan], written: Written) -> list[Violation]:
    """Whether fans, log, streams and `live-events` had the same event at each place of each generation."""
    places = Places()
    places.note("the log", of_log(written))
    for number, fan in enumerate(fans, 1):
        places.note(f"fan {number}", of_fan(fan))
    places.note("live-events", of_live_events(settings))
    places.note("a stream", of_streams(settings))
    return [Violation(ONE_EVENT, detail) for detail in islice(places.with_two_events(), _TOLD_AT_MOST)]


class FanChecked(NamedTuple):
    """What is wrong; and how many events of lost commits were noted nowhere else, and came again."""

    violations: list[Violation]
    unwitnessed: int


def check_fan(name: str, fan: LastingFan, log: dict[str, list[str]], written: Written) -> FanChecked:
    """Each event of a match once, in order, gapless, to the end, as the log of each generation had it.

    The generation that goes on is compared with the log as it is. One that
    ended is compared with what was `written` in it; an event that was lost
    before the witness came by must be in the log again.
    """
    found = [Violation(FANS, f"{name}: {fault}") for fault in fan.faults]
    unwitnessed = 0
    for match, lives in fan.lives.items():
        there = log.get(match, [])
        for life in lives:
            if life.generation == lives[-1].generation:
                wrong = _differs(life, there)
            else:
                unseen, wrong = _differs_from_written(life, written.get((match, life.generation), {}), there)
                unwitnessed += unseen
            if wrong:
                found.append(Violation(FANS, f"{name}, {match}: {wrong}"))
        if lives[-1].seq != len(there):
            found.append(
                Violation(FANS, f"{name}, {match}: is at seq {lives[-1].seq}, the log ends at {len(there)}")
            )
    return FanChecked(found, unwitnessed)


def _differs(life: Life, there: Sequence[str]) -> str | None:
    expected = there[life.floor : life.floor + len(life.events)]
    seen = [event_id for _, event_id in life.events]
    if seen == list(expected):
        return None
    at = next((i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if a != b), len(expected))
    return f"what it saw differs from the log at seq {life.floor + at + 1} of generation {life.generation}"


def _differs_from_written(
    life: Life, written: dict[int, set[str]], there: Sequence[str]
) -> tuple[int, str | None]:
    """How many events nobody else noted, and what is wrong."""
    unwitnessed = 0
    again = set(there)
    for seq, event_id in life.events:
        noted = written.get(seq, set())
        if event_id in noted:
            continue
        if noted:
            detail = f"{event_id} at seq {seq} of generation {life.generation}, where the log had another one"
            return unwitnessed, detail
        unwitnessed += 1
        if event_id not in again:
            return unwitnessed, f"{event_id} at seq {seq} of generation {life.generation} is in no log"
    return unwitnessed, None
