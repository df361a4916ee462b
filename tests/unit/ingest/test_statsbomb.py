"""StatsBomb lines as records: one for each, whatever the line holds."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.publications import Publications, Published
from ingest.vendors import VendorFormatError, mapper
from ingest.vendors.statsbomb import Mapper
from schemas.fold import advance, empty_image
from schemas.image import goal_timeline
from schemas.raw import MAX_REVISION, BroadcastEvent
from settings import ROOT

REAL = ROOT.parent / "shared" / "real" / "events"

PASS: dict[str, Any] = {
    "_event_time": "2024-03-16T20:00:01.196Z",
    "id": "ae7fa270-0000-4000-8000-000000000001",
    "index": 5,
    "period": 1,
    "timestamp": "00:00:01.196",
    "minute": 0,
    "second": 1,
    "type": {"id": 30, "name": "Pass"},
    "team": {"id": 1, "name": "Fjordheim"},
    "player": {"id": 7, "name": "Søren Haugen"},
    "location": [60.0, 40.0],
    "pass": {"recipient": {"id": 8, "name": "Åsa Berg"}, "length": 12.0},
}


def a_line(**changes: Any) -> bytes:
    """The line of a pass, with some fields changed; None leaves a field out."""
    fields = {name: value for name, value in {**PASS, **changes}.items() if value is not None}
    return json.dumps(fields).encode()


def an_event(kind: str, **changes: Any) -> BroadcastEvent:
    """What a line of this StatsBomb type becomes, its teams known."""
    changes = {"type": {"id": 0, "name": kind}, "pass": None, **changes}
    return mapped(a_mapper(), a_line(**changes))


def a_mapper() -> Mapper:
    """A mapper that has seen the line-ups."""
    one = Mapper("m")
    for line in lineups():
        one.map(line)
    return one


def mapped(one: Mapper, line: bytes) -> BroadcastEvent:
    event = one.map(line)
    assert isinstance(event, BroadcastEvent)
    return event


def test_a_pass_keeps_who_where_and_when() -> None:
    event = an_event("Pass", **{"pass": PASS["pass"]})
    assert (event.match, event.source_event_id, event.type) == ("m", PASS["id"], "pass")
    assert event.occurred_at == datetime(2024, 3, 16, 20, 0, 1, 196000, tzinfo=UTC)
    body = event.body
    assert (body.side, body.period, body.clock) == ("home", 1, 1)
    assert (body.player, body.other_player, body.outcome) == ("Søren Haugen", "Åsa Berg", "complete")
    assert (body.x, body.y) == (52.5, 34.0)  # the middle of the pitch, in metres


def test_the_mapper_is_found_by_its_name() -> None:
    assert isinstance(mapper("statsbomb", "m"), Mapper)


# Every type of the vendor's documentation.
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("50/50", "fifty_fifty"),
        ("Bad Behaviour", "bad_behaviour"),
        ("Ball Receipt*", "ball_receipt"),
        ("Ball Recovery", "ball_recovery"),
        ("Block", "block"),
        ("Camera On", "camera_on"),
        ("Camera off", "camera_off"),
        ("Carry", "carry"),
        ("Clearance", "clearance"),
        ("Dispossessed", "dispossessed"),
        ("Dribble", "dribble"),
        ("Dribbled Past", "dribbled_past"),
        ("Duel", "duel"),
        ("Error", "error"),
        ("Foul Committed", "foul_committed"),
        ("Foul Won", "foul_won"),
        ("Goal Keeper", "goalkeeper"),
        ("Half End", "period_end"),
        ("Half Start", "period_start"),
        ("Injury Stoppage", "injury_stoppage"),
        ("Interception", "interception"),
        ("Miscontrol", "miscontrol"),
        ("Offside", "offside"),
        ("Own Goal Against", "own_goal"),
        ("Own Goal For", "own_goal_for"),
        ("Pass", "pass"),
        ("Player Off", "player_off"),
        ("Player On", "player_on"),
        ("Pressure", "pressure"),
        ("Referee Ball-Drop", "referee_ball_drop"),
        ("Shield", "shield"),
        ("Shot", "shot"),
        ("Starting XI", "lineup"),
        ("Substitution", "substitution"),
        ("Tactical Shift", "tactical_shift"),
        ("A Type They Add Next Year", "a_type_they_add_next_year"),
    ],
)
def test_every_type_has_a_name_of_ours(theirs: str, ours: str) -> None:
    assert an_event(theirs).type == ours


@pytest.mark.parametrize(
    ("outcome", "of", "ours"),
    [
        ("Goal", "Open Play", "goal"),
        ("Goal", "Penalty", "goal"),
        ("Saved", "Penalty", "penalty_missed"),
        ("Off T", "Open Play", "shot"),
    ],
)
def test_a_shot_is_named_by_what_came_of_it(outcome: str, of: str, ours: str) -> None:
    event = an_event("Shot", shot={"outcome": {"id": 0, "name": outcome}, "type": {"id": 0, "name": of}})
    assert (event.type, event.body.outcome) == (ours, outcome)


@pytest.mark.parametrize("where", ["foul_committed", "bad_behaviour"])
@pytest.mark.parametrize(
    ("card", "ours"),
    [("Yellow Card", "yellow_card"), ("Second Yellow", "second_yellow_card"), ("Red Card", "red_card")],
)
def test_a_card_is_the_record_whatever_it_was_shown_for(where: str, card: str, ours: str) -> None:
    """One line is one record: the foul lives on in it."""
    kind = "Foul Committed" if where == "foul_committed" else "Bad Behaviour"
    event = an_event(kind, **{where: {"card": {"id": 0, "name": card}}})
    assert event.type == ours


def test_an_own_goal_counts_for_the_other_side_and_once() -> None:
    """The vendor tells it twice: against its scorer's team, and for the other."""
    image = empty_image("m")
    image = advance(image, an_event("Own Goal Against"))
    image = advance(image, an_event("Own Goal For", id="other", team={"id": 2, "name": "Costa Verde"}))
    assert (image.score.home, image.score.away) == (0, 1)


