"""A disk that is full: the table that every append writes to lies on a small one for a while."""

import asyncio
import os
import pwd
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from local.servers.postgres import superuser_dsn
from tests.torture.actions.registry import NotReachedError, action
from tests.torture.rig import Rig

_TABLESPACE = "small_disk"
_ROOM_BYTES = 48 * 1024 * 1024  # beside the table: what a minute of load appends, several times
_CHUNK = bytes(1024 * 1024)
_FULL = "No space left on device"
_MOVED_WITHIN_SECONDS = 40.0
_TRY_AGAIN_SECONDS = 0.5

_SIZE = "SELECT pg_total_relation_size('events')"
_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'events'::regclass ORDER BY 1"
_MOVE = "ALTER {} {} SET TABLESPACE {}"


@action(weight=0.7, bound=timedelta(seconds=60), needs="postgres")
async def disk_full(rig: Rig, draw: Random) -> None:
    """Fill the disk under the events to its last byte, for seconds: lanes wait it out."""
    if os.geteuid() != 0:
        raise NotReachedError("only root may mount a small file system")
    disk = rig.settings.data / "postgres" / "small-disk"
    log = rig.watch("postgres").log
    await asyncio.to_thread(_mount, rig, disk)
    try:
        await asyncio.to_thread(_move_in, rig, disk)
        said = log.read_text(errors="replace").count(_FULL)
        ballast = disk / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            await asyncio.sleep(draw.uniform(3, 6))
        finally:
            ballast.unlink(missing_ok=True)
    finally:
        await asyncio.to_thread(_move_out, rig)
        await asyncio.to_thread(_unmount, disk)
    if log.read_text(errors="replace").count(_FULL) == said:
        raise NotReachedError("nobody wanted room while the disk was full")


def _mount(rig: Rig, disk: Path) -> None:
    with psycopg.connect(rig.settings.postgres) as connection:
        row = connection.execute(_SIZE).fetchone()
    size = int(row[0] if row else 0) + _ROOM_BYTES
    run_as = rig.watch("postgres").child.run_as
    owner = pwd.getpwnam(run_as.user).pw_uid if run_as else os.geteuid()
    disk.mkdir(exist_ok=True)
    options = f"size={size},mode=0700,uid={owner}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        disk.rmdir()
        raise NotReachedError(f"no small file system here: {done.stderr.strip()}")


def _unmount(disk: Path) -> None:
    # Lazily: sessions may hold files open that are gone.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    disk.rmdir()


def _connect(rig: Rig) -> psycopg.Connection:
    database = urlsplit(rig.settings.postgres).path.removeprefix("/")
    return psycopg.connect(superuser_dsn(rig.settings, database), autocommit=True)


def _move_in(rig: Rig, disk: Path) -> None:
    with _connect(rig) as connection:
        create = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
        connection.execute(create.format(sql.Identifier(_TABLESPACE), sql.Literal(str(disk))))
        _move(connection, _TABLESPACE)


def _move(connection: psycopg.Connection, to: str) -> None:
    """The table and its indexes, each under a short lock that a lane may wait for."""
    indexes: Sequence[str] = [row[0] for row in connection.execute(_INDEXES)]
    for kind, name in (("TABLE", "events"), *(("INDEX", index) for index in indexes)):
        statement = sql.SQL(_MOVE).format(sql.SQL(kind), sql.Identifier(name), sql.Identifier(to))
        connection.execute(statement)


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(_CHUNK):
            pass


def _move_out(rig: Rig) -> None:
    """Move everything back and drop the tablespace; after a crash the log must not name it any more."""
    deadline = time.monotonic() + _MOVED_WITHIN_SECONDS * rig.patience
    while True:
        try:
            with _connect(rig) as connection:
                _move(connection, "pg_default")
                drop = sql.SQL("DROP TABLESPACE IF EXISTS {}")
                connection.execute(drop.format(sql.Identifier(_TABLESPACE)))
                connection.execute("CHECKPOINT")
            return
        except psycopg.Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(_TRY_AGAIN_SECONDS)
