"""A crash in the middle of a restore of a lane's recovery store."""

import asyncio
import signal
from random import Random

from tests.torture import crash_points
from tests.torture.actions.commands import run_recovery
from tests.torture.actions.holding import held_down
from tests.torture.actions.processes import a_lane
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.crash_points import POINTS
from tests.torture.rig import Rig

WHOLE = "a restore leaves a store"
_PART = "restore"
_WORKS_ON_SECONDS = (1.0, 4.0)


@action(weight=0.7, needs="lanes postgres kafka")
async def crash_in_a_restore(rig: Rig, draw: Random) -> None:
    """SIGKILL whoever restores a lane's store from a backup; the lane starts, or first it is done again."""
    lane = a_lane(draw)
    point = draw.choice([point for point in POINTS if point.part == _PART])
    is_done_again = draw.random() < 0.5
    taken = await run_recovery(rig, "backup", "create", "--no-verify")
    if taken.status != 0:
        raise NotReachedError(f"no backup was taken: {taken.said}")
    await asyncio.sleep(draw.uniform(*_WORKS_ON_SECONDS))
    async with held_down(rig, lane):
        crash_points.arm(rig.folder, point, 0)
        try:
            killed = await run_recovery(rig, "restore", "--store", lane, part=_PART)
        finally:
            crash_points.disarm(rig.folder, point)
        if killed.status != -signal.SIGKILL:
            raise NotReachedError(f"the restore was not killed at {point.name}: {killed.said}")
        if is_done_again:
            again = await run_recovery(rig, "restore", "--store", lane)
            if again.status != 0:
                detail = f"killed at {point.name}, the next one ended with {again.status}: {again.said}"
                rig.violations.append((WHOLE, detail))
        if not rig.store(lane).exists():
            rig.violations.append((WHOLE, f"{lane} has none after a restore that was killed at {point.name}"))
