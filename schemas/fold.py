"""The fold: what a record does to the image of its match.

Pure, and total for every record that decode lets through: what it raises
(ImageFullError) becomes a dead letter of that record. The image after a set
of records depends on the highest revision of each id, never on the path;
only `seq`, the order of `corrections` and of kicks in the shoot-out and the
running `score` of a live event tell how they came. The path matters again
only where memory ends: for an image that is full, and for corrections and
readings that were forgotten.
"""

from datetime import datetime

import msgspec

from schemas.counts import column_of, counted, recounted
from schemas.image import (
    GOALS,
    REMEMBERED,
    SHOOT_OUT,
    Fixture,
    Incident,
    MatchImage,
    Status,
    scoring_side,
)
from schemas.incidents import known_of, latest, merged, ordered, remembers
from schemas.live import LIVE_VERSION, LiveEvent, Score
from schemas.raw import BroadcastEvent, DerivedRecord, RawEvent
from schemas.room import ImageFullError, fitted, may_enter

FOLD_VERSION = 2

# Enough to go back by when one of the furthest readings is corrected; with
# ids of escaped characters only they take 5 KB.
READINGS_KEPT = 6

_NO_SCORE = Score()


def empty_image(match: str) -> MatchImage:
    """The image before the first event."""
    return MatchImage(FOLD_VERSION, match, 0, Fixture(), "scheduled", 0, 0, _NO_SCORE, _NO_SCORE, (), {})


def fold(
    image: MatchImage,
    event: RawEvent,
    event_id: str,
    appended_at: datetime,
    importance: int,
    language: str,
) -> tuple[MatchImage, LiveEvent]:
    """Fold a record into the image; return the new image and what fans get."""
    after = advance(image, event)
    live = LiveEvent(
        v=LIVE_VERSION,
        event_id=event_id,
        seq=after.seq,
        appended_at=appended_at,
        score=after.score,
        minute=minute_of(event),
        importance=importance,
        language=language,
        event=event,
    )
    return after, live


def advance(image: MatchImage, event: RawEvent) -> MatchImage:
    """Take a record into the image; raise ImageFullError when it would outgrow its bound."""
    period, clock, readings = image.period, image.clock, image.readings
    if type(event) is BroadcastEvent:
        if event.type == "fixture":
            return _with_fixture(image, event)
        if remembers(event):
            return _with_incident(image, event)
        body = event.body
        column = column_of(body.side)
        if body.period is not None and body.clock is not None:
            period, clock, readings = _read(image, event.source_event_id, body.period, body.clock)
    elif type(event) is DerivedRecord:
        return _passed_by(image)
    else:
        column = 2
    counts, owed = image.counts, image.owed
    row = counts.get(event.type)
    if event.action != "add":
        if event.action == "cancel":
            counts, owed = counted(counts, owed, event.type, column, -1)
    elif row is None or owed:
        counts, owed = counted(counts, owed, event.type, column, 1)
    else:  # nearly every record: half the time of `counted`
        home, away, neither = row
        counts = {
            **counts,
            event.type: (home + (column == 0), away + (column == 1), neither + (column == 2)),
        }
    return MatchImage(
        image.v,
        image.match,
        image.seq + 1,
        image.fixture,
        image.status,
        period,
        clock,
        image.score,
        image.shoot_out,
        image.incidents,
        counts,
        image.corrections,
        readings,
        owed,
    )


def advance_logged(image: MatchImage, event: RawEvent) -> MatchImage:
    """Take a record that the log has: one that this fold would refuse moves `seq` alone.

    An older fold, with other bounds, may have accepted it.
    """
    try:
        return advance(image, event)
    except ImageFullError:
        return _passed_by(image)


def _passed_by(image: MatchImage) -> MatchImage:
    return msgspec.structs.replace(image, seq=image.seq + 1)


def minute_of(event: RawEvent) -> str:
    """The minute as broadcasters write it: `18'`, `45+2'`; empty without a clock."""
    if type(event) is not BroadcastEvent or event.body.period is None or event.body.clock is None:
        return ""
    return display_minute(event.body.period, event.body.clock)


# Seconds on the match clock at which a period's regular time ends.
_REGULAR_END = {1: 2700, 2: 5400, 3: 6300, 4: 7200}


def display_minute(period: int, clock: int) -> str:
    """Minute and stoppage time of a clock reading; a minute counts from its start, so 0:05 is 1'."""
    end = _REGULAR_END.get(period)
    if end is not None and clock >= end:
        return f"{end // 60}+{(clock - end) // 60 + 1}'"
    return f"{clock // 60 + 1}'"


