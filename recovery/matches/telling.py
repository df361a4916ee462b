"""A moment of a match as an answer: what --json prints and the view shows."""

from datetime import datetime
from typing import Literal

import msgspec

from recovery.matches.changes import CARDS, Change, changes
from recovery.matches.history import Known, Views
from schemas.image import Fixture, GoalLine, MatchImage, Status, goal_timeline
from schemas.live import Score
from schemas.raw import Side
from storage.match_history import MatchPlace


class Card(msgspec.Struct, frozen=True):
    """A card that stands."""

    id: str
    type: str
    period: int
    clock: int
    side: Side | None
    player: str


class KnownThen(msgspec.Struct, frozen=True, kw_only=True):
    """A match at the moment asked for, as known at some time."""

    seq: int  # of the last event that it rests on; 0 before the first
    position: int
    appended_at: datetime | None
    clock: str
    status: Status
    score: Score
    shoot_out: Score
    goals: list[GoalLine]
    cards: list[Card]
    fixture: Fixture


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of a match, as it was known then and as it is known now."""

    match: str
    shard: int
    generation: int
    asked: Literal["at", "as_of", "seq", "head"]
    moment: str  # a reading of the match clock
    is_passed: bool  # whether the log went on beyond the moment
    then: KnownThen
    now: KnownThen
    changes: list[Change]


def tell(place: MatchPlace, asked: Literal["at", "as_of", "seq", "head"], views: Views) -> Telling:
    """Put an answer together."""
    return Telling(
        match=views.final.match,
        shard=place.shard,
        generation=place.generation,
        asked=asked,
        moment=str(views.moment),
        is_passed=views.is_passed,
        then=_known(views.then),
        now=_known(views.now),
        changes=changes(views),
    )


def _known(known: Known) -> KnownThen:
    image, place = known.image, known.place
    return KnownThen(
        seq=place.seq if place else 0,
        position=place.position if place else 0,
        appended_at=place.appended_at if place else None,
        clock=str(known.clock),
        status=image.status,
        score=image.score,
        shoot_out=image.shoot_out,
        goals=goal_timeline(image),
        cards=_cards(image),
        fixture=image.fixture,
    )


def _cards(image: MatchImage) -> list[Card]:
    return [
        Card(i.id, i.type, i.period, i.clock, i.side, i.player)
        for i in image.incidents
        if i.type in CARDS and i.stands
    ]
