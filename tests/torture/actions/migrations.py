"""A crash in the middle of the migrations of a database of its own."""

import asyncio
import os
import signal
import sys
from random import Random
from urllib.parse import urlsplit, urlunsplit

import psycopg

from settings import ROOT
from storage.migrate import MIGRATIONS
from tests.torture import crash_points
from tests.torture.actions.registry import action
from tests.torture.rig import Rig, environment_under_torture

WHOLE = "migrations are whole"
_DATABASE = "torture_migration"
_MIGRATE = "import sys; from storage.migrate import migrate; migrate(sys.argv[1])"
_APPLIED = "SELECT count(*) FROM schema_migrations"


@action(weight=0.5, needs="postgres")
async def crash_in_a_migration(rig: Rig, draw: Random) -> None:
    """SIGKILL whoever migrates a database, between two migrations; the next one finishes."""
    files = len(list(MIGRATIONS.glob("*.sql")))
    dsn = urlunsplit(urlsplit(rig.settings.postgres)._replace(path=f"/{_DATABASE}"))
    point = crash_points.BY_KEY["migration.between_migrations"]
    await asyncio.to_thread(_execute, rig.settings.postgres, f"DROP DATABASE IF EXISTS {_DATABASE}")
    await asyncio.to_thread(_execute, rig.settings.postgres, f"CREATE DATABASE {_DATABASE}")
    try:
        applied = draw.randrange(1, files)
        crash_points.arm(rig.folder, point, applied - 1)
        code = await _migrate(rig, dsn)
        found = await asyncio.to_thread(_count, dsn)
        if (code, found) != (-signal.SIGKILL, applied):
            rig.violations.append((WHOLE, f"killed after {applied}, {found} are there (exit status {code})"))
        code = await _migrate(rig, dsn)
        found = await asyncio.to_thread(_count, dsn)
        if (code, found) != (0, files):
            rig.violations.append((WHOLE, f"of {files} the next one left {found} (exit status {code})"))
    finally:
        crash_points.disarm(rig.folder, point)
        await asyncio.to_thread(_execute, rig.settings.postgres, f"DROP DATABASE {_DATABASE} WITH (FORCE)")


async def _migrate(rig: Rig, dsn: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MIGRATE, dsn),
        cwd=ROOT,
        env={**os.environ, **environment_under_torture(rig.folder, "migration")},
    )
    return await process.wait()


def _execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def _count(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(_APPLIED).fetchone()
        return int(row[0]) if row else 0
