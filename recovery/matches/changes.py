"""What is known otherwise now than then, in plain words. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from recovery.matches.clock import Reading
from recovery.matches.history import Known, Logged, Views, place_of
from schemas.image import GOALS, REMEMBERED, SHOOT_OUT, Fixture, Incident, scoring_side
from schemas.live import Score

CARDS = frozenset({"yellow_card", "second_yellow_card", "red_card"})
# Marks of a period show as the status.
_MARKS = frozenset({"period_start", "period_end"})
_NAMES = {"var": "VAR review", "penalty_missed": "missed penalty"}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference; `seq` and `appended_at` are of the record that made it, where one record did."""

    what: str  # score, shoot_out, status, clock, fixture, goal, card, substitution, var, penalty_missed
    words: str
    then: str
    now: str
    id: str = ""
    seq: int | None = None
    appended_at: datetime | None = None


class _Cause(NamedTuple):
    """The record that an incident's state comes from, when it came after what was known then."""

    logged: Logged | None

    def of(self, what: str, words: str, then: str, now: str, identifier: str) -> Change:
        logged = self.logged
        return Change(
            what=what,
            words=words,
            then=then,
            now=now,
            id=identifier,
            seq=logged.seq if logged else None,
            appended_at=logged.appended_at if logged else None,
        )


def changes(views: Views) -> list[Change]:
    """Every difference between then and now: the match as a whole first, then by match clock."""
    then, now = views.then, views.now
    found = list(_of_the_whole(then, now))
    known = {i.id: i for i in then.image.incidents if i.stands and i.type not in _MARKS}
    counted = {i.id: i for i in now.image.incidents if i.stands and i.type not in _MARKS}
    final = {i.id: i for i in (*views.final.incidents, *views.final.corrections)}
    causes = _causes(views)
    ids = sorted({*known, *counted}, key=lambda i: (place_of(known.get(i) or counted[i]), i))
    for identifier in ids:
        before, after = known.get(identifier), counted.get(identifier)
        cause = _Cause(causes.get(identifier))
        if before is None:
            assert after is not None
            was_heard_of = any(i.id == identifier for i in then.image.incidents)
            found.append(_appeared(after, was_heard_of, cause))
        elif after is None:
            found.append(_vanished(before, final.get(identifier), views.moment, cause))
        else:
            found += _described_anew(before, after, cause)
    return found


def _causes(views: Views) -> dict[str, Logged]:
    """Id -> of the records that came after what was known then, the one with the highest revision."""
    known_seq = views.then.image.seq
    causes: dict[str, Logged] = {}
    for logged in views.records:
        if logged.seq > known_seq:
            held = causes.get(logged.event.source_event_id)
            if held is None or logged.event.revision >= held.event.revision:
                causes[logged.event.source_event_id] = logged
    return causes


def _of_the_whole(then: Known, now: Known) -> Iterator[Change]:
    before, after = then.image, now.image
    if before.score != after.score:
        yield _plain("score", "the score", score_text(before.score), score_text(after.score))
    if before.shoot_out != after.shoot_out:
        yield _plain("shoot_out", "the shoot-out", score_text(before.shoot_out), score_text(after.shoot_out))
    if before.status != after.status:
        yield _plain("status", "the match", before.status, after.status)
    if then.clock != now.clock:
        yield _plain("clock", "the clock", str(then.clock), str(now.clock))
    if _fixture_text(before.fixture) != _fixture_text(after.fixture):
        yield _plain("fixture", "the fixture", _fixture_text(before.fixture), _fixture_text(after.fixture))


def _plain(what: str, name: str, then: str, now: str) -> Change:
    return Change(what=what, words=f"{name} was {then}, is {now}", then=then, now=now)


def _appeared(after: Incident, was_heard_of: bool, cause: _Cause) -> Change:
    how = "counts, and did not then" if was_heard_of else "came late: nothing was known of it then"
    return cause.of(_kind(after), f"{describe(after)} {how}", "", describe(after), after.id)


def _vanished(before: Incident, final: Incident | None, moment: Reading, cause: _Cause) -> Change:
    if final is None:  # forgotten as a correction since: its last record still says what it became
        event = cause.logged.event if cause.logged else None
        how = "counts no more" if event is None else f"is a {_words(event.type)} now"
    elif final.action == "cancel":
        how = "was taken back" + (f": {final.reason}" if final.reason else "")
    elif final.type not in REMEMBERED:
        how = f"is a {_words(final.type)} now"
    elif place_of(final) > moment:
        how = f"happened later, at {place_of(final)}"
    else:
        how = "counts no more"
    return cause.of(_kind(before), f"{describe(before)} {how}", describe(before), "", before.id)


_TOLD = (("type", "was a"), ("player", "was by"), ("other_player", "had as other player"))


def _described_anew(before: Incident, after: Incident, cause: _Cause) -> Iterator[Change]:
    """Each thing that is said otherwise about an incident that counted then and counts now."""
    was, now = describe(before), describe(after)
    for field, verb in _TOLD:
        held, given = getattr(before, field), getattr(after, field)
        if held != given:
            words = f"{now} {verb} {_words(held) or 'nobody'} then"
            yield cause.of(_kind(after), words, _words(held), _words(given), after.id)
    if place_of(before) != place_of(after):
        places = str(place_of(before)), str(place_of(after))
        yield cause.of(_kind(after), f"{now} was put at {places[0]} then", *places, after.id)
    if scoring_side(before) != scoring_side(after):
        words = f"{now} was given to {before.side or 'no side'} then"
        yield cause.of(_kind(after), words, before.side or "", after.side or "", after.id)
    if before.outcome != after.outcome:
        words = f"{now} had the outcome {before.outcome or 'unknown'} then"
        yield cause.of(_kind(after), words, was, now, after.id)


def describe(incident: Incident) -> str:
    """An incident in a few words: 63:12 goal of Artem (home)."""
    who = f" of {incident.player}" if incident.player else ""
    if incident.type == "substitution" and incident.other_player:
        who = f", {incident.other_player} for {incident.player}"
    side = f" ({incident.side})" if incident.side else ""
    shoot_out = " in the shoot-out" if incident.period == SHOOT_OUT else ""
    return f"{place_of(incident)} {_words(incident.type)}{who}{side}{shoot_out}"


def score_text(score: Score) -> str:
    return f"{score.home}-{score.away}"


def _kind(incident: Incident) -> str:
    return "goal" if incident.type in GOALS else "card" if incident.type in CARDS else incident.type


def _words(kind: str) -> str:
    return _NAMES.get(kind, kind.replace("_", " "))


def _fixture_text(fixture: Fixture) -> str:
    if fixture.described < 0:
        return "cancelled" if fixture.cancelled else "unknown"
    kick_off = f", {fixture.kick_off.isoformat()}" if fixture.kick_off else ""
    cancelled = ", cancelled" if fixture.cancelled else ""
    return f"{fixture.home} - {fixture.away}, {fixture.competition}{kick_off}{cancelled}"
