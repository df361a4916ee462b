"""Whether a neighbour can be reached: a line when it goes, one when it is back, a growing pause between."""

from collections.abc import Callable
from datetime import timedelta

from resilience.backoff import Backoff
from telemetry.log import Log

LOST = "neighbour.lost"
REGAINED = "neighbour.regained"

_FIRST_PAUSE = timedelta(milliseconds=50)
# A neighbour that is back is found within this time.
_LONGEST_PAUSE = timedelta(seconds=2)


class Availability:
    """Whether one neighbour can be reached, as one user of it sees it. Not thread-safe."""

    def __init__(
        self, neighbour: str, log: Log, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        """`clock` counts seconds and never goes back, `chance` returns a number in [0, 1)."""
        self._neighbour = neighbour
        self._log = log
        self._clock = clock
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, chance)
        self._lost_at: float | None = None
        self._ask_again_at = 0.0

    @property
    def is_resting(self) -> bool:
        """Whether the pause after the last failure is still running."""
        return self._clock() < self._ask_again_at

    def lost(self, detail: str) -> timedelta:
        """Note a failure; return how long to leave the neighbour alone."""
        if self._lost_at is None:
            self._lost_at = self._clock()
            self._log.warning(LOST, neighbour=self._neighbour, detail=detail)
        pause = self._backoff.next_delay()
        self._ask_again_at = self._clock() + pause.total_seconds()
        return pause

    def regained(self) -> None:
        """Note that the neighbour did what it was asked."""
        if self._lost_at is not None:
            self._backoff.reset()
            after = round(self._clock() - self._lost_at, 3)
            self._lost_at = None
            self._log.info(REGAINED, neighbour=self._neighbour, after_seconds=after)
