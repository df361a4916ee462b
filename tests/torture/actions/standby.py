"""A PostgreSQL standby beside the primary, and how it takes the primary's place.

It goes there and back, so that a run ends on the ports it began with.
"""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import psycopg

from local import probes
from local.child import Child, NotReadyError
from local.servers.postgres import BINARIES, ROLE, superuser_dsn
from local.spawn import command_line, spawn
from tests.torture.actions.holding import held_down
from tests.torture.proxy import FaultProxy
from tests.torture.rig import Rig
from tests.torture.witness import Fall

BESIDE = 120  # the second server's port above the port base
_SYNC_STATE = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
_IS_LEVEL = "SELECT bool_and(flush_lsn >= %s) FROM pg_stat_replication WHERE state = 'streaming'"
_WRITTEN = "SELECT pg_current_wal_flush_lsn()"
_TRIES = 600
_TRIES_EVERY_SECONDS = 0.05
_LAG_SECONDS = (0.02, 0.3)  # as asynchronous standbys have it


def lead(rig: Rig, server: str, port: int) -> None:
    """Send every part to a server of this kind at another port."""
    for name, proxy in rig.proxies.items():
        if name.endswith(f" to {server}"):
            proxy.lead_to(port)


async def answers(child: Child) -> None:
    """Wait until a server answers its probe."""
    async with asyncio.timeout(60):
        while True:
            with suppress(NotReadyError):
                await child.probe()
                return
            await asyncio.sleep(_TRIES_EVERY_SECONDS)


def with_option(argv: tuple[str, ...], option: str, value: str) -> tuple[str, ...]:
    at = argv.index(option) + 1
    return (*argv[:at], value, *argv[at + 1 :])


class Standby:
    """A server that follows the primary through a proxy."""

    def __init__(self, rig: Rig, way: FaultProxy) -> None:
        primary = rig.watch("postgres").child
        self.way = way
        self.folder = rig.settings.data / "postgres" / "beside"
        self.port = rig.settings.port_base + BESIDE + 1
        argv = tuple(f"port={self.port}" if word.startswith("port=") else word for word in primary.argv)
        self.child = replace(
            primary,
            name="postgres-beside",
            argv=with_option(argv, "-D", str(self.folder)),
            probe=probes.postgres(self.port),
            before=None,
        )
        self._rig = rig

    async def is_level(self, state: str) -> None:
        """Wait until it follows in this way, and has all that the primary has by now."""
        await asyncio.to_thread(_wait_for_standby, self._rig, state)

    async def take_over(
        self, draw: Random, at_once: Callable[[], Coroutine[None, None, None]] | None = None
    ) -> list[Fall]:
        """The primary dies, this one is promoted; later its data move to the primary's place.

        Returns which logs lost their end. `at_once` is done in the instant in
        which the primary dies.
        """
        rig = self._rig
        # Nobody writes to it before it is led to, so what fell is seen whole.
        await asyncio.to_thread(rig.witness.read)
        meanwhile = asyncio.create_task(at_once()) if at_once is not None else None
        try:
            async with held_down(rig, "postgres") as before_it_starts:
                await asyncio.to_thread(self._promote)
                fell = await asyncio.to_thread(rig.witness.read_from, self._dsn)
                lead(rig, "postgres", self.port)
                await asyncio.sleep(draw.uniform(3, 5))
                await asyncio.to_thread(self._stop)
                before_it_starts(partial(move_in, rig, self.folder))
        finally:
            if meanwhile is not None:
                await meanwhile
        lead(rig, "postgres", rig.settings.port("postgres"))
        return fell

    @property
    def _dsn(self) -> str:
        home = f":{self._rig.settings.port('postgres')}/"
        return self._rig.settings.postgres.replace(home, f":{self.port}/")

    def _promote(self) -> None:
        _pg_ctl(self.child, "promote", "-D", str(self.folder), "-w")

    def _stop(self) -> None:
        _pg_ctl(self.child, "stop", "-D", str(self.folder), "-m", "fast", "-w")


@asynccontextmanager
async def standby(rig: Rig) -> AsyncIterator[Standby]:
    """A standby beside the primary."""
    way = await FaultProxy.listening("standby to postgres", rig.settings.port("postgres"))
    made = Standby(rig, way)
    try:
        await asyncio.to_thread(copy_primary, made.child, made.folder, way.port)
        process = await spawn(made.child, rig.folder / "postgres-beside.log")
        try:
            await answers(made.child)
            yield made
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await process.wait()
    finally:
        await way.close()
        with suppress(psycopg.Error):
            configure(rig, "ALTER SYSTEM RESET synchronous_standby_names")
        lead(rig, "postgres", rig.settings.port("postgres"))


async def lag(behind: Standby, draw: Random) -> None:
    """Let a standby that is level fall behind, as far as asynchronous ones are under load."""
    await behind.is_level("async")
    behind.way.swallow()
    await asyncio.sleep(draw.uniform(*_LAG_SECONDS))


def copy_primary(server: Child, folder: Path, port: int) -> None:
    """Copy the data of the server at a port, as a standby of it."""
    shutil.rmtree(folder, ignore_errors=True)
    connection = f"host=127.0.0.1 port={port} user={ROLE}"
    options = ("-D", str(folder), "-d", connection, "-R", "-X", "stream", "-c", "fast")
    _run(server, (str(BINARIES / "pg_basebackup"), *options))


def move_in(rig: Rig, copy: Path) -> None:
    """Put a data folder in the primary's place; what made it a standby's stays behind."""
    home = rig.settings.data / "postgres" / "data"
    shutil.rmtree(home)
    copy.rename(home)
    (home / "standby.signal").unlink(missing_ok=True)
    (home / "postgresql.auto.conf").write_text("")


def configure(rig: Rig, statement: str) -> None:
    with psycopg.connect(superuser_dsn(rig.settings), autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")


def _wait_for_standby(rig: Rig, state: str) -> None:
    with psycopg.connect(superuser_dsn(rig.settings), autocommit=True) as connection:
        there: object = None
        for _ in range(_TRIES):
            row = connection.execute(_SYNC_STATE).fetchone()
            if row is not None and row[0] == state:
                there = there or _value(connection.execute(_WRITTEN))
                if _value(connection.execute(_IS_LEVEL, (there,))):
                    return
            connection.execute("SELECT pg_sleep(%s)", (_TRIES_EVERY_SECONDS,))
    raise TimeoutError(f"no {state} standby")


def _value(cursor: psycopg.Cursor) -> object:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _pg_ctl(server: Child, *arguments: str) -> None:
    _run(server, (str(BINARIES / "pg_ctl"), *arguments))


def _run(server: Child, argv: tuple[str, ...]) -> None:
    """Run a program as the user of the database."""
    wrapped = command_line(argv, server.run_as, signal.SIGTERM)
    done = subprocess.run(wrapped, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: {done.stdout}{done.stderr}")
