"""The fold: what a record does to the image of its match.

Pure, and total for every record that decode lets through: what it raises
(ImageFullError) becomes a dead letter of that record. The image after a set
of records depends on the highest revision of each id, never on the path;
only `seq` and the running `score` of a live event tell the order.
"""

from datetime import datetime

import msgspec

from schemas.image import (
    GOALS,
    MAX_IMAGE_BYTES,
    REMEMBERED,
    SHOOT_OUT,
    Fixture,
    Incident,
    MatchImage,
    Status,
    encode_image,
    scoring_side,
)
from schemas.live import LIVE_VERSION, LiveEvent, Score
from schemas.raw import BroadcastBody, BroadcastEvent, DerivedRecord, RawEvent

FOLD_VERSION = 1

# Corrections of types that do not count are remembered too, in case they
# overtake the record whose type they change; the oldest are forgotten first.
_FOREIGN_KEPT = 64
_COUNTED_TYPES = 64
_OTHER = "other"
# Leaves room for counts and head, which grow between two checks.
_INCIDENTS_BYTES = MAX_IMAGE_BYTES - 12 * 1024

_NO_SCORE = Score()
_NEUTRAL = (0, 0, 0)


class ImageFullError(ValueError):
    """A match has more remembered incidents than its image may hold."""

    def __init__(self, match: str, size: int) -> None:
        super().__init__(f"the image of {match} would grow to {size} bytes")
        self.match = match
        self.size = size


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
    """The image after a record; raise ImageFullError when it would outgrow its bound."""
    if type(event) is BroadcastEvent:
        if event.type == "fixture":
            return _with_fixture(image, event)
        if event.type in REMEMBERED or event.action != "add":
            return _with_incident(image, event)
        body = event.body
        counts = _counted(image.counts, event, 0 if body.side == "home" else 1 if body.side == "away" else 2)
        period, clock = _later(image, body)
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
        )
    counts = image.counts if type(event) is DerivedRecord else _counted(image.counts, event, 2)
    return MatchImage(
        image.v,
        image.match,
        image.seq + 1,
        image.fixture,
        image.status,
        image.period,
        image.clock,
        image.score,
        image.shoot_out,
        image.incidents,
        counts,
    )


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


def _later(image: MatchImage, body: BroadcastBody) -> tuple[int, int]:
    """The furthest clock reading: a maximum, so early or late records do not turn it back."""
    if body.period is None or body.clock is None:
        return image.period, image.clock
    return max((image.period, image.clock), (body.period, body.clock))


def _counted(
    counts: dict[str, tuple[int, int, int]], event: RawEvent, column: int
) -> dict[str, tuple[int, int, int]]:
    """Count a record of a type that is not remembered: add +1, cancel -1, so the sum has no order."""
    step = 1 if event.action == "add" else -1 if event.action == "cancel" else 0
    if not step:
        return counts
    kind = event.type
    row = counts.get(kind)
    if row is None:
        if len(counts) >= _COUNTED_TYPES and kind != _OTHER:
            kind = _OTHER
        row = counts.get(kind, _NEUTRAL)
    home, away, neither = row
    if column == 0:
        home += step
    elif column == 1:
        away += step
    else:
        neither += step
    return {**counts, kind: (home, away, neither)}


def _with_fixture(image: MatchImage, event: BroadcastEvent) -> MatchImage:
    known, body = image.fixture, event.body
    if (event.revision, event.source_event_id) > (known.revision, known.id):
        cancelled = event.action == "cancel"
        known = Fixture(
            event.revision,
            event.source_event_id,
            body.home or known.home,
            body.away or known.away,
            body.competition or known.competition,
            body.kick_off or known.kick_off,
            cancelled,
        )
    return _settled(msgspec.structs.replace(image, seq=image.seq + 1, fixture=known))


def _with_incident(image: MatchImage, event: BroadcastEvent) -> MatchImage:
    """Merge a remembered record, or a correction, into the incidents."""
    others = tuple(i for i in image.incidents if i.id != event.source_event_id)
    known = next((i for i in image.incidents if i.id == event.source_event_id), None)
    merged = _merged(known, event)
    incidents = _ordered(_bounded((*others, merged)))
    counts = image.counts
    if event.type not in REMEMBERED:
        column = 0 if event.body.side == "home" else 1 if event.body.side == "away" else 2
        counts = _counted(counts, event, column)
    period, clock = _later(image, event.body)
    after = MatchImage(
        image.v,
        image.match,
        image.seq + 1,
        image.fixture,
        image.status,
        period,
        clock,
        image.score,
        image.shoot_out,
        incidents,
        counts,
    )
    return _settled(after)


def _merged(known: Incident | None, event: BroadcastEvent) -> Incident:
    body = event.body
    if known is None:
        known = Incident(id=event.source_event_id, revision=-1, action=event.action, type=event.type)
    changes: dict[str, object] = {}
    if event.revision > known.revision:
        changes |= {"revision": event.revision, "action": event.action, "reason": body.reason}
    if event.action in ("add", "modify") and event.revision > known.described:
        changes |= {
            "described": event.revision,
            "type": event.type,
            "side": body.side,
            "period": body.period or 0,
            "clock": body.clock or 0,
            "player": body.player,
            "other_player": body.other_player,
            "outcome": body.outcome,
            "insert_before": event.insert_before or "",
        }
    return msgspec.structs.replace(known, **changes)


def _bounded(incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
    foreign = [i for i in incidents if i.type not in REMEMBERED]
    if len(foreign) <= _FOREIGN_KEPT:
        return incidents
    return tuple(i for i in incidents if i is not foreign[0])


def _ordered(incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """By match clock, then id; one with `insert_before` right in front of what it names."""
    placed = sorted(incidents, key=lambda i: (i.period, i.clock, i.id))
    for moving in [i for i in placed if i.insert_before and i.insert_before != i.id]:
        target = next((i for i in placed if i.id == moving.insert_before), None)
        if target is not None:
            placed.remove(moving)
            placed.insert(placed.index(target), moving)
    return tuple(placed)


def _settled(image: MatchImage) -> MatchImage:
    """Derive score and status from the incidents, and hold the bound."""
    goals = [0, 0, 0, 0]
    for incident in image.incidents:
        if incident.type in GOALS and incident.stands:
            side = scoring_side(incident)
            if side is not None:
                goals[(2 if incident.period == SHOOT_OUT else 0) + (side == "away")] += 1
    settled = msgspec.structs.replace(
        image, score=Score(goals[0], goals[1]), shoot_out=Score(goals[2], goals[3]), status=_status(image)
    )
    size = len(encode_image(settled))
    if size > _INCIDENTS_BYTES:
        raise ImageFullError(image.match, size)
    return settled


def _status(image: MatchImage) -> Status:
    """Where the match stands, from the furthest period mark."""
    if image.fixture.cancelled:
        return "cancelled"
    marks = [i for i in image.incidents if i.type in ("period_start", "period_end") and i.stands]
    if not marks:
        return "scheduled"
    last = max(marks, key=lambda i: (i.period, i.type == "period_end"))
    if last.type == "period_start":
        return "live"
    return "finished" if last.outcome == "full_time" else "break"


__all__ = [
    "FOLD_VERSION",
    "ImageFullError",
    "advance",
    "display_minute",
    "empty_image",
    "fold",
    "minute_of",
]
