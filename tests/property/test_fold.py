"""Laws of the fold: the path does not matter, nothing raises, the image stays small."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fold import ImageFullError, advance, empty_image, fold
from schemas.image import (
    GOALS,
    MAX_IMAGE_BYTES,
    REMEMBERED,
    SHOOT_OUT,
    Incident,
    MatchImage,
    encode_image,
    goal_timeline,
)
from schemas.incidents import remembers
from schemas.live import Score, decode_live, encode_live
from schemas.raw import Action, BroadcastEvent, RawEvent
from tests.event_builders import (
    KICK_OFF,
    MATCH,
    a_broadcast,
    a_goal,
    a_pass,
)
from tests.event_strategies import ACTIONS, any_record, contending, contending_record
from tests.folding import folded

records_of_a_match = st.lists(contending_record, max_size=20)


def without_path(image: MatchImage) -> MatchImage:
    """The image less what tells how its records came: kicks of a shoot-out keep the order of the log."""
    incidents = image.incidents
    if any(i.seq for i in incidents):
        incidents = _by_id(incidents)
    return msgspec.structs.replace(image, seq=0, incidents=incidents, corrections=_by_id(image.corrections))


def _by_id(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    return tuple(sorted((msgspec.structs.replace(i, seq=0) for i in incidents), key=lambda i: i.id))


@given(st.data(), records_of_a_match)
def test_any_order_of_revisions_ends_in_the_same_image(
    data: st.DataObject, records: list[BroadcastEvent]
) -> None:
    """Adds, confirms, changes of type, cancels and ties: the image is a function of the set."""
    shuffled = data.draw(st.permutations(records))
    image = folded(shuffled)
    assert image.seq == len(records)
    assert without_path(image) == without_path(folded(records))


@given(st.data(), st.lists(contending("fixture"), max_size=6))
def test_any_order_of_fixtures_names_the_same_teams(
    data: st.DataObject, records: list[BroadcastEvent]
) -> None:
    """Names come from one record all together, never patched up from several in order of arrival."""
    shuffled = data.draw(st.permutations(records))
    assert folded(shuffled).fixture == folded(records).fixture


class Model:
    """What the highest revision of each id says: every record kept, looked at only in the end."""

    def __init__(self, records: Iterable[BroadcastEvent]) -> None:
        self.told: dict[str, list[BroadcastEvent]] = {}
        for record in sorted(records, key=lambda r: r.revision):
            if record.type != "fixture":
                self.told.setdefault(record.source_event_id, []).append(record)

    def standing(self) -> Iterator[BroadcastEvent]:
        """The latest description of each id that was not taken back."""
        for told in self.told.values():
            described = [r for r in told if r.action in ("add", "modify")]
            if described and told[-1].action != "cancel":
                yield described[-1]

    def score(self, is_shoot_out: bool) -> Score:
        sides: Counter[str] = Counter()
        for goal in self.standing():
            if goal.type in GOALS and goal.body.side and (goal.body.period == SHOOT_OUT) == is_shoot_out:
                other = "away" if goal.body.side == "home" else "home"
                sides[other if goal.type == "own_goal" else goal.body.side] += 1
        return Score(sides["home"], sides["away"])

    def status(self) -> str:
        marks = [
            (r.body.period or 0, r.type == "period_end", r.body.outcome == "full_time")
            for r in self.standing()
            if r.type in ("period_start", "period_end")
        ]
        if not marks:
            return "scheduled"
        _, is_end, is_full_time = max(marks)
        return "live" if not is_end else "finished" if is_full_time else "break"

    def clock(self) -> tuple[int, int]:
        readings = ((r.body.period, r.body.clock or 0) for r in self.standing() if r.body.period)
        return max(readings, default=(0, 0))


# As the log has them: one record for each id and revision, and a clock with
# every period. A first word of a type that does not count is not remembered,
# so what is said after it describes the event anew.
def _as_logged(records: Iterable[BroadcastEvent]) -> list[BroadcastEvent]:
    whole = [
        msgspec.structs.replace(r, body=msgspec.structs.replace(r.body, clock=r.body.clock or 0))
        for r in records
        if r.type != "fixture" and (remembers(r) or r.body.period)
    ]
    return list({(r.source_event_id, r.revision): r for r in whole}.values())


@given(st.data(), records_of_a_match)
@settings(max_examples=300)
def test_the_state_is_what_the_highest_revision_of_each_id_says(
    data: st.DataObject, drawn: list[BroadcastEvent]
) -> None:
    """Adds, modifies, cancels, confirms, changes of type and re-adds, in any order."""
    records = _as_logged(drawn)
    image = folded(data.draw(st.permutations(records)))
    model = Model(r for r in records if _is_told(r, records))
    assert image.score == model.score(is_shoot_out=False)
    assert image.shoot_out == model.score(is_shoot_out=True)
    assert image.status == model.status()
    assert (image.period, image.clock) == model.clock()
    assert all(min(row) >= 0 for row in image.counts.values())


def _is_told(record: BroadcastEvent, records: Iterable[BroadcastEvent]) -> bool:
    """Whether the image has a record: a mere first word only while nothing else is said of its id."""
    others = (r for r in records if r.source_event_id == record.source_event_id and r is not record)
    return remembers(record) or not any(remembers(r) for r in others)


@given(
    st.data(), st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(["pass", "goal"])), max_size=5)
)
def test_of_one_id_the_highest_revision_decides_whatever_else_was_said(
    data: st.DataObject, said: list[tuple[Action, str]]
) -> None:
    """A goal that a later word makes a pass is none, and a pass that it makes a goal is one."""
    first = a_pass("x")
    words = [
        a_broadcast(kind, "x", revision=n, action=action) for n, (action, kind) in enumerate(said, start=1)
    ]
    last = a_broadcast("goal", "x", revision=9)
    order = data.draw(st.permutations([first, *words, last]))
    assert folded(order).score == Score(1, 0)
    assert folded([*order, a_broadcast("shot", "x", revision=10)]).score == Score(0, 0)


@given(records_of_a_match)
def test_running_score_of_the_timeline_ends_in_the_score(records: list[BroadcastEvent]) -> None:
    image = folded(records)
    timeline = goal_timeline(image)
    assert (timeline[-1].score if timeline else Score()) == image.score


@given(records_of_a_match)
def test_incidents_hold_each_id_once_and_only_types_that_count(records: list[BroadcastEvent]) -> None:
    """Circles of insert_before included: nothing is lost or doubled by placing it."""
    image = folded(records)
    names = [i.id for i in (*image.incidents, *image.corrections)]
    assert len(names) == len(set(names))
    assert set(names) == {r.source_event_id for r in records if r.type != "fixture" and remembers(r)}
    assert {i.type for i in image.incidents} <= REMEMBERED
    assert not {i.type for i in image.corrections} & REMEMBERED


@given(records_of_a_match, st.data())
def test_a_repeated_incident_changes_only_seq(records: list[BroadcastEvent], data: st.DataObject) -> None:
    remembered = [r for r in records if r.type in REMEMBERED or r.type == "fixture"]
    again = data.draw(st.lists(st.sampled_from(remembered), max_size=5)) if remembered else []
    image = folded(remembered)
    assert without_path(folded(again, image)) == without_path(image)


@given(st.permutations([f"kind_{n:02}" for n in range(70)] + ["other"]), st.integers(1, 2))
def test_counts_of_more_types_than_the_image_counts_do_not_depend_on_the_path(
    kinds: list[str], times: int
) -> None:
    """64 types by name are counted apart, the rest together."""
    records = [a_broadcast(kind, f"{kind}-{n}") for n in range(times) for kind in kinds]
    counts = folded(records).counts
    assert counts == {f"kind_{n:02}": (times, 0, 0) for n in range(64)} | {"other": (7 * times, 0, 0)}


@given(any_record)
def test_whatever_decode_lets_through_folds(record: RawEvent) -> None:
    """Total, and what comes out can be stored and read again."""
    image, live = fold(empty_image(record.match), record, "0" * 32, KICK_OFF, 0, "und")
    assert image.seq == live.seq == 1
    assert live.score == image.score
    assert decode_live(encode_live(live)) == live
    assert len(encode_image(image)) < MAX_IMAGE_BYTES


@given(st.lists(any_record, max_size=12))
@settings(max_examples=50)
def test_the_fold_raises_nothing_but_that_the_image_is_full(records: list[RawEvent]) -> None:
    image = empty_image("any")
    for record in records:
        try:
            image = advance(image, record)
        except ImageFullError as error:
            assert error.size > 0
    assert len(encode_image(image)) < MAX_IMAGE_BYTES


@given(st.integers(0, 30), st.timedeltas(timedelta(0), timedelta(days=1)))
@settings(max_examples=20)
def test_a_live_event_carries_the_score_of_its_own_prefix(goals: int, later: timedelta) -> None:
    image = empty_image(MATCH)
    for n in range(goals):
        image, live = fold(image, a_goal(f"g{n}"), "0" * 32, KICK_OFF + later, 9, "und")
        assert (live.seq, live.score) == (n + 1, Score(n + 1, 0))
