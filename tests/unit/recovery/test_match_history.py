"""A moment of a match seen twice: what was known then, and what is known of it now."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from recovery.matches.changes import Change, changes
from recovery.matches.clock import read_clock
from recovery.matches.history import Cut, Logged, SeqGapError, Views, look
from schemas.image import goal_timeline
from schemas.raw import RawEvent
from tests.event_builders import (
    KICK_OFF,
    MATCH,
    a_cancel_of,
    a_card,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_end,
    a_period_start,
    a_reading,
    an_own_goal,
)

GOAL = a_goal("g1", clock=1200)
SECOND_HALF = a_period_start("start-2", period=2, clock=2700)


def logged(*events: RawEvent) -> list[Logged]:
    """A log that appends an event a second."""
    return [
        Logged(seq, 10 + seq, KICK_OFF + timedelta(seconds=seq), event)
        for seq, event in enumerate((a_period_start(), *events), 1)
    ]


def at(text: str, events: Sequence[RawEvent]) -> Views:
    return look(MATCH, logged(*events), Cut(at=read_clock(text)))


def scores(views: Views) -> tuple[tuple[int, int], tuple[int, int]]:
    then, now = views.then.image.score, views.now.image.score
    return (then.home, then.away), (now.home, now.away)


def said(views: Views) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in changes(views):
        found.setdefault(change.what, []).append(change)
    return found


def test_moment_holds_what_happened_up_to_and_with_it() -> None:
    events = [a_pass(clock=1199), GOAL, a_pass("p2", clock=1201)]
    assert scores(at("19:59", events)) == ((0, 0), (0, 0))
    assert scores(at("20:00", events)) == ((1, 0), (1, 0))
    assert changes(at("20:00", events)) == []


def test_goal_that_var_took_back_was_known_then_and_is_not_now() -> None:
    """A cancel has no clock of its own: it takes back what happened when it happened."""
    views = at("20:30", [GOAL, a_pass(clock=1300), a_cancel_of(GOAL, reason="offside")])
    assert scores(views) == ((1, 0), (0, 0))
    told = said(views)
    assert told["score"][0].words == "the score was 1-0, is 0-0"
    assert told["goal"][0].words == "20:00 goal of Artem (home) was taken back: offside"
    assert (told["goal"][0].seq, told["goal"][0].appended_at) == (4, KICK_OFF + timedelta(seconds=4))
    assert set(told) == {"score", "goal"}


def test_scorer_that_changed_later_is_told_with_both_names() -> None:
    views = at("20:30", [GOAL, a_pass(clock=1300), a_change_of(GOAL, player="Aleix")])
    assert [line.player for line in goal_timeline(views.then.image)] == ["Artem"]
    assert [line.player for line in goal_timeline(views.now.image)] == ["Aleix"]
    (change,) = changes(views)
    assert (change.what, change.then, change.now, change.seq) == ("goal", "Artem", "Aleix", 4)
    assert change.words == "20:00 goal of Aleix (home) was by Artem then"


def test_event_that_arrived_late_counts_when_it_happened() -> None:
    """The log learned of it after it had passed the moment; it does not turn the clock back."""
    views = at("20:30", [a_pass(clock=1300), SECOND_HALF, GOAL, a_card("c1", clock=1100)])
    assert scores(views) == ((0, 0), (1, 0))
    told = said(views)
    assert told["goal"][0].words == "20:00 goal of Artem (home) came late: nothing was known of it then"
    assert told["card"][0].seq == 5
    assert scores(at("19:59", [a_pass(clock=1300), GOAL])) == ((0, 0), (0, 0))


def test_log_has_passed_a_moment_at_the_first_event_beyond_it_and_never_again() -> None:
    """An event of an earlier clock after that one was not known then, whatever it says."""
    views = at("20:00", [a_pass(clock=1000), a_pass("p2", clock=1201), GOAL, a_pass("p3", clock=1200)])
    assert views.then.image.seq == 2
    assert (str(views.then.clock), str(views.now.clock)) == ("16:40", "20:00")
    assert {change.what for change in changes(views)} == {"score", "clock", "goal"}


def test_records_without_a_clock_are_known_in_the_order_of_the_log() -> None:
    events: list[RawEvent] = [a_reading("r1"), GOAL, a_reading("r2"), a_pass(clock=1300), a_reading("r3")]
    assert at("20:00", events).then.image.seq == 4
    assert changes(at("20:00", events)) == []


def test_moment_that_was_not_reached_is_the_end_of_the_log() -> None:
    views = at("80:00", [GOAL])
    assert not views.is_passed
    assert views.then.image.seq == 2
    assert changes(views) == []


def test_break_is_known_in_stoppage_time_that_nobody_played() -> None:
    """The first event of the second half is what passes every moment of the first."""
    ended = a_period_end(clock=2760)
    assert at("45+2:10", [ended, SECOND_HALF]).then.image.status == "break"
    assert at("45+0:59", [ended, SECOND_HALF]).then.image.status == "live"
    assert at("45:00", [ended, SECOND_HALF]).then.image.status == "live"


def test_goal_that_became_a_shot_says_so() -> None:
    views = at("20:30", [GOAL, a_pass(clock=1300), a_change_of(GOAL, "shot")])
    assert scores(views) == ((1, 0), (0, 0))
    assert said(views)["goal"][0].words == "20:00 goal of Artem (home) is a shot now"


def test_goal_that_became_an_own_goal_counts_for_the_other_side() -> None:
    views = at("20:30", [GOAL, a_pass(clock=1300), a_change_of(GOAL, "own_goal", player="Eric")])
    assert scores(views) == ((1, 0), (0, 1))
    assert [change.then for change in said(views)["goal"]] == ["goal", "Artem", "home"]


def test_goal_whose_clock_was_corrected_counts_where_it_is_put_now() -> None:
    later = a_change_of(GOAL, clock=1240)
    views = at("20:30", [GOAL, a_pass(clock=1300), later])
    assert scores(views) == ((1, 0), (0, 0))
    assert said(views)["goal"][0].words == "20:00 goal of Artem (home) happened later, at 20:40"
    views = at("20:50", [GOAL, a_pass(clock=1300), later])
    assert [change.words for change in said(views)["goal"]] == [
        "20:40 goal of Artem (home) was put at 20:00 then"
    ]


def test_cancel_that_was_cancelled_brings_the_goal_back() -> None:
    back = a_change_of(a_cancel_of(GOAL), player="Artem", period=1, clock=1200)
    views = at("20:30", [GOAL, a_cancel_of(GOAL), a_pass(clock=1300), back])
    assert scores(views) == ((0, 0), (1, 0))
    assert said(views)["goal"][0].words == "20:00 goal of Artem (home) counts, and did not then"


def test_moment_by_wall_clock_is_what_was_appended_by_then() -> None:
    """Its match clock is the moment that is seen again: what came since but happened later is no change."""
    events = logged(GOAL, an_own_goal(clock=1500), a_cancel_of(GOAL))
    views = look(MATCH, events, Cut(as_of=KICK_OFF + timedelta(seconds=2.5)))
    assert str(views.moment) == "20:00"
    assert scores(views) == ((1, 0), (0, 0))
    assert look(MATCH, events, Cut(as_of=events[1].appended_at)).then.image.seq == 2
    assert look(MATCH, events, Cut(as_of=datetime.min.replace(tzinfo=KICK_OFF.tzinfo))).then.place is None


def test_moment_by_seq_is_the_log_up_to_it() -> None:
    views = look(MATCH, logged(GOAL, a_cancel_of(GOAL)), Cut(seq=2))
    assert scores(views) == ((1, 0), (0, 0))
    assert look(MATCH, logged(GOAL), Cut(seq=0)).then.place is None


def test_without_a_moment_then_is_now() -> None:
    views = look(MATCH, logged(GOAL, a_cancel_of(GOAL)), Cut())
    assert scores(views) == ((0, 0), (0, 0))
    assert changes(views) == []


def test_teams_that_were_not_known_then_are_told() -> None:
    views = at("20:00", [GOAL, a_pass(clock=1300), a_fixture()])
    (change,) = changes(views)
    assert (change.what, change.then, change.now) == ("fixture", "unknown", "Barcelona - Girona, La Liga")


def test_hole_in_the_log_is_no_match_to_show() -> None:
    events = logged(GOAL, a_pass())
    with pytest.raises(SeqGapError, match="seq 3 where 2"):
        look(MATCH, [events[0], events[2]], Cut())