def _read(
    image: MatchImage, name: str, period: int, clock: int
) -> tuple[int, int, tuple[tuple[int, int, str], ...]]:
    """Period, clock and readings after a first word that is not remembered.

    What is remembered of its id says better when that was.
    """
    kept = image.readings
    reading = (period, clock, name)
    is_full = len(kept) >= READINGS_KEPT
    if (is_full and reading < kept[-1]) or known_of(image.incidents, image.corrections, name) is not None:
        return image.period, image.clock, kept
    if not kept or reading > kept[0]:  # as time goes on
        kept = (reading, *(kept[:-1] if is_full else kept))
    elif reading not in kept:
        kept = tuple(sorted((*kept, reading), reverse=True)[:READINGS_KEPT])
    if (period, clock) > (image.period, image.clock):
        return period, clock, kept
    return image.period, image.clock, kept


def _furthest(
    incidents: tuple[Incident, ...],
    corrections: tuple[Incident, ...],
    readings: tuple[tuple[int, int, str], ...],
) -> tuple[int, int]:
    """The furthest reading that stands."""
    told = [(i.period, i.clock) for i in (*incidents, *corrections) if i.stands and i.period]
    return max((*told, *(reading[:2] for reading in readings[:1])), default=(0, 0))


def _with_fixture(image: MatchImage, event: BroadcastEvent) -> MatchImage:
    known, body = image.fixture, event.body
    changes: dict[str, object] = {}
    cancelled = event.action == "cancel"
    place = (event.revision, event.source_event_id)
    if (*place, cancelled) > (known.revision, known.id, known.cancelled):
        changes |= {"revision": event.revision, "id": event.source_event_id, "cancelled": cancelled}
    if event.action in ("add", "modify"):
        names = (body.home, body.away, body.competition, _written(body.kick_off))
        held = (known.home, known.away, known.competition, _written(known.kick_off))
        if (*place, *names) > (known.described, known.described_by, *held):
            changes |= {
                "described": event.revision,
                "described_by": event.source_event_id,
                "home": body.home,
                "away": body.away,
                "competition": body.competition,
                "kick_off": body.kick_off,
            }
    fixture = msgspec.structs.replace(known, **changes)
    return _settled(msgspec.structs.replace(image, seq=image.seq + 1, fixture=fixture))


def _written(instant: datetime | None) -> str:
    return "" if instant is None else instant.isoformat()


def _with_incident(image: MatchImage, event: BroadcastEvent) -> MatchImage:
    """Merge a record into what is remembered; raise ImageFullError beyond the bound."""
    name, seq = event.source_event_id, image.seq + 1
    known = known_of(image.incidents, image.corrections, name)
    after = merged(known, event, seq)
    incidents, corrections = image.incidents, image.corrections
    if known is not None:
        incidents = tuple(i for i in incidents if i is not known)
        corrections = tuple(i for i in corrections if i is not known)
    if after.type in REMEMBERED:
        incidents = ordered((*incidents, after))
        if known is not None and after.described < 0 and not may_enter(incidents, after):
            # The type only stands in, until a description comes: no reason to refuse a cancel.
            after = msgspec.structs.replace(after, type=known.type)
            incidents = ordered((*(i for i in incidents if i.id != name), after))
        incidents = fitted(image.match, incidents, known, after)
    else:
        incidents, corrections = ordered(incidents), latest((*corrections, after))
    counts, owed = recounted(image.counts, image.owed, event.type, known, after)
    readings = image.readings
    if any(reading[2] == name for reading in readings):
        readings = tuple(reading for reading in readings if reading[2] != name)
    period, clock = _furthest(incidents, corrections, readings)
    return _settled(
        msgspec.structs.replace(
            image,
            seq=seq,
            period=period,
            clock=clock,
            incidents=incidents,
            counts=counts,
            corrections=corrections,
            readings=readings,
            owed=owed,
        )
    )


def _settled(image: MatchImage) -> MatchImage:
    """Derive score and status from the incidents."""
    goals = [0, 0, 0, 0]
    for incident in image.incidents:
        if incident.type in GOALS and incident.stands:
            side = scoring_side(incident)
            if side is not None:
                goals[(2 if incident.period == SHOOT_OUT else 0) + (side == "away")] += 1
    return msgspec.structs.replace(
        image, score=Score(goals[0], goals[1]), shoot_out=Score(goals[2], goals[3]), status=_status(image)
    )


def _status(image: MatchImage) -> Status:
    """Where the match stands, from the furthest period mark."""
    if image.fixture.cancelled:
        return "cancelled"
    marks = [i for i in image.incidents if i.type in ("period_start", "period_end") and i.stands]
    if not marks:
        return "scheduled"
    # Two feeds, or two teams, may end a period; one of them calling it full time is enough.
    last = max(marks, key=lambda i: (i.period, i.type == "period_end", i.outcome == "full_time"))
    if last.type == "period_start":
        return "live"
    return "finished" if last.outcome == "full_time" else "break"


__all__ = [
    "FOLD_VERSION",
    "ImageFullError",
    "advance",
    "advance_logged",
    "display_minute",
    "empty_image",
    "fold",
    "minute_of",
]
