"""A match is parked and released under load, and its lane dies in between."""

import asyncio
from random import Random

from tests.torture import crash_points
from tests.torture.actions.commands import run_recovery
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.load import pulse_matches
from tests.torture.rig import LANES, Rig

GOES_ON = "a parked match goes on"
_OBEYED_WITHIN_SECONDS = 60.0
_TOLD_WITHIN_SECONDS = 180.0  # with a failover in between, and a lane that comes back from it


@action(needs="lanes kafka")
async def park_and_release(rig: Rig, draw: Random) -> None:
    """Park a match under load, SIGKILL its lane while it waits or in the middle of its release."""
    shard, match = draw.choice(sorted(pulse_matches(rig.settings.shards).items()))
    lane = f"enrich-{shard % LANES}"
    point = crash_points.BY_KEY["enrich.within_a_release"]
    is_armed = False
    try:
        await tell(rig, "park", match)
        await asyncio.sleep(draw.uniform(0.5, 2))
        if draw.random() < 0.5:
            await rig.kill(lane)
            await asyncio.sleep(draw.uniform(0, 2))
        else:
            is_armed = True
            crash_points.arm(rig.folder, point, 0)
    finally:
        try:
            await tell(rig, "release", match)
        finally:
            crash_points.disarm(rig.folder, point)
    if is_armed and not crash_points.has_fired(rig.folder, point):
        raise NotReachedError("no lane came by the middle of a release")


async def tell(rig: Rig, what: str, match: str) -> None:
    """Say it until a lane has obeyed: what got no answer is still in Kafka, and may be obeyed late."""
    within = f"{_OBEYED_WITHIN_SECONDS * rig.patience:g}s"
    clock = asyncio.get_running_loop().time
    deadline = clock() + _TOLD_WITHIN_SECONDS * rig.patience
    said = ""
    while clock() < deadline:
        answer = await run_recovery(rig, "deadletters", what, match, "--yes", "--within", within)
        if answer.status == 0:
            return
        said = answer.said
        await asyncio.sleep(1)
    rig.violations.append((GOES_ON, f"{what} {match}: {said}"))