def test_a_failed_pass_says_how() -> None:
    assert (
        an_event("Pass", **{"pass": {"outcome": {"id": 9, "name": "Incomplete"}}}).body.outcome
        == "Incomplete"
    )


def test_who_comes_on_is_the_other_player() -> None:
    swap = {"outcome": {"id": 103, "name": "Tactical"}, "replacement": {"id": 3, "name": "Bench Boy"}}
    assert an_event("Substitution", substitution=swap).body.other_player == "Bench Boy"


@pytest.mark.parametrize(
    ("period", "outcome"), [(1, ""), (2, "full_time"), (3, ""), (4, "full_time"), (5, "full_time")]
)
def test_the_match_ends_with_a_period_that_may_be_its_last(period: int, outcome: str) -> None:
    """Extra time shows as live again: a later start outranks an earlier end."""
    assert an_event("Half End", period=period, minute=45 * min(period, 2)).body.outcome == outcome


def test_a_clock_that_restarts_each_period_is_read_on() -> None:
    """`timestamp` restarts, minute and second do not."""
    event = an_event("Pressure", period=2, minute=45, second=4, timestamp="00:00:04.000")
    assert (event.body.period, event.body.clock) == (2, 45 * 60 + 4)


@pytest.mark.parametrize(("period", "stamp"), [(1, "00:10:00.5"), (2, "01:12:00.5")])
def test_a_line_without_a_date_still_has_its_time_within_the_match(period: int, stamp: str) -> None:
    line = a_line(_event_time=None, period=period, timestamp="00:10:00.500", minute=50)
    assert Mapper("m").map(line).occurred_at == datetime.fromisoformat(f"1970-01-01T{stamp}+00:00")


