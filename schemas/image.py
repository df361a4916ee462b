"""The image of a match: everything a fan joins with, the fold of its log up to `seq`.

Bounded: it remembers ids only of types that count, and `MAX_IMAGE_BYTES`
is enforced by the fold.
"""

from typing import Literal

import msgspec

from schemas.live import Score
from schemas.raw import Action, Instant, Side

MAX_IMAGE_BYTES = 64 * 1024

# What the image remembers by id: what changes a score, a line-up or the clock.
REMEMBERED = frozenset(
    {
        "goal",
        "own_goal",
        "penalty_missed",
        "yellow_card",
        "second_yellow_card",
        "red_card",
        "substitution",
        "var",
        "period_start",
        "period_end",
    }
)
GOALS = frozenset({"goal", "own_goal"})
SHOOT_OUT = 5

Status = Literal["scheduled", "live", "break", "finished", "cancelled"]


class Fixture(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who plays.

    Of several fixture records the one with the highest (revision, id) says
    whether the match is on, and the highest add or modify among them names
    teams, competition and kick-off, all together.
    """

    revision: int = -1
    id: str = ""
    home: str = ""
    away: str = ""
    competition: str = ""
    kick_off: Instant | None = None
    cancelled: bool = False
    described: int = -1  # revision of the add or modify that the names come from
    described_by: str = ""  # and its id


class Incident(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """The state of one remembered event id.

    Two maxima, so the order of arrival does not matter: `revision` and
    `action` come from the highest revision seen, the description from the
    highest add or modify (`described` is that revision, -1 while only a
    cancel or confirm is known, whose type and side then stand in).
    """

    id: str  # source_event_id
    revision: int
    action: Action
    reason: str = ""
    described: int = -1
    type: str
    side: Side | None = None
    period: int = 0
    clock: int = 0
    player: str = ""
    other_player: str = ""
    outcome: str = ""
    insert_before: str = ""
    added: bool = True  # whether an add of it came by; else its add, if any, is only counted
    seq: int = 0  # of a kick in the shoot-out: where in the log it came first

    @property
    def stands(self) -> bool:
        """Whether it counts: described, and not taken back."""
        return self.described >= 0 and self.action != "cancel"


class MatchImage(msgspec.Struct, frozen=True, gc=False, kw_only=False):
    """The state of a match after the event `seq` of its log.

    `period` and `clock` are the furthest reading that stands.
    """

    v: int
    match: str
    seq: int
    fixture: Fixture
    status: Status
    period: int
    clock: int
    score: Score
    shoot_out: Score
    incidents: tuple[Incident, ...]  # of REMEMBERED types, in the order of the match clock
    counts: dict[str, tuple[int, int, int]]  # other types: adds less cancels of home, away, neither
    # Ids whose latest type does not count and whose records are no mere first
    # words, by arrival; the oldest are forgotten first. Nothing to show: a later
    # record of theirs may count.
    corrections: tuple[Incident, ...] = ()
    # The furthest clock readings of first words that are not remembered: period, clock, id.
    readings: tuple[tuple[int, int, str], ...] = ()
    owed: dict[str, tuple[int, int, int]] = {}  # cancels that found nothing to take off, by type


class GoalLine(msgspec.Struct, frozen=True, gc=False):
    """One goal that stands, with the score it made."""

    id: str
    type: str
    period: int
    clock: int
    side: Side  # who the goal counts for
    player: str
    score: Score


def scoring_side(incident: Incident) -> Side | None:
    """Whom a goal counts for: an own goal, given with the side of its scorer, for the other."""
    if incident.type == "own_goal" and incident.side is not None:
        return "away" if incident.side == "home" else "home"
    return incident.side


def goal_timeline(image: MatchImage) -> list[GoalLine]:
    """The goals that stand, by match clock, each with the running score; shoot-out left out."""
    home = away = 0
    lines: list[GoalLine] = []
    for incident in image.incidents:
        side = scoring_side(incident)
        if incident.type not in GOALS or not incident.stands or side is None or incident.period == SHOOT_OUT:
            continue
        home, away = home + (side == "home"), away + (side == "away")
        lines.append(
            GoalLine(
                incident.id,
                incident.type,
                incident.period,
                incident.clock,
                side,
                incident.player,
                Score(home, away),
            )
        )
    return lines


encode_image = msgspec.json.Encoder().encode
decode_image = msgspec.json.Decoder(MatchImage).decode
