"""Base backups on a schedule, in the archiver's process: one when it is due, and those that may go."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import psycopg

from recovery.postgres.base_backup import take_backup
from recovery.postgres.errors import PostgresBackupError, WalMissingError
from recovery.postgres.place import Place
from recovery.postgres.programs import Programs
from recovery.postgres.upkeep import plan_prune, prune
from recovery.postgres.wal_archive import wal_after
from recovery.schedule import Schedule
from storage.connect import connect
from storage.replication import identify
from telemetry.log import Log

TAKEN = "base_backup.taken"
PROGRESSED = "base_backup.progressed"
FAILED = "base_backup.failed"
DAMAGED = "base_backup.damaged"  # counts for nothing: others stay, and are taken, as if it were not there
PRUNED = "base_backup.pruned"

# A hole in the archive, or a server that was restored, is noticed within this.
_LOOKS_EVERY = timedelta(minutes=10)
_STOPS_WITHIN_SECONDS = 5.0

_log = Log("base_backup")


class Rhythm(msgspec.Struct, frozen=True):
    """How often, how many stay, and how long the first look waits."""

    every: timedelta
    keep: int
    first_after: timedelta


class BaseBackups:
    """Takes a base backup when the newest is older than `every`, or of no use for the server as it is."""

    def __init__(
        self,
        dsn: str,
        place: Place,
        programs: Programs,
        spool: Path,
        rhythm: Rhythm,
        clock: Callable[[], datetime],
    ) -> None:
        self._dsn = dsn
        self._place = place
        self._programs = programs
        self._spool = spool
        self._rhythm = rhythm
        self._clock = clock

    def turn(self) -> timedelta:
        """Take one if it is due; return when to look again."""
        due_in = self._due_in()
        if due_in <= timedelta():
            self._take()
            due_in = self._rhythm.every
        return min(due_in, _LOOKS_EVERY)

    def _due_in(self) -> timedelta:
        with connect(self._dsn, "touchline-backup") as connection:
            server = identify(connection)
        finished = self._place.finished()
        if finished.damaged:
            _log.error(DAMAGED, names=[damaged.name for damaged in finished.damaged])
        ours = [
            record
            for record in finished.records
            if (record.system_id, record.timeline) == (server.system_id, server.timeline)
        ]
        if not ours:
            return timedelta()
        try:
            wal_after(self._place, ours[-1])
        except WalMissingError:
            return timedelta()  # it restores to the hole, and not beyond
        return ours[-1].finished_at + self._rhythm.every - self._clock()

    def _take(self) -> None:
        record = take_backup(self._dsn, self._place, self._programs, self._spool, _say)
        seconds = (record.finished_at - record.started_at).total_seconds()
        _log.info(TAKEN, name=record.name, bytes=record.size, seconds=round(seconds, 3))
        leaving = plan_prune(self._place, self._rhythm.keep, timedelta(), self._clock())
        prune(self._place, leaving)
        if leaving.paths:
            names = [*leaving.backups, *leaving.unfinished]
            _log.info(PRUNED, names=names, wal_files=leaving.wal_files, bytes=leaving.size)


def _say(line: str) -> None:
    _log.info(PROGRESSED, detail=line)


@contextmanager
def taking_turns(
    dsn: str, place: Place, programs: Programs, spool: Path, rhythm: Rhythm, clock: Callable[[], datetime]
) -> Iterator[None]:
    """Take base backups on a thread of its own; at the end, one that is under way is given up."""
    backups = BaseBackups(dsn, place, programs, spool, rhythm, clock)
    expected = (PostgresBackupError, psycopg.Error, OSError)
    schedule = Schedule(backups.turn, rhythm.every, expected, _log, FAILED, clock, random.Random())
    thread = threading.Thread(
        target=schedule.run, args=(rhythm.first_after,), name="base-backups", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        schedule.stop()
        programs.stop()
        thread.join(_STOPS_WITHIN_SECONDS)
