"""Records to build tests from: complete and valid, a test says only what matters to it."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack

import msgspec

from schemas.raw import (
    Action,
    BroadcastBody,
    BroadcastEvent,
    DerivedBody,
    DerivedRecord,
    RawEvent,
    SensorBody,
    SensorEvent,
    Side,
    SocialBody,
    SocialEvent,
)
from schemas.validation import ReadRecord, read

MATCH = "fra-2031"
KICK_OFF = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)

_PLACE = ("match", "revision", "action", "occurred_at", "ingested_at", "insert_before")


class Told(TypedDict, total=False):
    """What a test may say about an incident of play; the rest is filled in."""

    match: str
    revision: int
    action: Action
    occurred_at: datetime
    ingested_at: datetime
    insert_before: str | None
    side: Side | None
    period: int | None
    clock: int | None
    player: str
    other_player: str
    outcome: str
    reason: str
    text: str
    home: str
    away: str
    competition: str
    kick_off: datetime


def a_broadcast(kind: str, source_event_id: str, **told: Unpack[Told]) -> BroadcastEvent:
    """An incident of play in the tenth minute, unless told otherwise."""
    return _incident(kind, source_event_id, Told(), told)


def a_pass(source_event_id: str = "pass-1", **told: Unpack[Told]) -> BroadcastEvent:
    return _incident("pass", source_event_id, Told(player="Aleix", outcome="complete"), told)


def a_goal(source_event_id: str = "goal-1", **told: Unpack[Told]) -> BroadcastEvent:
    return _incident("goal", source_event_id, Told(player="Artem"), told)


def an_own_goal(source_event_id: str = "own-1", **told: Unpack[Told]) -> BroadcastEvent:
    """Its side is the scorer's: it counts for the other one."""
    return _incident("own_goal", source_event_id, Told(player="Eric"), told)


def a_card(
    source_event_id: str = "card-1", kind: str = "yellow_card", **told: Unpack[Told]
) -> BroadcastEvent:
    return _incident(kind, source_event_id, Told(player="Yangel"), told)


def a_substitution(source_event_id: str = "sub-1", **told: Unpack[Told]) -> BroadcastEvent:
    """Who comes on is the other player."""
    return _incident("substitution", source_event_id, Told(player="Ivan", other_player="Cristhian"), told)


def a_var_review(source_event_id: str = "var-1", **told: Unpack[Told]) -> BroadcastEvent:
    return _incident("var", source_event_id, Told(reason="possible offside"), told)


def a_period_start(source_event_id: str = "start-1", **told: Unpack[Told]) -> BroadcastEvent:
    return _incident("period_start", source_event_id, Told(side=None, clock=0), told)


def a_period_end(source_event_id: str = "end-1", **told: Unpack[Told]) -> BroadcastEvent:
    return _incident("period_end", source_event_id, Told(side=None, clock=2760), told)


def a_fixture(source_event_id: str = "fixture", **told: Unpack[Told]) -> BroadcastEvent:
    who = Told(side=None, period=None, clock=None, home="Barcelona", away="Girona", competition="La Liga")
    return _incident("fixture", source_event_id, who, told)


def a_cancel_of(event: BroadcastEvent, reason: str = "offside") -> BroadcastEvent:
    """The next revision, which takes the event back and says why."""
    return msgspec.structs.replace(
        event,
        revision=event.revision + 1,
        action="cancel",
        body=BroadcastBody(side=event.body.side, reason=reason),
    )


def a_change_of(event: BroadcastEvent, kind: str = "", **body: Any) -> BroadcastEvent:
    """The next revision, which describes the event anew."""
    return msgspec.structs.replace(
        event,
        revision=event.revision + 1,
        action="modify",
        type=kind or event.type,
        body=msgspec.structs.replace(event.body, **body),
    )


def a_confirm_of(event: BroadcastEvent) -> BroadcastEvent:
    return msgspec.structs.replace(event, revision=event.revision + 1, action="confirm", body=BroadcastBody())


def a_reading(source_event_id: str = "sensor-1", match: str = MATCH, heart_rate: int = 140) -> SensorEvent:
    return SensorEvent(
        match=match,
        source_event_id=source_event_id,
        type="heart_rate",
        occurred_at=KICK_OFF,
        body=SensorBody(sensor="belt-7", player="Aleix", heart_rate=heart_rate),
    )


def a_post(source_event_id: str = "post-1", match: str = MATCH, text: str = "¡Golazo!") -> SocialEvent:
    return SocialEvent(
        match=match,
        source_event_id=source_event_id,
        type="post",
        occurred_at=KICK_OFF,
        body=SocialBody(author="ana", text=text, language="es"),
    )


def a_translation(of: str = "0" * 32, source_event_id: str = "tr-1", match: str = MATCH) -> DerivedRecord:
    return DerivedRecord(
        match=match,
        source_event_id=source_event_id,
        revision=1,
        type="translation",
        occurred_at=KICK_OFF,
        body=DerivedBody(of=of, of_revision=0, series="translation/en", text="What a goal!"),
    )


def encoded(event: RawEvent) -> bytes:
    """The record as a producer puts it on its topic."""
    return msgspec.json.encode(event)


def as_read(event: RawEvent) -> ReadRecord:
    """The record as it is read from its topic."""
    found = read(encoded(event))
    assert isinstance(found, ReadRecord)
    return found


def _incident(kind: str, source_event_id: str, usual: Told, told: Told) -> BroadcastEvent:
    fields: dict[str, Any] = {"side": "home", "period": 1, "clock": 600, **usual, **told}
    place = {name: fields.pop(name) for name in _PLACE if name in fields}
    place.setdefault("match", MATCH)
    place.setdefault("occurred_at", KICK_OFF + timedelta(seconds=fields["clock"] or 0))
    return BroadcastEvent(source_event_id=source_event_id, type=kind, body=BroadcastBody(**fields), **place)


def passes(count: int, first: int = 1, match: str = MATCH) -> list[BroadcastEvent]:
    """Passes `pass-<first>` and on, a second apart."""
    return [a_pass(f"pass-{first + i}", match=match, clock=600 + first + i) for i in range(count)]
