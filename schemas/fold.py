"""The fold: what a record does to the image of its match.

Pure, and total for every record that decode lets through: what it raises
(ImageFullError) becomes a dead letter of that record. The image after a set
of records depends on the highest revision of each id, never on the path;
only `seq`, the order of `corrections` and the running `score` of a live
event tell how they came. The path matters again only where memory ends: for
an image that is full, and for corrections that were forgotten.
"""

from datetime import datetime

import msgspec

from schemas.image import GOALS, REMEMBERED, SHOOT_OUT, Fixture, MatchImage, Status, scoring_side
from schemas.incidents import encoded_size, remember, remembers
from schemas.live import LIVE_VERSION, LiveEvent, Score
from schemas.raw import BroadcastBody, BroadcastEvent, DerivedRecord, RawEvent

FOLD_VERSION = 1

_COUNTED_TYPES = 64
_OTHER = "other"

# The parts of an image, each bounded by itself, stay below MAX_IMAGE_BYTES
# together: counts of 65 types 7 KB, corrections 8 KB, names and head 5.5 KB.
INCIDENTS_BYTES = 42 * 1024
# A new id is refused earlier, so that what counts can still be corrected.
NEW_INCIDENT_BYTES = 36 * 1024

_NO_SCORE = Score()
_Row = tuple[int, int, int]  # home, away, neither
_Counts = dict[str, _Row]
_NEUTRAL: _Row = (0, 0, 0)


class ImageFullError(ValueError):
    """A match has more remembered incidents than its image may hold; `size` is theirs, in bytes."""

    def __init__(self, match: str, size: int) -> None:
        super().__init__(f"the incidents of {match} would grow to {size} bytes")
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
    """Take a record into the image; raise ImageFullError when it would outgrow its bound."""
    if type(event) is BroadcastEvent:
        if event.type == "fixture":
            return _with_fixture(image, event)
        if remembers(event):
            return _with_incident(image, event)
        counts = _counted(image.counts, event, _column(event.body))
        period, clock = _later(image, event.body)
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
        image.corrections,
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


def _column(body: BroadcastBody) -> int:
    return 0 if body.side == "home" else 1 if body.side == "away" else 2


def _counted(counts: _Counts, event: RawEvent, column: int) -> _Counts:
    """Count a record of a type that is not remembered: add +1, cancel -1, so the sum has no order."""
    step = 1 if event.action == "add" else -1 if event.action == "cancel" else 0
    if not step:
        return counts
    kind = event.type
    row = counts.get(kind)
    if row is None:
        row = _NEUTRAL
        if kind != _OTHER and len(counts) - (_OTHER in counts) >= _COUNTED_TYPES:
            counts, kind, row = _with_room(counts, kind)
    home, away, neither = row
    if column == 0:
        home += step
    elif column == 1:
        away += step
    else:
        neither += step
    return {**counts, kind: (home, away, neither)}


def _with_room(counts: _Counts, kind: str) -> tuple[_Counts, str, _Row]:
    """Let the last type by name go into `other`: a choice that the order of arrival cannot change."""
    other = counts.get(_OTHER, _NEUTRAL)
    last = max(name for name in counts if name != _OTHER)
    if kind > last:
        return counts, _OTHER, other
    moved = counts[last]
    left = {name: row for name, row in counts.items() if name != last}
    left[_OTHER] = (other[0] + moved[0], other[1] + moved[1], other[2] + moved[2])
    return left, kind, _NEUTRAL


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
    """Merge a remembered record, or a correction; raise ImageFullError beyond the bound."""
    incidents, corrections = remember(image.incidents, image.corrections, event)
    size = encoded_size(incidents)
    grew = len(incidents) > len(image.incidents)
    if size > (NEW_INCIDENT_BYTES if grew else INCIDENTS_BYTES):
        raise ImageFullError(image.match, size)
    counts = image.counts
    if event.type not in REMEMBERED:
        counts = _counted(counts, event, _column(event.body))
    period, clock = _later(image, event.body)
    return _settled(
        msgspec.structs.replace(
            image,
            seq=image.seq + 1,
            period=period,
            clock=clock,
            incidents=incidents,
            counts=counts,
            corrections=corrections,
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
    "display_minute",
    "empty_image",
    "fold",
    "minute_of",
]
