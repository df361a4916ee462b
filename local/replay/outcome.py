"""What came out of a match: score, goals, cards, passes, from delivered events alone. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.live import LiveEvent
from schemas.raw import BroadcastEvent, RawEvent, Side

_CARDS = {"yellow_card": "Yellow Card", "second_yellow_card": "Second Yellow", "red_card": "Red Card"}
_GOALS = ("goal", "own_goal")
_SHOOT_OUT = 5


class Outcome(msgspec.Struct, kw_only=True):
    """A match in the terms of its teams; the same shape as a vendor's own truth."""

    final_score: dict[str, int]
    goal_timeline: list[dict[str, Any]]
    cards: list[list[Any]]  # minute, team, card, player
    passes: dict[str, int]
    passes_completed: dict[str, int]
    substitutions: int


def outcome_of(events: Iterable[LiveEvent]) -> Outcome:
    """Fold events to the highest revision of each id and read off what they say."""
    return _outcome(_standing(events))


def outcome_of_last(records: Iterable[RawEvent]) -> Outcome:
    """What a recording comes to: of each id what was published last holds, whatever its revision."""
    last = {r.source_event_id: r for r in records if isinstance(r, BroadcastEvent)}
    return _outcome(last.values())


def _outcome(events: Iterable[BroadcastEvent]) -> Outcome:
    standing = sorted(events, key=_on_the_clock)
    teams = _teams(standing)
    goals = _goals(standing, teams)
    passes = [event for event in standing if event.type == "pass"]
    return Outcome(
        final_score=goals[-1]["score"] if goals else dict.fromkeys(teams.values(), 0),
        goal_timeline=goals,
        cards=[
            [_clock(event) // 60, _team(event, teams), _CARDS[event.type], event.body.player]
            for event in standing
            if event.type in _CARDS
        ],
        passes=_count(passes, teams),
        passes_completed=_count((event for event in passes if event.body.outcome == "complete"), teams),
        substitutions=sum(event.type == "substitution" for event in standing),
    )


def _standing(events: Iterable[LiveEvent]) -> list[BroadcastEvent]:
    """What each id says in the end: described by its highest add or modify, gone when cancelled."""
    latest: dict[str, BroadcastEvent] = {}
    described: dict[str, BroadcastEvent] = {}
    for live in events:
        event = live.event
        if not isinstance(event, BroadcastEvent):
            continue
        key = event.source_event_id
        if key not in latest or event.revision > latest[key].revision:
            latest[key] = event
        if event.action in ("add", "modify") and (
            key not in described or event.revision > described[key].revision
        ):
            described[key] = event
    return [event for key, event in described.items() if latest[key].action != "cancel"]


def _teams(events: Iterable[BroadcastEvent]) -> dict[Side, str]:
    """The teams' names, from the line-ups or the fixture."""
    teams: dict[Side, str] = {"home": "home", "away": "away"}
    for event in events:
        if event.body.home:
            teams["home"] = event.body.home
        if event.body.away:
            teams["away"] = event.body.away
    return teams


def _goals(events: Iterable[BroadcastEvent], teams: dict[Side, str]) -> list[dict[str, Any]]:
    score = dict.fromkeys(teams.values(), 0)
    goals: list[dict[str, Any]] = []
    for event in events:
        side = event.body.side
        if event.type not in _GOALS or side is None or event.body.period == _SHOOT_OUT:
            continue
        scorer_counts = event.type == "goal"
        team = teams[side] if scorer_counts else teams["away" if side == "home" else "home"]
        score[team] += 1
        minute, second = divmod(_clock(event), 60)
        goals.append(
            {
                "period": event.body.period,
                "minute": minute,
                "second": second,
                "team": team,
                "score": dict(score),
                "event_id": event.source_event_id,
            }
        )
    return goals


def _count(events: Iterable[BroadcastEvent], teams: dict[Side, str]) -> dict[str, int]:
    found = Counter(_team(event, teams) for event in events)
    return {team: found[team] for team in (*teams.values(), *sorted(found.keys() - set(teams.values())))}


def _team(event: BroadcastEvent, teams: dict[Side, str]) -> str:
    return teams[event.body.side] if event.body.side else "unknown"


def _clock(event: BroadcastEvent) -> int:
    return event.body.clock or 0


def _on_the_clock(event: BroadcastEvent) -> tuple[int, int, float, str]:
    return event.body.period or 0, _clock(event), event.occurred_at.timestamp(), event.source_event_id
