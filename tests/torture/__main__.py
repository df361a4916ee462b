"""`./dev torture`: kill, stop, cut and fill everything, and check every promise afterwards."""

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators
from rich.console import Console

import settings as configuration
from settings import Settings
from tests.torture.actions import edges, failovers, processes, servers
from tests.torture.actions.registry import ACTIONS
from tests.torture.load import LoadFailedError
from tests.torture.plan import Step, make_plan, part_of_plan
from tests.torture.report import Outcome, show
from tests.torture.run import torture
from tests.torture.shrink import shrink

_REGISTERED = (edges, failovers, processes, servers)  # importing them is what fills ACTIONS
_EACH_SECONDS = 6.0  # an action and what follows it, on average
CLEAN, BROKEN, COULD_NOT_RUN = 0, 1, 2

app = App(
    name="./dev torture",
    help="Torture a platform of its own under load, then check every promise. Its data lies in"
    " TOUCHLINE_DATA/torture, its ports start at TOUCHLINE_PORT_BASE, so no other stack may run there."
    " Exit status: 0 every promise held, 1 one broke, 2 it could not run.",
    version_flags=(),
)


@app.default
def run(
    *,
    seed: int = 1,
    actions: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 12,
    seconds: float | None = None,
    only: str = "",
    without: str = "",
    step: str = "",
    plan_only: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    is_shrunk: Annotated[bool, Parameter(name="--shrink", negative="")] = False,
    shrink_seconds: float = 1800.0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make a plan from the seed, print it, run it, judge.

    Parameters
    ----------
    seed
        The same seed, number of actions and seconds make the same plan.
    actions
        How many actions.
    seconds
        Over which time the actions are spread and the match day lasts; by default six for each action.
    only
        Names of actions, with commas between; a trailing * stands for anything. By default all.
    without
        Names of actions to leave out, in the same form.
    step
        Numbers of the plan's steps to run, with commas between: what --shrink found.
    plan_only
        Print the plan and stop.
    is_shrunk
        After a failure run parts of the plan again, down to a small one that still fails.
    shrink_seconds
        How long that may take.
    as_json
        Print the receipt as JSON on standard output; the rest goes to standard error.
    """
    weights = {
        name: action.weight
        for name, action in ACTIONS.items()
        if (not only or _is_named(name, only)) and not (without and _is_named(name, without))
    }
    if not weights:
        sys.stderr.write(f"no such action; there are: {', '.join(sorted(ACTIONS))}\n")
        return COULD_NOT_RUN
    lasts = seconds if seconds is not None else actions * _EACH_SECONDS
    plan = make_plan(seed, actions, lasts, weights)
    if step:
        chosen = {int(number) for number in step.split(",")}
        plan = part_of_plan([each for each in plan if each.number in chosen])
    console = Console(stderr=as_json)
    for each in plan:
        console.print(str(each), highlight=False)
    if plan_only:
        return CLEAN
    try:
        return asyncio.run(
            _torture(configuration.load(), seed, plan, lasts, is_shrunk, shrink_seconds, as_json)
        )
    except LoadFailedError as error:
        sys.stderr.write(f"the run says nothing: {error}\n")
        return COULD_NOT_RUN


def _is_named(name: str, names: str) -> bool:
    return any(
        name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in names.split(",")
    )


async def _torture(
    settings: Settings,
    seed: int,
    plan: Sequence[Step],
    seconds: float,
    is_shrunk: bool,
    shrink_seconds: float,
    as_json: bool,
) -> int:
    console = Console(stderr=as_json)
    outcome = await _once(settings, seed, plan, seconds, console)
    show(outcome, console)
    if as_json:
        print(outcome.as_json())
    if outcome.is_clean:
        return CLEAN
    console.print(f"seed {seed}; the plan is above, the logs are in {_folder(settings)}")
    if is_shrunk:
        kept = settings.data / f"torture-seed-{seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(
            _folder(settings), kept, ignore=shutil.ignore_patterns("kafka-*", "postgres", "redis")
        )
        deadline = time.monotonic() + shrink_seconds

        async def fails(steps: Sequence[Step]) -> bool:
            again = await _once(settings, seed, part_of_plan(steps), seconds, console)
            return not again.is_clean

        small = await shrink(plan, fails, lambda: time.monotonic() < deadline)
        console.print(f"still fails with --step {','.join(str(each.number) for each in small)}:")
        for each in small:
            console.print(str(each), highlight=False)
    return BROKEN


def _folder(settings: Settings) -> Path:
    return settings.data / "torture"


async def _once(
    settings: Settings, seed: int, plan: Sequence[Step], seconds: float, console: Console
) -> Outcome:
    """One run in an empty folder."""
    folder = _folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = configuration.load(
        {"TOUCHLINE_PORT_BASE": str(settings.port_base), "TOUCHLINE_DATA": str(folder / "data")}
    )
    say = partial(console.print, highlight=False, markup=False)
    outcome = await torture(own, folder, seed, plan, seconds, say)
    (folder / "receipt.json").write_text(outcome.as_json())
    return outcome


if __name__ == "__main__":
    sys.exit(app())
