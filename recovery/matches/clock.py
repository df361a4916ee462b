"""Readings of the match clock, as a person writes them. Pure.

The clock goes on through stoppage time and is set back at the next period's
start, so 46:30 is shown twice. Without a period, a reading belongs to the
first half below 45:00 and to the second half from there on.
"""

import re
from typing import NamedTuple

# Seconds at which a period starts and at which its regular time ends.
_STARTS = {1: 0, 2: 2700, 3: 5400, 4: 6300, 5: 0}
_ENDS = {1: 2700, 2: 5400, 3: 6300, 4: 7200}
_PERIOD_OF_END = {end // 60: period for period, end in _ENDS.items()}
_LATEST = 14_400

_READING = re.compile(r"(?:([1-5])/)?(?:(\d{1,3})\+)?(\d{1,3}):([0-5]\d)")

FORMS = (
    "63:12 (minute:second; below 45:00 in the first half, from 45:00 in the second), 45+2:10 (stoppage time"
    " of the first half; so 90+, 105+, 120+), 1/47:10 (with the period: 3 and 4 are extra time, 5 the"
    " shoot-out)"
)


class UnreadableClockError(ValueError):
    """A text is no reading of the match clock; carries it and why."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is no reading of the match clock: {reason}. Write it as {FORMS}.")
        self.text = text
        self.reason = reason


class AmbiguousClockError(ValueError):
    """A reading from 90:00 without a period, of a match that went into extra time."""

    def __init__(self, reading: "Reading") -> None:
        minutes = _minutes(reading.clock)
        super().__init__(
            f"{minutes} was shown twice, because this match went into extra time: write 2/{minutes} for the"
            f" second half's stoppage time, 3/{minutes} or 4/{minutes} for extra time."
        )
        self.reading = reading


class Reading(NamedTuple):
    """A moment of the match: readings compare as the match goes."""

    period: int
    clock: int  # seconds, as on the match clock: the second half starts at 2700

    def __str__(self) -> str:
        """The reading as `read_clock` reads it back."""
        if not self.period:
            return "no clock"
        end = _ENDS.get(self.period)
        if end is not None and self.clock >= end:
            return f"{end // 60}+{_minutes(self.clock - end)}"
        in_halves = self.period in (1, 2) and self.clock >= _STARTS[self.period]
        return _minutes(self.clock) if in_halves else f"{self.period}/{_minutes(self.clock)}"


class Asked(NamedTuple):
    """A reading as it was written; `is_plain` when nothing in it names a period."""

    reading: Reading
    is_plain: bool


def read_clock(text: str) -> Asked:
    """Read a moment of the match; raise UnreadableClockError."""
    found = _READING.fullmatch(text.strip())
    if found is None:
        raise UnreadableClockError(text, "minutes and seconds are missing, or something is too much")
    given, base, minutes, seconds = found.groups()
    clock = int(minutes) * 60 + int(seconds)
    period = int(given) if given else 0
    if base is not None:
        stopped = _PERIOD_OF_END.get(int(base))
        if stopped is None:
            raise UnreadableClockError(text, "no period ends at that minute; 45, 90, 105 and 120 are ends")
        if period not in (0, stopped):
            raise UnreadableClockError(text, f"period {period} does not end at minute {base}")
        period, clock = stopped, clock + _ENDS[stopped]
    is_plain = not period
    if is_plain:
        period = 1 if clock < _ENDS[1] else 2
    if clock < _STARTS[period]:
        raise UnreadableClockError(text, f"period {period} starts at {_minutes(_STARTS[period])}")
    if clock > _LATEST:
        raise UnreadableClockError(text, f"no match clock goes beyond {_minutes(_LATEST)}")
    return Asked(Reading(period, clock), is_plain)


def settle(asked: Asked, furthest: Reading) -> Reading:
    """The moment meant, in a match that came as far as `furthest`; raise AmbiguousClockError."""
    if asked.is_plain and asked.reading.clock >= _ENDS[2] and furthest.period in (3, 4):
        raise AmbiguousClockError(asked.reading)
    return asked.reading


def _minutes(clock: int) -> str:
    return f"{clock // 60}:{clock % 60:02d}"
