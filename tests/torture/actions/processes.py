"""Harm to the platform's own processes: killed, stopped for a while, doubled."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

from local.child import State
from storage.recovery_store import read_store
from storage.store_errors import StoreError
from storage.store_file import StoreFile
from tests.torture import crash_points
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.crash_points import POINTS, CrashPoint
from tests.torture.rig import LANES, NotInTimeError, Rig

# A lane may just be coming back from what was done to it before.
_COMES_BY_WITHIN_SECONDS = 20.0
_IS_UP_WITHIN_SECONDS = 45.0  # one that gave way waits for its turn for thirty
_GIVES_WAY_WITHIN_SECONDS = 25.0
ONE_WRITER = "one writer"
_AT_A_START = ("within_prepare", "after_taking_a_shard", "after_redo", "after_lock")
_NEEDS_OF = {"enrich": "lanes", "deliver": "relay redis", "ingest": "ingest", "gateway": "gateway"}
_UNCLOSED = (
    "INSERT OR IGNORE INTO snaps (step_id, state_key, snap_epoch, ser_change)"
    " SELECT step_id, state_key, ?1, ser_change FROM snaps"
    " UNION ALL SELECT 'enrich.dedupe', 'a store without any', ?1, x'80'"
)


def a_lane(draw: Random) -> str:
    return f"enrich-{draw.randrange(LANES)}"


@action(weight=3, needs="lanes")
async def kill_lane(rig: Rig, draw: Random) -> None:
    """SIGKILL a lane at a random moment."""
    await rig.kill(a_lane(draw))


@action(weight=2, needs="relay")
async def kill_relay(rig: Rig, draw: Random) -> None:
    """SIGKILL the relay at a random moment."""
    await rig.kill("deliver")


@action(weight=2, needs="gateway")
async def kill_gateway(rig: Rig, draw: Random) -> None:
    """SIGKILL the gateway: fans come back and go on where they were."""
    await rig.kill("gateway")


@action(weight=2, needs="ingest")
async def kill_ingest(rig: Rig, draw: Random) -> None:
    """SIGKILL ingest: what it had not acknowledged is sent again."""
    await rig.kill("ingest")


@action(needs="lanes")
async def stop_lane(rig: Rig, draw: Random) -> None:
    """SIGTERM a lane: it closes its flow epoch and is started again."""
    lane = a_lane(draw)
    pid = rig.pid(lane)
    if rig.signal(lane, signal.SIGTERM):
        await rig.until(lambda: rig.pid(lane) != pid, 30, f"{lane} to end after SIGTERM")


@action(needs="lanes postgres")
async def pause_lane(rig: Rig, draw: Random) -> None:
    """SIGSTOP a lane for seconds; nobody takes over."""
    await _pause(rig, a_lane(draw), draw.uniform(1, 5))


@action(needs="relay")
async def pause_relay(rig: Rig, draw: Random) -> None:
    """SIGSTOP the relay for seconds: it wakes with an old picture of streams and log."""
    await _pause(rig, "deliver", draw.uniform(1, 4))


@action(weight=0.5, needs="gateway")
async def pause_gateway(rig: Rig, draw: Random) -> None:
    """SIGSTOP the gateway for seconds."""
    await _pause(rig, "gateway", draw.uniform(1, 4))


@action(weight=1.5, needs="lanes postgres kafka edges clock")
async def zombie_lane(rig: Rig, draw: Random) -> None:
    """SIGSTOP a lane, let another one take its shards, SIGCONT: it must give way."""
    lane = a_lane(draw)
    pid = await _supervised(rig, lane)
    os.kill(pid, signal.SIGSTOP)
    try:
        await rig.start_second_lane(lane)
        await asyncio.sleep(draw.uniform(3.5, 5))
    finally:
        os.kill(pid, signal.SIGCONT)
    await _gives_way(rig, lane, pid)


@action(weight=0.7, needs="lanes postgres kafka edges clock")
async def two_lanes(rig: Rig, draw: Random) -> None:
    """Start another lane on the partitions of a running one: the first must give way."""
    lane = a_lane(draw)
    pid = await _supervised(rig, lane)
    await rig.start_second_lane(lane)
    await _gives_way(rig, lane, pid)


@action(weight=0.5, needs="clock")
async def clock_jump(rig: Rig, draw: Random) -> None:
    """Let the lanes' clock jump, ahead or back, for seconds."""
    file = rig.folder / "clock"
    file.write_text(str(draw.choice((-3600.0, -5.0, 30.0, 7200.0))))
    try:
        await asyncio.sleep(draw.uniform(1, 3))
    finally:
        file.unlink()


@action(needs="lanes")
async def delete_store(rig: Rig, draw: Random) -> None:
    """Delete the recovery store of a lane while it is down."""
    lane = a_lane(draw)
    store = rig.store(lane)
    await rig.restart(lane, lambda: shutil.rmtree(store, ignore_errors=True))


