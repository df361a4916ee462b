"""The fold by example: what a desk, a referee and a late packet do to a match."""

from datetime import timedelta

import msgspec
import pytest

from schemas.fold import (
    ImageFullError,
    advance,
    advance_logged,
    display_minute,
    empty_image,
    fold,
    minute_of,
)
from schemas.image import Incident, MatchImage, goal_timeline
from schemas.live import Score
from schemas.raw import RawEvent
from tests.event_builders import (
    KICK_OFF,
    MATCH,
    a_broadcast,
    a_cancel_of,
    a_card,
    a_change_of,
    a_confirm_of,
    a_fixture,
    a_goal,
    a_pass,
    a_period_end,
    a_period_start,
    a_post,
    a_reading,
    a_substitution,
    a_translation,
    a_var_review,
    an_own_goal,
)


def after(*records: RawEvent) -> MatchImage:
    image = empty_image(MATCH)
    for record in records:
        image = advance(image, record)
    return image


def the_incident(image: MatchImage) -> Incident:
    (incident,) = image.incidents
    return incident


def order_of(image: MatchImage) -> list[str]:
    return [incident.id for incident in image.incidents]


# Score


def test_goals_count_for_their_side() -> None:
    assert after(a_goal("1"), a_goal("2", side="away"), a_goal("3")).score == Score(2, 1)


def test_an_own_goal_counts_for_the_other_side() -> None:
    assert after(an_own_goal(side="home")).score == Score(0, 1)


def test_a_goal_without_a_side_is_remembered_and_counts_for_nobody() -> None:
    image = after(a_goal(side=None))
    assert image.score == Score(0, 0)
    assert order_of(image) == ["goal-1"]


def test_a_cancelled_goal_no_longer_counts_and_says_why() -> None:
    image = after(a_goal(), a_cancel_of(a_goal(), reason="offside"))
    assert image.score == Score(0, 0)
    assert the_incident(image).reason == "offside"
    assert the_incident(image).player == "Artem"


def test_a_cancel_before_its_add_is_remembered() -> None:
    image = after(a_cancel_of(a_goal()))
    assert (image.score, the_incident(image).stands) == (Score(0, 0), False)
    assert after(a_cancel_of(a_goal()), a_goal()).score == Score(0, 0)


def test_a_goal_given_back_counts_again() -> None:
    cancelled = a_cancel_of(a_goal())
    image = after(a_goal(), cancelled, a_confirm_of(cancelled))
    assert image.score == Score(1, 0)


def test_a_late_older_revision_changes_nothing() -> None:
    corrected = a_change_of(a_goal(), player="Robert")
    image = after(corrected, a_goal())
    assert the_incident(image).player == "Robert"


def test_a_confirm_keeps_the_description() -> None:
    image = after(a_goal(), a_confirm_of(a_goal()))
    assert (the_incident(image).player, image.score) == ("Artem", Score(1, 0))


def test_a_confirm_alone_counts_for_nothing() -> None:
    assert after(a_confirm_of(a_goal())).score == Score(0, 0)


def test_a_goal_becomes_an_own_goal() -> None:
    assert after(a_goal(), a_change_of(a_goal(), "own_goal")).score == Score(0, 1)


def test_a_goal_becomes_a_shot_and_a_shot_a_goal() -> None:
    """A type that does not count is remembered once it was corrected, whatever came first."""
    goal = a_goal()
    shot = a_change_of(goal, "shot")
    for order in ((goal, shot), (shot, goal)):
        image = after(*order)
        assert (image.score, image.incidents) == (Score(0, 0), ())
        assert [c.type for c in image.corrections] == ["shot"]
    again = after(shot, goal, a_change_of(shot, "goal"))
    assert (again.score, again.corrections) == (Score(1, 0), ())


def test_an_add_of_a_higher_revision_corrects_like_a_modify() -> None:
    """Not every source says `modify`; what it said last holds, whatever type that has."""
    shot = a_broadcast("shot", "goal-1", revision=1)
    for order in ((a_goal(), shot), (shot, a_goal())):
        image = after(*order)
        assert (image.score, image.incidents) == (Score(0, 0), ())
    again = a_goal(revision=2, side="away")
    assert after(a_goal(), shot, again).score == after(again, shot, a_goal()).score == Score(0, 1)
    assert after(a_broadcast("shot", "x"), a_goal("x", revision=1)).score == Score(1, 0)


