"""A turn of the schedule of store backups: one more backup, and those that may go."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from recovery.audit.meter import Silence
from recovery.backup.create import create
from recovery.backup.errors import BackupError, NoStoresError
from recovery.backup.manifest import new_name
from recovery.backup.place import BackupPlace, Listed, folder_of
from recovery.backup.prune import Removal, Retention, plan, prune
from recovery.schedule import FIRST_PAUSE
from recovery.signatures import Keyring
from recovery.stores.finding import all_stores
from settings import Settings
from storage.recovery_store import read_store
from storage.store_errors import StoreError
from telemetry.log import Log

CREATED = "backup.created"
FAILED = "backup.failed"
AWAITED = "backup.stores_awaited"
PRUNED = "backup.pruned"
STOPPED = "backup.stopped"

EXPECTED = (BackupError, StoreError, OSError)

log = Log("backup")


class NextTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn would do."""

    place: str
    stores: list[str]  # to be copied; none: it waits for the lanes to make theirs
    removals: list[Removal]
    every_seconds: float
    is_verified: bool  # by restoring it into a scratch folder


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

    def next_turn(self) -> NextTurn:
        """Say what a turn would do now, and write nothing; raise StoreError, PlaceError."""
        url, now = self._settings.backup_place, self._clock()
        paths = all_stores(self._settings)
        for path in paths:
            read_store(path)
        removals: list[Removal] = []
        if paths:
            folder = folder_of(url)
            # To open a folder that is not there would make it.
            listed = [] if folder is not None and not folder.exists() else BackupPlace(url).listed()
            made = Listed(new_name(now), is_complete=True, size=0)
            removals = plan([*listed, made], self._retention, now)
        return NextTurn(
            place=url,
            stores=[path.name for path in paths],
            removals=removals,
            every_seconds=self._every.total_seconds(),
            is_verified=self._check,
        )

    def turn(self) -> timedelta:
        """Create one; return when to begin the next, from the beginning of this one."""
        began = self._clock()
        try:
            place = BackupPlace(self._settings.backup_place, Keyring.of(self._settings))
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
