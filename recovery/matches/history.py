"""What was known of a match at a moment, and what is known of that moment now. Pure.

The order of the log is the order of knowledge; the match clock is the order
of what happened. They meet in one definition: the log has passed a moment
when an event was appended that carried the image's clock beyond it.
What was known then is the fold of every event before that one. What is
known now is the fold of all the log, counting what happened up to and with
that moment.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from recovery.matches.clock import Asked, Reading, settle
from schemas.fold import advance_logged, empty_image
from schemas.image import Incident, MatchImage
from schemas.incidents import remembers
from schemas.raw import BroadcastEvent, RawEvent

START = Reading(0, 0)


class Logged(NamedTuple):
    """An event of a match as the log has it."""

    seq: int
    position: int
    appended_at: datetime
    event: RawEvent


class Place(NamedTuple):
    """Where in the log something stands, and since when."""

    seq: int
    position: int
    appended_at: datetime


class Cut(NamedTuple):
    """Which moment is asked for; all None: the end of the log."""

    at: Asked | None = None
    as_of: datetime | None = None
    seq: int | None = None


class SeqGapError(RuntimeError):
    """The log of a match lacks a seq, so it cannot be folded."""

    def __init__(self, match: str, expected: int, found: int) -> None:
        super().__init__(
            f"the log of {match} has seq {found} where {expected} should be: `recovery audit --match {match}`"
            " says what else is wrong"
        )
        self.match = match
        self.expected = expected
        self.found = found


class Known(NamedTuple):
    """A match as known at some time."""

    image: MatchImage
    clock: Reading
    place: Place | None  # of the last event that it rests on; None before the first


class Views(NamedTuple):
    """A moment seen twice, and the records that made the difference."""

    moment: Reading
    is_passed: bool  # whether the log went on beyond the moment
    then: Known
    now: Known
    final: MatchImage  # of all the log, whatever the clock
    records: list[Logged]  # all that the image remembers, in the order of the log


def look(match: str, events: Iterable[Logged], cut: Cut) -> Views:
    """Fold a match's log once and see a moment as known then and as known now.

    Events come in the order of seq from 1. Raises SeqGapError,
    AmbiguousClockError.
    """
    look_back = _LookBack(match, cut)
    for logged in events:
        look_back.take(logged)
    return look_back.views()


class _LookBack:
    """The state of one pass over a match's log."""

    def __init__(self, match: str, cut: Cut) -> None:
        self._match = match
        self._cut = cut
        self._image = empty_image(match)
        self._last: Place | None = None
        self._then: Known | None = None
        self._reached = START  # furthest reading that does not lie beyond the moment asked for
        self._records: list[Logged] = []

    def take(self, logged: Logged) -> None:
        before = self._image
        if logged.seq != before.seq + 1:
            raise SeqGapError(self._match, before.seq + 1, logged.seq)
        self._image = advance_logged(before, logged.event)
        if self._then is None and self._is_beyond(logged):
            self._then = Known(before, _clock_of(before), self._last)
        self._last = Place(logged.seq, logged.position, logged.appended_at)
        if type(logged.event) is BroadcastEvent:
            self._note(logged, logged.event)

    def _is_beyond(self, logged: Logged) -> bool:
        cut = self._cut
        if cut.at is not None:
            return _clock_of(self._image) > cut.at.reading
        if cut.as_of is not None:
            return logged.appended_at > cut.as_of
        return cut.seq is not None and logged.seq > cut.seq

    def _note(self, logged: Logged, event: BroadcastEvent) -> None:
        if event.type == "fixture" or remembers(event):
            self._records.append(logged)
        at, body = self._cut.at, event.body
        if at is not None and body.period is not None and body.clock is not None:
            reading = Reading(body.period, body.clock)
            if reading <= at.reading:
                self._reached = max(self._reached, reading)

    def views(self) -> Views:
        head = Known(self._image, _clock_of(self._image), self._last)
        then = self._then or head
        moment = then.clock if self._cut.at is None else settle(self._cut.at, head.clock)
        if self._cut.at is None:
            self._reached = moment
        image = _as_of(self._match, self._image, self._records, moment)
        now = Known(image, self._reached, self._last)
        return Views(moment, self._then is not None, then, now, self._image, self._records)


def _as_of(match: str, final: MatchImage, records: Iterable[Logged], moment: Reading) -> MatchImage:
    """The fold of what happened by a moment, by what is known of it in the end.

    An incident belongs where its last description puts it, so it is asked of
    the end of the log, and then everything said about those that count is
    folded in the order of the log. An incident without a clock counts always.
    """
    counting = {i.id for i in (*final.incidents, *final.corrections) if place_of(i) <= moment}
    image = empty_image(match)
    for logged in records:
        if logged.event.type == "fixture" or logged.event.source_event_id in counting:
            image = advance_logged(image, logged.event)
    return image


def place_of(incident: Incident) -> Reading:
    """When an incident happened, by the match clock."""
    return Reading(incident.period, incident.clock)


def _clock_of(image: MatchImage) -> Reading:
    return Reading(image.period, image.clock)
