"""Do one thing again and again: part of a small process of its own, which outlives outages."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from telemetry.log import Log

# After a failure sooner than the next turn, but not at once: what was away may come back.
FIRST_PAUSE = timedelta(seconds=2)

Turn = Callable[[], timedelta]


class Schedule:
    """Calls `turn` again and again, until it is asked to stop.

    A turn returns when the next one begins, counted from its own beginning.
    After one of the `expected` errors the next one comes sooner than
    `every`, less often with each failure; any other error ends the schedule.
    """

    def __init__(
        self,
        turn: Turn,
        every: timedelta,
        expected: tuple[type[Exception], ...],
        log: Log,
        failed: str,
        clock: Callable[[], datetime],
        chance: random.Random,
    ) -> None:
        """`failed` names the event that is logged for a failure."""
        self._turn = turn
        self._every = every
        self._expected = expected
        self._log = log
        self._failed = failed
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._stopping = Event()

    def stop(self, *_: object) -> None:
        """End after the turn that is under way; a handler of signals."""
        self._stopping.set()

    def run(self, first_after: timedelta = timedelta()) -> None:
        """Go on until `stop`."""
        self._stopping.wait(first_after.total_seconds())
        while not self._stopping.is_set():
            began = self._clock()
            pause = self._try_turn()
            self._stopping.wait(max(0.0, (began + pause - self._clock()).total_seconds()))

    def _try_turn(self) -> timedelta:
        try:
            pause = self._turn()
        except self._expected as error:
            if self._stopping.is_set():
                return timedelta()
            self._failures += 1
            pause = self._pause()
            self._log.error(
                self._failed,
                kind=type(error).__name__,
                detail=str(error).strip(),
                failures=self._failures,
                again_seconds=round(pause.total_seconds(), 1),
            )
            return pause
        self._failures = 0
        return pause

    def _pause(self) -> timedelta:
        """Longer with each failure, never longer than the interval, and not in step with others."""
        longest = min(self._every, FIRST_PAUSE * 2 ** min(self._failures - 1, 16))
        return timedelta(seconds=longest.total_seconds() * self._chance.uniform(0.5, 1.0))