def test_a_confirm_that_names_another_type_gives_a_goal_back() -> None:
    confirm = msgspec.structs.replace(a_confirm_of(a_cancel_of(a_goal())), type="shot")
    assert after(a_goal(), a_cancel_of(a_goal()), confirm).score == Score(1, 0)
    assert after(confirm, a_cancel_of(a_goal()), a_goal()).score == Score(1, 0)


def test_a_shoot_out_has_a_score_of_its_own() -> None:
    image = after(a_goal("1"), a_goal("2", period=5), a_goal("3", period=5, side="away"))
    assert (image.score, image.shoot_out) == (Score(1, 0), Score(1, 1))
    assert [line.id for line in goal_timeline(image)] == ["1"]


def test_another_source_never_touches_the_score() -> None:
    """Only the broadcast feed says what counts, whatever types others use."""
    post = msgspec.structs.replace(a_post(), type="goal")
    assert after(post).score == Score(0, 0)
    assert after(post).incidents == ()


# Timeline


def test_timeline_has_the_running_score_and_leaves_cancelled_goals_out() -> None:
    late = a_goal("late", clock=5000, period=2)
    image = after(late, an_own_goal("own", clock=700), a_goal("early", clock=60), a_cancel_of(late))
    lines = [(line.id, line.side, line.score) for line in goal_timeline(image)]
    assert lines == [("early", "home", Score(1, 0)), ("own", "away", Score(1, 1))]


def test_incidents_stand_in_the_order_of_the_match_clock() -> None:
    image = after(
        a_goal("c", period=2, clock=2750),
        a_card("a", clock=60),
        a_var_review("b", clock=2750),
        a_substitution("z"),
    )
    assert order_of(image) == ["a", "z", "b", "c"]


def test_kicks_of_a_shoot_out_keep_the_order_of_the_log_while_the_clock_stands() -> None:
    kicks = [
        a_goal("z", period=5, clock=7200),
        a_broadcast("penalty_missed", "m", period=5, clock=7200, side="away"),
        a_goal("a", period=5, clock=7200),
    ]
    assert order_of(after(*kicks)) == ["z", "m", "a"]
    corrected = a_change_of(kicks[0], player="Robert")
    assert order_of(after(*kicks, corrected, a_goal("b", period=5, clock=7200))) == ["z", "m", "a", "b"]
    assert order_of(after(*kicks, a_change_of(kicks[0], period=2, clock=5000))) == ["z", "m", "a"]


def test_insert_before_goes_in_front_of_what_it_names() -> None:
    image = after(a_goal("a", clock=60), a_goal("b", clock=120), a_card("c", clock=300, insert_before="a"))
    assert order_of(image) == ["c", "a", "b"]


def test_insert_before_waits_for_what_it_names() -> None:
    card = a_card("c", clock=300, insert_before="g")
    assert order_of(after(card)) == ["c"]
    assert order_of(after(card, a_goal("g", clock=60))) == ["c", "g"]


def test_several_in_front_of_one_keep_their_order_and_chains_hold() -> None:
    image = after(
        a_goal("g", clock=60),
        a_card("x", clock=100, insert_before="g"),
        a_card("y", clock=90, insert_before="g"),
        a_var_review("v", clock=200, insert_before="y"),
    )
    assert order_of(image) == ["v", "y", "x", "g"]


@pytest.mark.parametrize("circle", [("a", "a"), ("a", "b"), ("a", "b", "c")])
def test_a_circle_of_insert_before_stands_by_its_clock(circle: tuple[str, ...]) -> None:
    names = sorted(set(circle))
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    records = [a_card(name, clock=n, insert_before=following[name]) for n, name in enumerate(names)]
    hanging = a_card("h", clock=99, insert_before="a")
    assert order_of(after(*records, hanging)) == [*names, "h"]


