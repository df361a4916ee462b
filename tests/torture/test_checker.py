"""What a fan saw is held against the log of each life: one event out of place is enough."""

from tests.torture.checker import check_fan
from tests.torture.fans import LastingFan, Life
from tests.torture.places import Places, Shown, of_fan, of_log

MATCH, OLD, NEW = "m-1", 7, 8
LOG = {MATCH: ["a", "b", "x", "c"]}
# What the old life had behind `b` was lost before anybody noted it.
WRITTEN = {(MATCH, OLD): {1: {"a"}, 2: {"b"}}}


def _fan(*lives: Life) -> LastingFan:
    fan = LastingFan("")
    fan.lives[MATCH] = list(lives)
    return fan


def _old(*ids: str) -> Life:
    return Life(OLD, 0, "", list(enumerate(ids, 1)))


def _new(*ids: str, floor: int = 0) -> Life:
    return Life(NEW, floor, "resync", list(enumerate(ids, floor + 1)))


def test_a_fan_who_saw_each_life_as_it_was_is_right() -> None:
    checked = check_fan("fan", _fan(_old("a", "b"), _new("a", "b", "x", "c")), LOG, WRITTEN)
    assert checked == ([], 0)


def test_an_event_of_a_lost_commit_is_counted_when_it_came_again() -> None:
    checked = check_fan("fan", _fan(_old("a", "b", "x"), _new("x", "c", floor=2)), LOG, WRITTEN)
    assert checked == ([], 1)


def test_an_event_that_is_in_no_log_is_wrong() -> None:
    checked = check_fan("fan", _fan(_old("a", "b", "d"), _new("x", "c", floor=2)), LOG, WRITTEN)
    assert "d at seq 3 of generation 7 is in no log" in checked.violations[0].detail


def test_two_that_changed_places_are_wrong_in_the_life_that_goes_on() -> None:
    checked = check_fan("fan", _fan(_new("a", "x", "b", "c")), LOG, WRITTEN)
    assert "differs from the log at seq 2" in checked.violations[0].detail


def test_an_earlier_connection_of_the_same_life_is_judged_too() -> None:
    checked = check_fan("fan", _fan(_new("a", "c"), _new("b", "x", "c", floor=1)), LOG, WRITTEN)
    assert "differs from the log at seq 2" in checked.violations[0].detail


def test_who_did_not_see_the_end_is_wrong() -> None:
    checked = check_fan("fan", _fan(_new("a", "b", "x")), LOG, WRITTEN)
    assert "is at seq 3, the log ends at 4" in checked.violations[0].detail


def test_an_event_where_the_log_of_its_generation_had_another_is_wrong() -> None:
    """That it came again, at another place, does not make up for it."""
    checked = check_fan("fan", _fan(_old("a", "x", "c"), _new("x", "c", floor=2)), LOG, WRITTEN)
    assert "x at seq 2 of generation 7, where the log had another one" in checked.violations[0].detail


def test_two_readers_of_a_generation_who_were_shown_two_events_at_a_seq_are_wrong() -> None:
    """Whoever they are: fans, streams, `live-events`, or the log as it was at two times."""
    places = Places()
    places.note("fan 1", of_fan(_fan(_old("a", "b"), _new("a", "b", "x"))))
    places.note("the log", of_log(WRITTEN))
    assert not list(places.with_two_events())
    places.note("live-events", [Shown(MATCH, OLD, 2, "x"), Shown(MATCH, NEW, 3, "x")])
    assert list(places.with_two_events()) == [
        f"{MATCH}, seq 2 of generation {OLD}: b (fan 1) and x (live-events)"
    ]