def lineups() -> list[bytes]:
    lineup = {"type": {"id": 35, "name": "Starting XI"}, "pass": None, "minute": 0, "second": 0}
    home = a_line(**lineup, id="l1", index=1, team={"id": 1, "name": "Fjordheim"})
    away = a_line(**lineup, id="l2", index=2, team={"id": 2, "name": "Costa Verde"})
    return [home, away]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0,), (1,)])
def test_either_line_up_tells_who_is_at_home(order: tuple[int, ...]) -> None:
    one = Mapper("m")
    for number in order:
        one.map(lineups()[number])
    assert mapped(one, a_line()).body.side == "home"
    assert mapped(one, a_line(team={"id": 2, "name": "Costa Verde"})).body.side == "away"


def test_before_a_line_up_no_side_is_claimed() -> None:
    assert mapped(Mapper("m"), a_line()).body.side is None


def test_a_line_up_names_its_team() -> None:
    home, away = (mapped(a_mapper(), line).body for line in lineups())
    assert (home.home, home.away) == ("Fjordheim", "")
    assert (away.home, away.away) == ("", "Costa Verde")


GOAL = {"type": {"name": "Shot"}, "pass": None, "shot": {"outcome": {"name": "Goal"}}, "minute": 12}
SAVED = {**GOAL, "shot": {"outcome": {"name": "Saved"}}}


def test_one_id_three_times_with_different_bodies_is_three_revisions() -> None:
    """The vendor counts no revisions; what it said first must not swallow what it says next."""
    one = a_mapper()
    lines = [a_line(), a_line(player={"id": 9, "name": "Another"}), a_line(duration=1.5)]
    events = [one.map(line) for line in lines]
    assert len({event.source_event_id for event in events}) == 1
    assert [event.revision for event in events] == [0, 2**40 + 1, 2**40 + 2]
    assert [event.action for event in events] == ["add", "modify", "modify"]
    assert all(event.revision <= MAX_REVISION for event in events)


@pytest.mark.parametrize(
    ("later", "score", "player"),
    [
        (SAVED, (0, 0), ""),
        ({**GOAL, "player": {"name": "Åsa Berg"}}, (1, 0), "Åsa Berg"),
        ({**GOAL, "team": {"name": "Costa Verde"}}, (0, 1), "Søren Haugen"),
        ({**GOAL, "minute": 71, "period": 2}, (1, 0), "Søren Haugen"),
    ],
    ids=["no goal", "other scorer", "other side", "other minute"],
)
@pytest.mark.parametrize("seed", range(20))
def test_what_was_published_last_holds(
    later: dict[str, Any], score: tuple[int, int], player: str, seed: int
) -> None:
    """Whatever both say, and in whatever order they reach the log."""
    one = a_mapper()
    events = [one.map(a_line(**fields, duration=seed)) for fields in (GOAL, later)]
    for order in (events, events[::-1]):
        image = empty_image("m")
        for event in order:
            image = advance(image, event)
        assert (image.score.home, image.score.away) == score
        assert "".join(i.player for i in image.incidents) == player
    back = [*events, one.map(a_line(**GOAL, duration=seed))]
    image = empty_image("m")
    for event in back:
        image = advance(image, event)
    assert (image.score.home, image.score.away, image.incidents[0].player) == (1, 0, "Søren Haugen")


def test_a_line_that_names_its_version_needs_no_order() -> None:
    """Who serves a recording in disorder knows the order that it had."""
    numbered = [a_line(**GOAL, _published=0), a_line(**SAVED, _published=1)]
    in_order = [Mapper("m").map(line) for line in numbered]
    assert [Mapper("m").map(line) for line in reversed(numbered)] == in_order[::-1]
    one = Mapper("m")
    assert [one.map(a_line(**GOAL)), one.map(a_line(**SAVED))] == in_order


def test_a_line_that_is_no_record_is_no_version() -> None:
    one = a_mapper()
    with pytest.raises(VendorFormatError):
        one.map(a_line(minute=-1))
    event = one.map(a_line())
    assert (event.revision, event.action) == (0, "add")