# Status and clock


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([], "scheduled"),
        ([a_fixture()], "scheduled"),
        ([a_period_start()], "live"),
        ([a_period_start(), a_period_end()], "break"),
        ([a_period_end(), a_period_start()], "break"),
        ([a_period_end(), a_period_start("start-2", period=2)], "live"),
        ([a_period_end("end-2", period=2, outcome="full_time")], "finished"),
        ([a_period_end("end-2", period=2, outcome="full_time"), a_period_start("start-3", period=3)], "live"),
        ([a_period_end("end-2", period=2, outcome="full_time"), a_period_end("also", period=2)], "finished"),
        ([a_period_end("also", period=2), a_period_end("end-2", period=2, outcome="full_time")], "finished"),
        ([a_period_start(), a_cancel_of(a_period_start())], "scheduled"),
        ([a_period_start(), a_cancel_of(a_fixture())], "cancelled"),
    ],
)
def test_status_follows_the_furthest_period_mark(records: list[RawEvent], status: str) -> None:
    assert after(*records).status == status


def test_clock_never_runs_backwards() -> None:
    image = after(a_pass("1", clock=900), a_pass("2", clock=300), a_pass("3", clock=None))
    assert (image.period, image.clock) == (1, 900)
    assert after(a_pass("1", clock=2800), a_pass("2", period=2, clock=2700)).clock == 2700


@pytest.mark.parametrize("kind", ["pass", "goal", "period_start"])
def test_a_reading_that_was_corrected_or_taken_back_no_longer_counts(kind: str) -> None:
    """The clock is the furthest reading that stands, in whatever order that was said."""
    before, wrong = a_pass("before", clock=60), a_broadcast(kind, "x", period=4, clock=7100)
    corrected = a_change_of(wrong, period=1, clock=71)
    cancelled = a_cancel_of(wrong)
    for records, reading in (
        ((before, wrong), (4, 7100)),
        ((before, wrong, corrected), (1, 71)),
        ((corrected, wrong, before), (1, 71)),
        ((before, wrong, cancelled), (1, 60)),
        ((cancelled, before, wrong), (1, 60)),
        ((wrong, cancelled, a_change_of(cancelled, period=1, clock=90), before), (1, 90)),
    ):
        image = after(*records)
        assert (image.period, image.clock) == reading


def test_a_match_whose_readings_were_all_corrected_goes_on_by_its_clock() -> None:
    """Somebody keyed the wrong period for minutes: more readings than are kept."""
    wrong = [a_pass(f"w{n}", period=4, clock=7000 + n) for n in range(30)]
    right = [a_change_of(w, period=1, clock=600 + n) for n, w in enumerate(wrong)]
    image = after(a_pass("p", clock=590), *wrong, *right)
    assert (image.period, image.clock) == (1, 629)
    assert after(*wrong, *right, a_pass("q", clock=700)).clock == 700


# Fixture


def test_a_fixture_names_the_teams_at_its_highest_revision() -> None:
    moved = a_change_of(a_fixture(), kick_off=KICK_OFF + timedelta(days=1))
    image = after(moved, a_fixture())
    assert (image.fixture.home, image.fixture.kick_off) == ("Barcelona", KICK_OFF + timedelta(days=1))


def test_a_cancelled_fixture_keeps_its_names_in_any_order() -> None:
    cancel = a_cancel_of(a_fixture())
    for order in ((a_fixture(), cancel), (cancel, a_fixture())):
        image = after(*order)
        assert (image.status, image.fixture.home, image.fixture.away) == ("cancelled", "Barcelona", "Girona")


# Counts


def test_other_types_are_counted_by_side() -> None:
    image = after(a_pass("1"), a_pass("2", side="away"), a_pass("3", side=None), a_pass("4"), a_reading())
    assert image.counts == {"pass": (2, 1, 1), "heart_rate": (0, 0, 1)}


def test_a_cancelled_pass_is_counted_off() -> None:
    assert after(a_pass(), a_cancel_of(a_pass())).counts == {"pass": (0, 0, 0)}
    assert after(a_cancel_of(a_pass()), a_pass()).counts == {"pass": (0, 0, 0)}


def test_a_second_cancel_takes_nothing_off() -> None:
    one = a_cancel_of(a_pass())
    two = a_cancel_of(one)
    for order in ((a_pass(), one, two), (two, a_pass(), one), (one, two, a_pass())):
        assert after(*order, a_pass("other")).counts == {"pass": (1, 0, 0)}
    assert after(a_pass(), one, a_confirm_of(one)).counts == {"pass": (1, 0, 0)}


