"""Notice that the wall clock was set back: who sleeps until a time of day sleeps that much longer.

Bytewax is told by the time of day when a source wants to be asked again, so a
clock that is set back by an hour would hold a flow up for an hour. What is
built to be started again at any moment ends instead.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

# What time daemons correct in one step every now and then; larger ones hold up what waits.
TOLERATED = timedelta(seconds=1)
_LOOK_EVERY_SECONDS = 0.5


class ClockSetBackError(RuntimeError):
    """The wall clock was set back while the process ran; a new start reads it afresh."""

    def __init__(self, by: timedelta) -> None:
        super().__init__(f"the clock was set back by {by.total_seconds():.1f} s")
        self.by = by


class ClockWatch:
    """Compares the wall clock with one that never jumps, from look to look."""

    def __init__(self, wall: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = (wall(), monotonic())

    def set_back_by(self) -> timedelta | None:
        """How far the clock was set back since the last look; None when less than `TOLERATED`."""
        (wall, seconds), now = self._last, (self._wall(), self._monotonic())
        self._last = now
        missing = timedelta(seconds=now[1] - seconds) - (now[0] - wall)
        return missing if missing > TOLERATED else None


def watch_clock(wall: Callable[[], datetime], on_set_back: Callable[[ClockSetBackError], None]) -> None:
    """Look twice a second from now on, on a thread of its own; call back when the clock was set back."""
    watch = ClockWatch(wall, time.monotonic)

    def run() -> None:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            by = watch.set_back_by()
            if by is not None:
                on_set_back(ClockSetBackError(by))

    threading.Thread(target=run, name="clock-watch", daemon=True).start()
