"""What must be true after a run: the audit of all servers, and what each fan saw against the log."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg

from local.environment import environment_of, inherited
from settings import ROOT, Settings
from tests.torture.fans import LastingFan, Life

SETTLES_WITHIN = timedelta(seconds=60)
# The audit's kinds of difference, by the promise that each one breaks.
PROMISES = {
    "nothing lost": ("unread", "removed", "unaccounted", "ledger_event", "ledger_final", "sum"),
    "nothing twice": ("key_twice", "accounted_twice", "ledger_extra"),
    "in order, without gaps": ("position", "seq", "order", "shard", "appended_at"),
    "the chain proves the log": ("chain", "identity", "payload", "origin"),
    "image = fold": ("score", "fold", "image", "fold_version"),
    "dead letters accounted for": (
        "letter_origin",
        "letter_reason",
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
}
_PROMISE_OF = {kind: promise for promise, kinds in PROMISES.items() for kind in kinds}
SETTLES = "settles in time"
FANS = "a fan saw the log"

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
    arguments = ["-m", "recovery", "audit", "--json", "--settle", f"{within.total_seconds():g}s"]
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


def check_fan(
    name: str, fan: LastingFan, log: dict[str, list[str]], is_history_lost: bool
) -> list[Violation]:
    """Each event of a match once, in order, gapless, to the end; where history was lost, of its last life."""
    found = [Violation(FANS, f"{name}: {fault}") for fault in fan.faults]
    for match, lives in fan.lives.items():
        there = log.get(match, [])
        judged = lives[-1:] if is_history_lost else lives
        for life in judged:
            if wrong := _differs(life, there):
                found.append(Violation(FANS, f"{name}, {match}: {wrong}"))
        if lives[-1].seq != len(there):
            found.append(
                Violation(FANS, f"{name}, {match}: is at seq {lives[-1].seq}, the log ends at {len(there)}")
            )
    return found


def _differs(life: Life, there: Sequence[str]) -> str | None:
    expected = there[life.floor : life.floor + len(life.events)]
    seen = [event_id for _, event_id in life.events]
    if seen == list(expected):
        return None
    at = next((i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if a != b), len(expected))
    return f"what it saw differs from the log at seq {life.floor + at + 1} of generation {life.generation}"
