"""`python -m recovery lanes`: the composition root of looking at lanes and of dealing shards."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import psycopg
from cyclopts import App, Parameter
from rich.console import Console

from recovery.answers import print_json
from recovery.audit.meter import Bar
from recovery.audit.receipt import Receipt
from recovery.audit.run import Asked, run_audit
from recovery.audit.servers import CannotRunError
from recovery.lanes.deal import (
    DealPlan,
    DealRefusedError,
    Dealt,
    deal,
    dealt,
    plan_deal,
    refuse_if_connected,
    refuse_if_held,
)
from recovery.lanes.state import look_at_lanes
from recovery.lanes.table import show
from recovery.prepare import PrepareError, StoreInUseError
from recovery.refusals import refuse
from settings import Settings, SettingsError, load
from storage.connect import connect
from storage.lane_reads import Session, lane_sessions, shard_owners

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2
# A lane that has just ended: its session goes some milliseconds later.
_GONE_WITHIN_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.05
_APPLICATION = "touchline-lanes"

_DEAL = """
Deal the shards to N lanes, while all lanes stand.

Lane i of N takes the shards s with s % N == i. Refuses while a lane holds a store here or is connected to the
database from anywhere, and when the audit finds a fault of the log; records not read yet are none, as lanes
stand. The old stores go aside (`<store>.before-<time>`; of each store the newest 3 are kept) and N empty ones
are made: the log says where each shard is read on, and a repeat that the old store remembered is found by
its key. An audit afterwards must find the log as it was. Then start N lanes: `./dev up --platform --lanes N`,
or TOUCHLINE_LANE=i/N each with the store named here.

Exit status: 0 dealt, or nothing to do; 1 refused, or the log was not left alone, saying why; 2 it could not
run.
"""

app = App(name="lanes", version_flags=[])


@app.default
def lanes(*, json: Annotated[bool, Parameter(negative=(), help="Print it as JSON.")] = False) -> int:
    """Show who holds what; return the exit status."""
    try:
        settings = load()
    except SettingsError as error:
        return refuse(error, json)
    unknown = ""
    try:
        with connect(settings.postgres, _APPLICATION) as connection:
            owners, sessions = shard_owners(connection, settings.shards), lane_sessions(connection)
    except psycopg.Error as error:
        unknown, owners, sessions = _said(error), [], []
    found = look_at_lanes(settings, owners, sessions)
    if json:
        print_json(found)
    else:
        show(found, datetime.now(UTC), Console())
    if unknown:
        errors = Console(stderr=True, soft_wrap=True)
        errors.print(f"PostgreSQL did not answer, so the shards are unknown: {unknown}", markup=False)
        return COULD_NOT_RUN
    return REFUSED if found.findings else DONE


@app.command(name="deal", help=_DEAL)
def deal_shards(
    count: Annotated[int, Parameter(help="How many lanes there are to be.")],
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be done.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Print what was done as JSON.")] = False,
) -> int:
    """Deal the shards to another number of lanes; return the exit status."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        settings = load()
        plan = plan_deal(settings, count, datetime.now(UTC))
        if plan.before == count == len(plan.moves):
            errors.print(f"The shards are dealt to {count} already: nothing to do.")
            if json:
                print_json(dealt(plan._replace(moves=[], made=[], shards=[]), is_done=not dry_run))
            return DONE
        for line in _steps(plan, dry_run):
            errors.print(line, markup=False)
        if dry_run:
            refuse_if_held(plan)
            refuse_if_connected(_sessions_that_stay(settings))
            done = dealt(plan, is_done=False)
        else:
            done = _deal(settings, plan, errors)
    except (DealRefusedError, StoreInUseError) as error:
        refuse(error, json)
        return REFUSED
    except (CannotRunError, PrepareError, SettingsError, OSError, psycopg.Error) as error:
        return refuse(error, json)
    if json:
        print_json(done)
    elif done.is_done:
        Console().print(f"Dealt. Start {count} lanes: ./dev up --platform --lanes {count}")
    return DONE


def _deal(settings: Settings, plan: DealPlan, errors: Console) -> Dealt:
    with Bar(errors) as meter:

        def audit() -> Receipt:
            return run_audit(settings, Asked(), meter)

        return deal(plan, audit, lambda: _sessions_that_stay(settings))


def _sessions_that_stay(settings: Settings) -> Sequence[Session]:
    """The lanes that are connected, those left out that are just going."""
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    with connect(settings.postgres, _APPLICATION) as connection:
        while (sessions := lane_sessions(connection)) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)
        return sessions


def _steps(plan: DealPlan, is_dry: bool) -> list[str]:
    """What is done, before it is."""
    will = "Would" if is_dry else "Will"
    steps = [f"{will} deal the shards of {plan.before} lanes to {plan.after}, between two audits:"]
    for move in plan.moves:
        steps.append(f"  put {move.store} aside as {move.aside.name}")
        steps += [f"  remove {path.name}, put aside long before" for path in move.pruned]
    steps += [
        f"  make {store}, empty, for lane {lane}/{plan.after}: shards {' '.join(map(str, shards))}"
        for lane, (store, shards) in enumerate(zip(plan.made, plan.shards, strict=True))
    ]
    return steps


def _said(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