def test_a_cancel_without_its_side_takes_no_count_below_nought() -> None:
    """Whose pass it was is not remembered: it waits for one of neither side."""
    cancel = a_cancel_of(a_pass(side=None))
    image = after(a_pass(), cancel)
    assert (image.counts, image.owed) == ({"pass": (1, 0, 0)}, {"pass": (0, 0, 1)})
    image = after(a_pass(), cancel, a_pass("of-neither", side=None))
    assert (image.counts, image.owed) == ({"pass": (1, 0, 0)}, {})


def test_a_goal_that_becomes_a_shot_is_counted_as_one() -> None:
    shot = a_change_of(a_goal(), "shot")
    for order in ((a_goal(), shot), (shot, a_goal())):
        assert after(*order).counts == {"shot": (1, 0, 0)}
    assert after(a_goal(), shot, a_change_of(shot, "goal")).counts == {"shot": (0, 0, 0)}


def test_derived_records_are_not_counted() -> None:
    """A translation of a goal is no second event of the match."""
    image = after(a_translation())
    assert (image.seq, image.counts) == (1, {})


def test_what_is_remembered_is_not_counted_too() -> None:
    assert after(a_goal(), a_card(), a_fixture()).counts == {}


# The live event


def test_a_live_event_says_what_was_true_right_after_it() -> None:
    goal = a_goal(clock=18 * 60)
    image, live = fold(empty_image(MATCH), goal, "ab" * 16, KICK_OFF, 9, "und")
    assert (live.seq, live.score, live.minute, live.importance) == (1, Score(1, 0), "19'", 9)
    assert (live.event, live.event_id, live.appended_at) == (goal, "ab" * 16, KICK_OFF)
    _, cancel = fold(image, a_cancel_of(goal), "cd" * 16, KICK_OFF, 9, "und")
    assert (cancel.seq, cancel.score) == (2, Score(0, 0))


def test_the_image_before_is_untouched() -> None:
    """Old images stay until the commit, so a failed batch is folded again from them."""
    before = after(a_goal(), a_pass())
    kept = msgspec.structs.replace(before, counts=dict(before.counts))
    advance(before, a_pass("2"))
    advance(before, a_cancel_of(a_goal()))
    assert before == kept


def test_a_record_of_the_log_that_finds_no_room_moves_the_seq_alone() -> None:
    """An older fold had other bounds: what it accepted is in the log and cannot be refused."""
    image = empty_image(MATCH)
    with pytest.raises(ImageFullError):
        for n in range(1_000):
            image = advance(image, a_goal(f"goal-{n}"))
    one_more = a_goal("one-more")
    assert advance_logged(image, one_more) == msgspec.structs.replace(image, seq=image.seq + 1)
    assert advance_logged(image, a_pass()) == advance(image, a_pass())


@pytest.mark.parametrize(
    ("period", "clock", "minute"),
    [
        (1, 0, "1'"),
        (1, 59, "1'"),
        (1, 60, "2'"),
        (1, 2699, "45'"),
        (1, 2700, "45+1'"),
        (1, 2760, "45+2'"),
        (2, 2700, "46'"),
        (2, 5399, "90'"),
        (2, 5400, "90+1'"),
        (2, 5940, "90+10'"),
        (3, 5400, "91'"),
        (3, 6300, "105+1'"),
        (4, 6300, "106'"),
        (4, 7199, "120'"),
        (4, 7200, "120+1'"),
        (5, 7200, "121'"),
    ],
)
def test_minutes_read_as_broadcasters_write_them(period: int, clock: int, minute: str) -> None:
    assert display_minute(period, clock) == minute


@pytest.mark.parametrize("record", [a_goal(clock=None), a_goal(period=None), a_post(), a_reading()])
def test_a_record_without_a_clock_has_no_minute(record: RawEvent) -> None:
    assert minute_of(record) == ""


def test_an_unknown_type_is_counted_as_it_is_named() -> None:
    assert after(a_broadcast("drone_shot", "d1")).counts == {"drone_shot": (1, 0, 0)}
