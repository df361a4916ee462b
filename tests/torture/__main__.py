"""`./dev torture`: kill, stop, cut and fill everything, and check every promise afterwards."""

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import psycopg
from confluent_kafka import KafkaException
from cyclopts import App, Parameter, validators
from redis import RedisError
from rich.console import Console

import settings as configuration
from settings import Settings
from tests.torture.actions.catalogue import EVERY_ACTION
from tests.torture.actions.registry import needs_of_all
from tests.torture.plan import Step, make_plan, part_of_plan, seeds_of
from tests.torture.report import Outcome, keep, show
from tests.torture.run import torture
from tests.torture.shrink import shrink

# The platform did not come up, the load broke off, the audit had no answer: all but a broken promise.
_NO_VERDICT = (RuntimeError, OSError, ExceptionGroup, psycopg.Error, RedisError, KafkaException)
_EACH_SECONDS = 6.0  # an action and what follows it, on average
CLEAN, BROKEN, COULD_NOT_RUN = 0, 1, 2

app = App(
    name="./dev torture",
    help="Torture a platform of its own under load, then check every promise. Its data lies in"
    " TOUCHLINE_DATA/torture/seed-N, its ports start at TOUCHLINE_PORT_BASE, so no other stack may run there."
    " Exit status: 0 every promise held, 1 one broke, 2 it could not run.",
    version_flags=(),
)


@app.default
def run(
    *,
    seed: str = "1",
    actions: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 12,
    seconds: float | None = None,
    only: str = "",
    without: str = "",
    step: str = "",
    brokers: Literal[1, 3] = 1,
    plan_only: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    is_shrunk: Annotated[bool, Parameter(name="--shrink", negative="--no-shrink")] = True,
    shrink_seconds: float = 900.0,
    patience: Annotated[float, Parameter(validator=validators.Number(gte=1))] = 1.0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    receipts: Path | None = None,
) -> int:
    """Make a plan from the seed, print it, run it, judge.

    Parameters
    ----------
    seed
        The same seed, number of actions and seconds make the same plan. 1..10 runs ten, one after another.
    actions
        How many actions.
    seconds
        Over which time the actions are spread and the match day lasts; by default six for each action.
    only
        Names of actions, with commas between; a trailing * stands for anything. By default all.
    without
        Names of actions to leave out, in the same form.
    step
        Numbers of the plan's steps to run, with commas between: what shrinking found.
    brokers
        Kafka brokers: with three, each topic has three replicas, of which two must be in step.
    plan_only
        Print the plan and stop.
    is_shrunk
        After a failure run parts of the plan again, down to a small one that still fails.
    shrink_seconds
        How long that may take.
    patience
        Stretches every bound so many times, for a machine that is busy or slow.
    as_json
        Print the receipt as JSON on standard output; the rest goes to standard error.
    receipts
        Folder to keep the receipts in; its summary.md says what all of them say together.
    """
    try:
        seeds = seeds_of(seed)
    except ValueError as error:
        sys.stderr.write(f"--seed: {error}; say 7, or 1..10\n")
        return COULD_NOT_RUN
    weights = {
        name: action.weight
        for name, action in EVERY_ACTION.items()
        if action.brokers <= brokers
        and (not only or _is_named(name, only))
        and not (without and _is_named(name, without))
    }
    if not weights:
        sys.stderr.write(
            f"no such action with {brokers} broker(s); there are: {', '.join(sorted(EVERY_ACTION))}\n"
        )
        return COULD_NOT_RUN
    lasts = seconds if seconds is not None else actions * _EACH_SECONDS
    try:
        chosen = {int(number) for number in step.split(",")} if step else set()
    except ValueError:
        sys.stderr.write(f"--step: {step!r} is no list of numbers; say 3,7,12\n")
        return COULD_NOT_RUN
    if missing := sorted(chosen - set(range(1, actions + 1))):
        sys.stderr.write(f"--step: the plan has {actions} steps, and none with the number {missing[0]}\n")
        return COULD_NOT_RUN
    console = Console(stderr=as_json)
    worst = CLEAN
    for one in seeds:
        plan = make_plan(one, actions, lasts, weights, needs_of_all())
        if step:
            plan = part_of_plan([each for each in plan if each.number in chosen])
        if len(seeds) > 1:
            console.rule(f"seed {one}")
        for each in plan:
            console.print(str(each), highlight=False)
        if plan_only:
            continue
        try:
            loaded = configuration.load()
            once = Run(loaded, _folder(loaded, one), one, lasts, patience, brokers, console)
            code = asyncio.run(_torture(once, plan, shrink_seconds if is_shrunk else 0.0, as_json, receipts))
        except _NO_VERDICT as error:
            sys.stderr.write(f"the run of seed {one} says nothing: {type(error).__name__}: {error}\n")
            code = COULD_NOT_RUN
        worst = max(worst, code)
    return worst


class Run(NamedTuple):
    """All of a run but its plan, so that parts of one can be run again."""

    settings: Settings
    folder: Path
    seed: int
    seconds: float
    patience: float
    brokers: int
    console: Console

    async def once(self, plan: Sequence[Step]) -> Outcome:
        """Run a plan in an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        base, data = str(self.settings.port_base), str(self.folder / "data")
        own = configuration.load({"TOUCHLINE_PORT_BASE": base, "TOUCHLINE_DATA": data})
        say = partial(self.console.print, highlight=False, markup=False)
        outcome = await torture(
            own, self.folder, self.seed, plan, self.seconds, say, self.patience, self.brokers
        )
        (self.folder / "receipt.json").write_text(outcome.as_json())
        return outcome


def _is_named(name: str, names: str) -> bool:
    return any(
        name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in names.split(",")
    )


async def _torture(
    run: Run, plan: Sequence[Step], shrink_seconds: float, as_json: bool, receipts: Path | None
) -> int:
    outcome = await run.once(plan)
    show(outcome, run.console)
    if as_json:
        print(outcome.as_json())
    if receipts is not None:
        keep(outcome, receipts)
    if outcome.is_clean:
        shutil.rmtree(run.folder / "data", ignore_errors=True)
        return CLEAN
    run.console.print(f"seed {run.seed}; the plan is above, the logs are in {run.folder}")
    if shrink_seconds:
        await _shrink(run, plan, shrink_seconds)
    return BROKEN


async def _shrink(run: Run, plan: Sequence[Step], seconds: float) -> None:
    """Find and print a small part of a plan that still fails; the logs of the whole one are kept."""
    kept = run.folder.with_name(f"{run.folder.name}-whole")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run.folder, kept, ignore=shutil.ignore_patterns("kafka-*", "postgres", "redis"))
    run.console.print(f"shrinking; the logs of the whole plan are in {kept}")
    deadline = time.monotonic() + seconds

    async def fails(steps: Sequence[Step]) -> bool:
        return not (await run.once(part_of_plan(steps))).is_clean

    small = await shrink(plan, fails, lambda: time.monotonic() < deadline)
    run.console.print(f"still fails with --step {','.join(str(step.number) for step in small)}:")
    for step in small:
        run.console.print(str(step), highlight=False)


def _folder(settings: Settings, seed: int) -> Path:
    return settings.data / "torture" / f"seed-{seed}"


if __name__ == "__main__":
    sys.exit(app())
