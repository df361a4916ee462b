"""A short torture with a fixed seed; `./dev torture` runs longer ones."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import load
from tests.free_ports import a_free_base
from tests.torture.actions import edges, failovers, parked_failovers, processes, servers
from tests.torture.actions.registry import ACTIONS, needs_of_all
from tests.torture.plan import make_plan
from tests.torture.run import torture

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

SEED = 2
# Importing them registers their actions.
EVERY_KIND = (edges, failovers, parked_failovers, processes, servers)
SECONDS = 45.0
PATIENCE = 2.0  # a test machine has other work
# One of each kind of harm; each of the others has its turn in longer runs.
KINDS = (
    "kill_lane",
    "crash:enrich.after_redo",
    "crash:enrich.within_copy",
    "crash:deliver.between_top_and_append",
    "zombie_lane",
    "delete_store",
    "zone_lost",
    "lossy_failover_while_parked",
    "terminate_backends",
    "pause_redis",
    "swallow_and_cut_an_edge",
    "kill_gateway",
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    print(f"seed {SEED}; the logs are in {tmp_path}")


def test_every_promise_holds_under_torture(folder: Path) -> None:
    """Nothing lost, nothing twice, all in order, and back in time, after one of each kind of harm."""
    base = a_free_base()
    settings = load({"TOUCHLINE_PORT_BASE": str(base), "TOUCHLINE_DATA": str(folder / "data")})
    plan = make_plan(
        SEED, len(KINDS), SECONDS, {kind: ACTIONS[kind].weight for kind in KINDS}, needs_of_all()
    )
    for step in plan:
        print(step)
    outcome = asyncio.run(torture(settings, folder, SEED, plan, SECONDS, print, PATIENCE))
    assert not outcome.violations
    assert [done.step.action for done in outcome.done if done.not_reached] == []
    assert outcome.acknowledged > 0
