"""Failovers: another server takes over, with all of the history or without its end.

Each one goes there and back, so that a run ends on the ports it began with.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random

from redis import Redis, RedisError

from local.ports import is_free
from local.spawn import spawn
from tests.torture.actions.holding import held_down
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.actions.standby import (
    BESIDE,
    configure,
    copy_primary,
    lag,
    lead,
    move_in,
    standby,
    with_option,
)
from tests.torture.rig import Rig

_FAILOVER_BOUND = timedelta(seconds=60)
# The relay comes back some time after the lanes have begun to write again.
_AWAY_SECONDS = (1.0, 4.0)


# -- Redis


@action(bound=_FAILOVER_BOUND, needs="redis")
async def redis_failover(rig: Rig, draw: Random) -> None:
    """Redis fails over to a replica that lags, and later back to one that lags."""
    home, beside = rig.settings.port("redis"), rig.settings.port_base + BESIDE
    assert is_free(beside)
    folder = rig.folder / "redis-beside"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    child = rig.watch("redis").child
    argv = with_option(with_option(child.argv, "--port", str(beside)), "--dir", str(folder))
    replica = await spawn(
        replace(child, argv=(*argv, "--replicaof", f"127.0.0.1 {home}"), run_as=None),
        rig.folder / "redis-beside.log",
    )
    try:
        await asyncio.to_thread(_wait_for_link, beside)
        async with _lagging(replica.pid, draw):
            pid = rig.pid("redis")
            await rig.kill("redis")
        assert pid is not None
        await asyncio.to_thread(_make_master, beside)
        lead(rig, "redis", beside)
        await rig.until_serves("redis")
        await asyncio.to_thread(_follow, home, beside)
        await asyncio.sleep(draw.uniform(1, 3))
        home_pid = rig.pid("redis")
        assert home_pid is not None
        async with _lagging(home_pid, draw):
            replica.kill()
            await replica.wait()
        await asyncio.to_thread(_make_master, home)
    finally:
        if replica.returncode is None:
            replica.kill()
            await replica.wait()
        with suppress(RedisError):
            await asyncio.to_thread(_make_master, home)
        lead(rig, "redis", home)


@asynccontextmanager
async def _lagging(pid: int, draw: Random) -> AsyncIterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(draw.uniform(0.2, 1.2))
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _ask(port: int) -> Redis:
    return Redis(port=port, socket_timeout=10)


def _make_master(port: int) -> None:
    _ask(port).replicaof("NO", "ONE")


def _follow(port: int, master: int) -> None:
    _ask(port).replicaof("127.0.0.1", str(master))
    _wait_for_link(port)


def _wait_for_link(port: int) -> None:
    for _ in range(600):
        with suppress(RedisError):
            if _ask(port).info("replication").get("master_link_status") == "up":
                return
        subprocess.run(["sleep", "0.05"], check=True)
    raise TimeoutError(f"the replica on port {port} did not come into step")


# -- PostgreSQL
# Where commits are lost nobody may withhold the answers to them, on an edge or from a lane that is stopped:
# a lane that saw no answer finds nothing missing, and rightly begins no new generation.


@action(bound=_FAILOVER_BOUND, needs="postgres")
async def postgres_sync_failover(rig: Rig, draw: Random) -> None:
    """PostgreSQL fails over to a synchronous standby: nothing that was committed may be missing."""
    async with standby(rig) as other:
        configure(rig, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await other.is_level("sync")
        await asyncio.sleep(draw.uniform(0.5, 2))
        await other.take_over(draw)


@action(bound=_FAILOVER_BOUND, needs="postgres edges")
async def postgres_lossy_failover(rig: Rig, draw: Random) -> None:
    """PostgreSQL fails over to an asynchronous standby that lacks the last commits."""
    async with standby(rig) as other:
        await lag(other, draw)
        if not await other.take_over(draw):
            raise NotReachedError(_NOTHING_LOST)


@action(weight=2, bound=_FAILOVER_BOUND, needs="postgres relay edges")
async def lossy_failover_without_relay(rig: Rig, draw: Random) -> None:
    """The same while the relay is away: nobody compares streams and log until it comes back."""
    async with standby(rig) as other, _without_relay(rig, draw):
        await lag(other, draw)
        if not await other.take_over(draw):
            raise NotReachedError(_NOTHING_LOST)
        await asyncio.sleep(draw.uniform(*_AWAY_SECONDS))


@action(weight=3, bound=_FAILOVER_BOUND, needs="postgres redis relay edges")
async def zone_lost(rig: Rig, draw: Random) -> None:
    """PostgreSQL fails over to a standby that lags, and Redis comes back empty in the same instant."""
    empty = draw.choice((_start_empty, _flush))
    is_relay_away = draw.random() < 0.5
    async with standby(rig) as other, AsyncExitStack() as away:
        if is_relay_away:
            await away.enter_async_context(_without_relay(rig, draw))
        await lag(other, draw)
        if not await other.take_over(draw, partial(empty, rig)):
            raise NotReachedError(_NOTHING_LOST)
        if is_relay_away:
            await asyncio.sleep(draw.uniform(*_AWAY_SECONDS))


_NOTHING_LOST = "no log lost anything: nothing was committed while the standby lagged"


@asynccontextmanager
async def _without_relay(rig: Rig, draw: Random) -> AsyncIterator[None]:
    """Kill the relay, which then reads how far it was, or let it sleep, after which it believes it."""
    if draw.random() < 0.5:
        async with held_down(rig, "deliver"):
            yield
        return
    rig.signal("deliver", signal.SIGSTOP)
    try:
        yield
    finally:
        rig.signal("deliver", signal.SIGCONT)


async def _start_empty(rig: Rig) -> None:
    await rig.restart("redis", partial(shutil.rmtree, rig.settings.data / "redis" / "appendonlydir"))
    await rig.until_serves("redis")


async def _flush(rig: Rig) -> None:
    await asyncio.to_thread(_ask(rig.settings.port("redis")).flushall)


@action(bound=_FAILOVER_BOUND, needs="postgres edges")
async def postgres_restored(rig: Rig, draw: Random) -> None:
    """PostgreSQL is restored to an earlier point, while Redis, gateway, stores and fans are ahead of it."""
    primary = rig.watch("postgres").child
    copy = rig.settings.data / "postgres" / "beside"
    await asyncio.to_thread(copy_primary, primary, copy, rig.settings.port("postgres"))
    await asyncio.sleep(draw.uniform(4, 8))
    async with held_down(rig, "postgres") as before_it_starts:
        before_it_starts(partial(move_in, rig, copy))