def test_a_feed_read_by_a_former_code_keeps_its_first_words() -> None:
    """Their revisions were hashes; every correction is above them."""
    publications = Publications(Published(began_hashed=True))
    one = Mapper("m", publications)
    first, correction = one.map(a_line(**GOAL)), one.map(a_line(**SAVED))
    assert (first.revision, first.action) == (917_504_746_367, "add")
    assert correction.revision > 2**40


def test_the_same_said_again_is_the_same_revision() -> None:
    """Field order, spacing and the place in the file mean nothing."""
    fields = json.loads(a_line())
    again = json.dumps(dict(reversed(fields.items())) | {"index": 977}, indent=1).replace("\n", " ").encode()
    one = Mapper("m")
    assert one.map(a_line()) == one.map(again)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"", "line"),
        (b"half of a li", "line"),
        (a_line()[:80], "line"),
        (b"\xff\xfe", "line"),
        (b"[" * 100_000, "line"),
        (b"[]", "line"),
        (b"{}", "id"),
        (a_line(id=None), "id"),
        (a_line(id=7), "id"),
        (a_line(id=""), "invalid_record"),
        (a_line(type=None), "type"),
        (a_line(type={"id": 30}), "type.name"),
        (a_line(type={"id": 30, "name": "?!"}), "type.name"),
        (a_line(team=None), "team"),
        (a_line(minute=None), "minute"),
        (a_line(second="x"), "second"),
        (a_line(period=9), "invalid_record"),
        (a_line(minute=-1), "invalid_record"),
        (a_line(_event_time=None, timestamp=None), "timestamp"),
        (a_line(_event_time=None, timestamp="soon"), "timestamp"),
        (a_line(_event_time="yesterday"), "_event_time"),
        (a_line(foul_committed={"card": {"id": 1, "name": "Green Card"}}, **{"pass": None}), "card"),
        (a_line(player={"id": 1, "name": "nul\0"}), "forbidden_character"),
        (a_line(id="x" * 200), "invalid_record"),
        (a_line(_published=-1), "_published"),
    ],
)
def test_a_line_that_is_none_says_what_is_wrong(line: bytes, field: str) -> None:
    """It is forwarded as it came, and ends as a dead letter."""
    with pytest.raises(VendorFormatError) as raised:
        Mapper("m").map(line)
    assert raised.value.field == field


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is not there")
def test_a_real_match_comes_to_what_was_computed_apart() -> None:
    """A whole match of another's making, against a truth computed by another program."""
    oracle = json.loads((REAL / "oracle_15986.json").read_bytes())
    lines = Path(REAL / "barcelona_girona_15986.jsonl").read_bytes().splitlines()
    one = Mapper("m")
    events = [mapped(one, line) for line in lines]
    assert len(events) == oracle["records"]
    assert len({(event.source_event_id, event.revision) for event in events}) == oracle["records"]

    teams = {"home": oracle["teams"][0], "away": oracle["teams"][1]}
    image = empty_image("m")
    for event in events:
        image = advance(image, event)
    assert {teams["home"]: image.score.home, teams["away"]: image.score.away} == oracle["final_score"]
    assert image.status == "finished"
    assert [
        (line.period, line.clock // 60, line.clock % 60, teams[line.side], line.id)
        for line in goal_timeline(image)
    ] == [(g["period"], g["minute"], g["second"], g["team"], g["event_id"]) for g in oracle["goal_timeline"]]

    names = {"yellow_card": "Yellow Card", "red_card": "Red Card", "second_yellow_card": "Second Yellow"}
    cards = [
        [(e.body.clock or 0) // 60, teams[e.body.side or ""], names[e.type], e.body.player]
        for e in events
        if e.type in names
    ]
    assert cards == oracle["cards"]
    passes = Counter(teams[e.body.side or ""] for e in events if e.type == "pass")
    complete = Counter(
        teams[e.body.side or ""] for e in events if e.type == "pass" and e.body.outcome == "complete"
    )
    assert passes == oracle["passes"]
    assert complete == oracle["passes_completed"]
    assert sum(e.type == "substitution" for e in events) == oracle["substitutions"]