@action(weight=0.7, needs="lanes")
async def swap_stores(rig: Rig, draw: Random) -> None:
    """Swap the recovery stores of two lanes while both are down."""
    first, second = rig.store("enrich-0"), rig.store("enrich-1")
    swapped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_the_swap() -> None:
        asyncio.run_coroutine_threadsafe(swapped.wait(), loop).result(60)

    rig.errands.setdefault("enrich-1", []).append(wait_for_the_swap)
    await rig.kill("enrich-1")

    def swap() -> None:
        aside = first.with_name("aside")
        with suppress(FileNotFoundError):
            first.rename(aside)
            second.rename(first)
            aside.rename(second)
        loop.call_soon_threadsafe(swapped.set)

    try:
        await rig.restart("enrich-0", swap)
    finally:
        swapped.set()
    await rig.until_up("enrich-1")


@action(needs="lanes")
async def old_store(rig: Rig, draw: Random) -> None:
    """Put an older copy of a lane's recovery store back, after the lane worked on."""
    lane = a_lane(draw)
    store, copy = rig.store(lane), rig.folder / f"old-{lane}"

    def take() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        if store.exists():
            shutil.copytree(store, copy)

    def put_back() -> None:
        if copy.exists():
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(copy, store)

    await rig.restart(lane, take)
    await asyncio.sleep(draw.uniform(4, 6))
    await rig.restart(lane, put_back)


async def _pause(rig: Rig, part: str, seconds: float) -> None:
    pid = rig.pid(part)
    if pid is None:
        raise NotReachedError(f"{part} does not run")
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def _supervised(rig: Rig, lane: str) -> int:
    """The lane's own process; one that gave way a moment ago comes back first."""
    watch = rig.watch(lane)
    try:
        await rig.until(lambda: watch.state is State.UP, _IS_UP_WITHIN_SECONDS, f"{lane} to be up")
    except NotInTimeError as error:
        raise NotReachedError(str(error)) from error
    if watch.pid is None:
        raise NotReachedError(f"{lane} has just ended")
    return watch.pid


async def _gives_way(rig: Rig, lane: str, pid: int) -> None:
    """A lane whose shards another one took ends by itself, with the code that says so."""
    watch = rig.watch(lane)
    try:
        # Its supervisor says how it ended a moment after it is gone.
        await rig.until(
            lambda: watch.pid != pid and watch.state is not State.UP,
            _GIVES_WAY_WITHIN_SECONDS,
            f"{lane} to give way",
        )
    except NotInTimeError as error:
        rig.violations.append((ONE_WRITER, f"{error}: it still runs beside the lane that took its shards"))
        return
    if "killed by SIGKILL" in watch.detail:
        # No lane does that to itself: a crash point of a step that goes on beside this one came first.
        raise NotReachedError(f"{lane} was killed before it could give way")
    if f"exited with {os.EX_TEMPFAIL}" not in watch.detail:
        rig.violations.append((ONE_WRITER, f"{lane} did not give way, it {watch.detail}"))


def _crash_at(point: CrashPoint) -> None:
    async def crash(rig: Rig, draw: Random) -> None:
        part = a_lane(draw) if point.part == "enrich" else point.part
        passes = 0 if point.name in _AT_A_START else draw.randrange(4)
        crash_points.arm(rig.folder, point, passes)
        try:
            await _provoke(rig, point, part)
            await rig.until(
                lambda: crash_points.has_fired(rig.folder, point),
                _COMES_BY_WITHIN_SECONDS,
                f"{point.part} to come by {point.name}",
            )
        except NotInTimeError as error:
            raise NotReachedError(str(error)) from error
        finally:
            crash_points.disarm(rig.folder, point)

    crash.__name__ = f"crash:{point.key}"
    crash.__doc__ = f"SIGKILL of {point.part} {point.when} {point.function}."
    action(needs=_NEEDS_OF[point.part])(crash)


async def _provoke(rig: Rig, point: CrashPoint, part: str) -> None:
    """Bring about what makes a process come by a place that is off its usual way."""
    if point.name == "within_prepare":
        made = f"{part} to have made its store"
        await rig.until(lambda: any(rig.store(part).glob("*.sqlite3")), _COMES_BY_WITHIN_SECONDS, made)
        await rig.restart(part, lambda: _leave_unclosed_rows(rig.store(part)))
    elif point.name in _AT_A_START:
        await rig.kill(part)
    elif point.part == "deliver" and "kafka" not in point.name:
        await asyncio.to_thread(rig.forget_streams)


def _leave_unclosed_rows(directory: Path) -> None:
    """What a lane leaves that died between its snapshots and the end of their flow epoch.

    Prepare has nothing to delete otherwise: a kill at a random moment meets these
    milliseconds too seldom.
    """
    with suppress(StoreError):  # the lane will make a new one
        store = read_store(directory)
        for path in store.files.values():
            with StoreFile(path, mode="rw") as file:
                file.write(_UNCLOSED, store.resume_epoch + 1)


# Nobody comes by these but in an action of their own.
_OF_OTHERS = ("migration.", "restore.", "enrich.within_a_release")

for _point in POINTS:
    if not _point.key.startswith(_OF_OTHERS):
        _crash_at(_point)
