"""What a match came to, read from events as they were delivered."""

import random
from datetime import UTC, datetime
from typing import Any

from local.replay.oracle import differences
from local.replay.outcome import outcome_of
from schemas.live import LiveEvent, Score
from schemas.raw import BroadcastEvent
from tests.event_builders import a_broadcast, a_card, a_goal, a_pass, a_substitution, an_own_goal


def delivered(*events: BroadcastEvent) -> list[LiveEvent]:
    """Events in this order, after the line-ups."""
    line_ups = (
        a_broadcast("lineup", "l1", side="home", home="Fjordheim", period=1, clock=0),
        a_broadcast("lineup", "l2", side="away", away="Costa Verde", period=1, clock=0),
    )
    return [
        LiveEvent(
            event_id=f"{seq:032x}",
            seq=seq,
            appended_at=datetime(2026, 1, 1, tzinfo=UTC),
            score=Score(),
            minute="",
            importance=0,
            language="und",
            event=event,
        )
        for seq, event in enumerate((*line_ups, *events), 1)
    ]


def test_goals_carry_the_score_they_made() -> None:
    outcome = outcome_of(
        delivered(
            a_goal("g1", side="home", period=1, clock=1101),
            a_goal("g2", side="away", period=2, clock=3018),
            an_own_goal("g3", side="home", period=2, clock=4000),
        )
    )
    assert outcome.final_score == {"Fjordheim": 1, "Costa Verde": 2}
    assert outcome.goal_timeline[0] == {
        "period": 1,
        "minute": 18,
        "second": 21,
        "team": "Fjordheim",
        "score": {"Fjordheim": 1, "Costa Verde": 0},
        "event_id": "g1",
    }
    assert [goal["team"] for goal in outcome.goal_timeline] == ["Fjordheim", "Costa Verde", "Costa Verde"]


def test_the_highest_revision_of_an_id_counts_whatever_came_first() -> None:
    events = delivered(
        a_goal("g1", side="home", revision=1, clock=100),
        a_goal("g1", side="home", revision=3, action="cancel", clock=100),
        a_goal("g1", side="away", revision=2, action="modify", clock=100),
        a_goal("g2", side="home", revision=1, clock=200),
        a_goal("g2", side="home", revision=2, action="confirm", clock=200),
        a_goal("g3", side="home", revision=9, action="cancel", clock=300),
    )
    for seed in range(5):
        random.Random(seed).shuffle(events)
        outcome = outcome_of(events)
        assert [goal["event_id"] for goal in outcome.goal_timeline] == ["g2"]
        assert outcome.final_score == {"Fjordheim": 1, "Costa Verde": 0}


def test_a_match_without_goals_ends_nil_nil() -> None:
    assert outcome_of(delivered()).final_score == {"Fjordheim": 0, "Costa Verde": 0}


def test_cards_passes_and_substitutions_are_counted_per_team() -> None:
    outcome = outcome_of(
        delivered(
            a_pass("p1", side="home"),
            a_pass("p2", side="home", outcome="Incomplete"),
            a_pass("p3", side="away"),
            a_card("c1", side="away", clock=700, player="Late"),
            a_card("c2", kind="red_card", side="home", clock=650, player="Early"),
            a_substitution("s1", side="home"),
        )
    )
    assert outcome.passes == {"Fjordheim": 2, "Costa Verde": 1}
    assert outcome.passes_completed == {"Fjordheim": 1, "Costa Verde": 1}
    assert outcome.cards == [
        [10, "Fjordheim", "Red Card", "Early"],
        [11, "Costa Verde", "Yellow Card", "Late"],
    ]
    assert outcome.substitutions == 1


TRUTH = {
    "records": 10,
    "final_score": {"A": 1, "B": 0},
    "cards": [[10, "A", "Red Card", "x"], [11, "B", "Yellow Card", "y"]],
    "passes": {"A": 3, "B": 2},
    "substitutions": 1,
    "per_minute_windows": {"1:0": 3},
}
SAME: dict[str, Any] = {
    "final_score": {"A": 1, "B": 0},
    "cards": [[11, "B", "Yellow Card", "y"], [10, "A", "Red Card", "x"]],
    "passes": {"A": 3, "B": 2},
    "substitutions": 1,
}
COUNTS = {"postgres": 10, "redis": 10, "socketio": 10}


def test_what_is_as_it_should_be_has_no_differences() -> None:
    assert differences(TRUTH, SAME, COUNTS) == []
    assert differences({}, SAME, COUNTS) == []


def test_each_difference_is_named() -> None:
    got = {
        **SAME,
        "final_score": {"A": 1, "B": 1},
        "cards": [[10, "A", "Red Card", "x"], [12, "B", "Yellow Card", "y"]],
        "passes": {"A": 3, "unknown": 2},
        "substitutions": 2,
    }
    assert differences(TRUTH, got, {**COUNTS, "redis": 9}) == [
        "final_score of B: 1 instead of 0",
        'cards: [11,"B","Yellow Card","y"] is missing',
        'cards: [12,"B","Yellow Card","y"] is too much',
        "passes of B: None instead of 2",
        "passes of unknown: 2 instead of None",
        "substitutions: 2 instead of 1",
        "events in redis: 9 instead of 10",
    ]


def test_a_row_that_is_there_twice_is_a_difference() -> None:
    twice = {**SAME, "cards": [*SAME["cards"], SAME["cards"][0]]}
    assert differences(TRUTH, twice, COUNTS) == ["cards: 3 rows instead of 2"]
