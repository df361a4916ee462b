"""A clock that is set back is noticed; one that is set forward, or only a little, is nobody's trouble."""

from datetime import UTC, datetime, timedelta

import pytest

from resilience.clock_watch import ClockWatch
from tests.clocks import FakeClock

START = datetime(2026, 5, 1, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clocks:
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        self.monotonic = FakeClock()
        self.set_by = timedelta()

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.monotonic()) + self.set_by


@pytest.mark.parametrize(
    ("steps", "noticed"),
    [
        ([timedelta()], [None]),
        ([-HOUR], [HOUR]),
        ([HOUR], [None]),
        ([HOUR, -HOUR], [None, HOUR]),
        ([timedelta(seconds=-0.5)], [None]),
        ([-HOUR, timedelta()], [HOUR, None]),
    ],
    ids=["left alone", "back", "ahead", "ahead and back", "a correction", "once"],
)
def test_only_what_is_set_back_is_told(steps: list[timedelta], noticed: list[timedelta | None]) -> None:
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.monotonic)
    told = []
    for step in steps:
        clocks.monotonic.advance(0.5)
        clocks.set_by += step
        told.append(watch.set_back_by())
    assert told == noticed


def test_a_process_that_slept_was_not_set_back() -> None:
    """A machine that was suspended: its wall clock went on, the other one did not."""
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.monotonic)
    clocks.set_by += 8 * HOUR
    assert watch.set_back_by() is None
    clocks.monotonic.advance(3600)
    assert watch.set_back_by() is None
