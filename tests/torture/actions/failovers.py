"""Failovers: another server takes over, with all of the history or without its end.

Each one goes there and back, so that a run ends on the ports it began with.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import psycopg
from redis import Redis, RedisError

from local import probes
from local.child import Child, NotReadyError
from local.ports import is_free
from local.servers.postgres import BINARIES, ROLE, superuser_dsn
from local.spawn import command_line, spawn
from tests.torture.actions.holding import held_down
from tests.torture.actions.registry import action
from tests.torture.proxy import FaultProxy
from tests.torture.rig import Rig

_BESIDE = 120  # the second server's port above the port base
_SYNC_STATE = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
_FAILOVER_BOUND = timedelta(seconds=60)


def _lead(rig: Rig, server: str, port: int) -> None:
    for name, proxy in rig.proxies.items():
        if name.endswith(f" to {server}"):
            proxy.lead_to(port)


async def _answers(child: Child) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(NotReadyError):
                await child.probe()
                return
            await asyncio.sleep(0.05)


# -- Redis


@action(bound=_FAILOVER_BOUND)
async def redis_failover(rig: Rig, draw: Random) -> None:
    """Redis fails over to a replica that lags, and later back to one that lags."""
    home, beside = rig.settings.port("redis"), rig.settings.port_base + _BESIDE
    assert is_free(beside)
    folder = rig.folder / "redis-beside"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    child = rig.watch("redis").child
    argv = _with_option(_with_option(child.argv, "--port", str(beside)), "--dir", str(folder))
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
        _lead(rig, "redis", beside)
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
        _lead(rig, "redis", home)


@asynccontextmanager
async def _lagging(pid: int, draw: Random) -> AsyncIterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(draw.uniform(0.2, 1.2))
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _with_option(argv: tuple[str, ...], option: str, value: str) -> tuple[str, ...]:
    at = argv.index(option) + 1
    return (*argv[:at], value, *argv[at + 1 :])


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


@action(bound=_FAILOVER_BOUND)
async def postgres_sync_failover(rig: Rig, draw: Random) -> None:
    """PostgreSQL fails over to a synchronous standby: nothing that was committed may be missing."""
    async with _standby(rig) as (standby, _):
        _configure(rig, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await asyncio.to_thread(_wait_for_standby, rig, "sync")
        await asyncio.sleep(draw.uniform(0.5, 2))
        await _take_over(rig, standby, draw)


@action(bound=_FAILOVER_BOUND)
async def postgres_lossy_failover(rig: Rig, draw: Random) -> None:
    """PostgreSQL fails over to an asynchronous standby that lacks the last commits."""
    async with _standby(rig) as (standby, way):
        await asyncio.to_thread(_wait_for_standby, rig, "async")
        way.swallow()
        await asyncio.sleep(draw.uniform(0.5, 2))
        await _take_over(rig, standby, draw)


@action(bound=_FAILOVER_BOUND)
async def postgres_restored(rig: Rig, draw: Random) -> None:
    """PostgreSQL is restored to an earlier point, while Redis, gateway, stores and fans are ahead of it."""
    primary = rig.watch("postgres").child
    copy = rig.settings.data / "postgres" / "beside"
    await asyncio.to_thread(_copy_primary, primary, copy, rig.settings.port("postgres"))
    await asyncio.sleep(draw.uniform(4, 8))
    async with held_down(rig, "postgres") as before_it_starts:
        before_it_starts(partial(_move_in, rig, copy))


@asynccontextmanager
async def _standby(rig: Rig) -> AsyncIterator[tuple[Child, FaultProxy]]:
    """A standby beside the primary, that follows it through a proxy."""
    way = await FaultProxy.listening("standby to postgres", rig.settings.port("postgres"))
    folder = rig.settings.data / "postgres" / "beside"
    child = rig.watch("postgres").child
    port = rig.settings.port_base + _BESIDE + 1
    argv = tuple(f"port={port}" if word.startswith("port=") else word for word in child.argv)
    argv = _with_option(argv, "-D", str(folder))
    standby = replace(child, name="postgres-beside", argv=argv, probe=probes.postgres(port), before=None)
    try:
        await asyncio.to_thread(_copy_primary, standby, folder, way.port)
        process = await spawn(standby, rig.folder / "postgres-beside.log")
        try:
            await _answers(standby)
            yield standby, way
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await process.wait()
    finally:
        await way.close()
        with suppress(psycopg.Error):
            _configure(rig, "ALTER SYSTEM RESET synchronous_standby_names")
        _lead(rig, "postgres", rig.settings.port("postgres"))


def _copy_primary(standby: Child, folder: Path, port: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    connection = f"host=127.0.0.1 port={port} user={ROLE}"
    options = ("-D", str(folder), "-d", connection, "-R", "-X", "stream", "-c", "fast")
    argv = (str(BINARIES / "pg_basebackup"), *options)
    _run(standby, argv)


def _configure(rig: Rig, statement: str) -> None:
    with psycopg.connect(superuser_dsn(rig.settings), autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")


def _wait_for_standby(rig: Rig, state: str) -> None:
    with psycopg.connect(superuser_dsn(rig.settings), autocommit=True) as connection:
        for _ in range(600):
            row = connection.execute(_SYNC_STATE).fetchone()
            if row is not None and row[0] == state:
                return
            connection.execute("SELECT pg_sleep(0.05)")
    raise TimeoutError(f"no {state} standby")


async def _take_over(rig: Rig, standby: Child, draw: Random) -> None:
    """The primary dies, the standby is promoted; later its data move to the primary's place."""
    beside = rig.settings.data / "postgres" / "beside"
    port = rig.settings.port_base + _BESIDE + 1
    async with held_down(rig, "postgres") as before_it_starts:
        await asyncio.to_thread(_promote, standby, beside)
        _lead(rig, "postgres", port)
        await asyncio.sleep(draw.uniform(3, 5))
        await asyncio.to_thread(_stop, standby, beside)

        before_it_starts(partial(_move_in, rig, beside))
    _lead(rig, "postgres", rig.settings.port("postgres"))


def _move_in(rig: Rig, copy: Path) -> None:
    """Put a data folder in the primary's place; what made it a standby's stays behind."""
    home = rig.settings.data / "postgres" / "data"
    shutil.rmtree(home)
    copy.rename(home)
    (home / "standby.signal").unlink(missing_ok=True)
    (home / "postgresql.auto.conf").write_text("")


def _promote(standby: Child, folder: Path) -> None:
    _pg_ctl(standby, "promote", "-D", str(folder), "-w")


def _stop(standby: Child, folder: Path) -> None:
    _pg_ctl(standby, "stop", "-D", str(folder), "-m", "fast", "-w")


def _pg_ctl(standby: Child, *arguments: str) -> None:
    _run(standby, (str(BINARIES / "pg_ctl"), *arguments))


def _run(standby: Child, argv: tuple[str, ...]) -> None:
    """Run a program as the user of the database."""
    wrapped = command_line(argv, standby.run_as, signal.SIGTERM)
    done = subprocess.run(wrapped, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: {done.stdout}{done.stderr}")
