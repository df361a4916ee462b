"""A turn of the schedule of store backups: one more backup, and those that may go."""

from collections.abc import Callable
from datetime import datetime, timedelta

from recovery.audit.meter import Silence
from recovery.backup.create import create
from recovery.backup.errors import BackupError, NoStoresError
from recovery.backup.place import BackupPlace
from recovery.backup.prune import Retention, plan, prune
from recovery.schedule import FIRST_PAUSE
from settings import Settings
from storage.store_errors import StoreError
from telemetry.log import Log

CREATED = "backup.created"
FAILED = "backup.failed"
AWAITED = "backup.stores_awaited"
PRUNED = "backup.pruned"
STOPPED = "backup.stopped"

EXPECTED = (BackupError, StoreError, OSError)

log = Log("backup")


class StoreBackups:
    """Creates a backup each turn and prunes after it."""

    def __init__(
        self,
        settings: Settings,
        every: timedelta,
        retention: Retention,
        clock: Callable[[], datetime],
        check: bool,
    ) -> None:
        self._settings = settings
        self._every = every
        self._retention = retention
        self._clock = clock
        self._check = check

    def turn(self) -> timedelta:
        """Create one; return when to begin the next, from the beginning of this one."""
        began = self._clock()
        try:
            place = BackupPlace(self._settings.backup_place)
            made = create(self._settings, place, self._clock, Silence(), self._check)
        except NoStoresError as error:
            log.info(AWAITED, folder=error.folder)  # the lanes make theirs when they start
            return min(self._every, FIRST_PAUSE)
        log.info(
            CREATED,
            name=made.name,
            stores=made.store_names,
            bytes=made.size,
            seconds=round((self._clock() - began).total_seconds(), 3),
        )
        removals = plan(place.listed(), self._retention, self._clock())
        prune(place, removals)
        for removal in removals:
            log.info(PRUNED, name=removal.name, reason=removal.reason)
        return self._every
