"""Back up again and again: a small process of its own, which outlives outages."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from recovery.audit.meter import Silence
from recovery.backup.create import create
from recovery.backup.errors import BackupError, NoStoresError
from recovery.backup.place import BackupPlace
from recovery.backup.prune import Retention, plan, prune
from settings import Settings
from storage.store_errors import StoreError
from telemetry.log import Log

CREATED = "backup.created"
FAILED = "backup.failed"
AWAITED = "backup.stores_awaited"
PRUNED = "backup.pruned"
STOPPED = "backup.stopped"

# After a failure sooner than the next turn, but not at once: what was away may come back.
_FIRST_PAUSE = timedelta(seconds=2)

_log = Log("backup")


class Schedule:
    """Creates a backup each interval and prunes after it, until it is asked to stop."""

    def __init__(
        self,
        settings: Settings,
        every: timedelta,
        retention: Retention,
        clock: Callable[[], datetime],
        chance: random.Random,
        check: bool,
    ) -> None:
        self._settings = settings
        self._every = every
        self._retention = retention
        self._clock = clock
        self._chance = chance
        self._check = check
        self._failures = 0
        self._stopping = Event()

    def stop(self, *_: object) -> None:
        """End after the backup that is being made; a handler of signals."""
        self._stopping.set()

    def run(self) -> None:
        """Go on until `stop`."""
        while not self._stopping.is_set():
            began = self._clock()
            pause = self._turn()
            self._stopping.wait(max(0.0, (began + pause - self._clock()).total_seconds()))
        _log.info(STOPPED)

    def _turn(self) -> timedelta:
        """Try once; return when to begin the next try, from the beginning of this one."""
        began = self._clock()
        try:
            place = BackupPlace(self._settings.backup_place)
            made = create(self._settings, place, self._clock, Silence(), self._check)
            _log.info(
                CREATED,
                name=made.name,
                stores=made.store_names,
                bytes=made.size,
                seconds=round((self._clock() - began).total_seconds(), 3),
            )
            removals = plan(place.listed(), self._retention, self._clock())
            prune(place, removals)
            for removal in removals:
                _log.info(PRUNED, name=removal.name, reason=removal.reason)
        except NoStoresError as error:
            _log.info(AWAITED, folder=error.folder)  # the lanes make theirs when they start
            return min(self._every, _FIRST_PAUSE)
        except (BackupError, StoreError, OSError) as error:
            self._failures += 1
            pause = self._pause()
            _log.error(
                FAILED,
                kind=type(error).__name__,
                detail=str(error),
                failures=self._failures,
                again_seconds=round(pause.total_seconds(), 1),
            )
            return pause
        self._failures = 0
        return self._every

    def _pause(self) -> timedelta:
        """Longer with each failure, never longer than the interval, and not in step with others."""
        longest = min(self._every, _FIRST_PAUSE * 2 ** min(self._failures - 1, 16))
        return timedelta(seconds=longest.total_seconds() * self._chance.uniform(0.5, 1.0))
