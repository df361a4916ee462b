"""Laws of the fold: the path does not matter, nothing raises, the image stays small."""

from collections.abc import Iterable
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
    MatchImage,
    encode_image,
    goal_timeline,
)
from schemas.live import Score, decode_live, encode_live
from schemas.raw import Action, BroadcastEvent, RawEvent, Side
from tests.event_builders import (
    KICK_OFF,
    MATCH,
    a_broadcast,
    a_cancel_of,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
)
from tests.event_strategies import ACTIONS, any_record, contending, contending_record

records_of_a_match = st.lists(contending_record, max_size=20)


def folded(records: Iterable[RawEvent], image: MatchImage | None = None) -> MatchImage:
    image = image or empty_image(MATCH)
    for record in records:
        image = advance(image, record)
    return image


def filled(image: MatchImage, records: Iterable[RawEvent]) -> MatchImage:
    """The image when the next record was refused."""
    try:
        for record in records:
            image = advance(image, record)
    except ImageFullError:
        return image
    raise AssertionError("never full")


def without_path(image: MatchImage) -> MatchImage:
    """The image less what tells how its records came."""
    corrections = tuple(sorted(image.corrections, key=lambda i: i.id))
    return msgspec.structs.replace(image, seq=0, corrections=corrections)


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


@given(records_of_a_match)
def test_score_is_what_the_highest_revision_of_each_goal_says(records: list[BroadcastEvent]) -> None:
    """Compared with a model that keeps every record and looks at the end."""
    unique = {(r.source_event_id, r.revision): r for r in records if r.type != "fixture"}
    home_away: dict[bool, dict[Side, int]] = {s: {"home": 0, "away": 0} for s in (False, True)}
    for name in {name for name, _ in unique}:
        told = sorted(
            (r for r in unique.values() if r.source_event_id == name and _reaches_the_image(r)),
            key=lambda r: r.revision,
        )
        described = [r for r in told if r.action in ("add", "modify")]
        if not described or told[-1].action == "cancel" or described[-1].type not in GOALS:
            continue
        goal = described[-1]
        if goal.body.side is None:
            continue
        other: Side = "away" if goal.body.side == "home" else "home"
        side = other if goal.type == "own_goal" else goal.body.side
        home_away[goal.body.period == SHOOT_OUT][side] += 1
    image = folded(unique.values())
    assert image.score == Score(**home_away[False])
    assert image.shoot_out == Score(**home_away[True])


def _reaches_the_image(record: BroadcastEvent) -> bool:
    return record.type in REMEMBERED or record.action in ("modify", "cancel")


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
    assert set(names) == {r.source_event_id for r in records if r.type != "fixture" and _reaches_the_image(r)}
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


# The costliest character: six bytes in JSON.
WIDE = "\x01"


@given(
    letter=st.sampled_from(["a", "ñ", "😀", WIDE]),
    length=st.integers(1, 120),
    kinds=st.sampled_from([("goal",), ("shot",), ("goal", "shot"), ("var", "pass", "yellow_card")]),
    action=st.sampled_from(ACTIONS),
    everything=st.booleans(),
)
@settings(max_examples=12)
def test_image_of_any_match_stays_below_its_bound(
    letter: str, length: int, kinds: tuple[str, ...], action: Action, everything: bool
) -> None:
    """Endless incidents, endless corrections, long names: refused or forgotten, never a bigger image."""
    text = letter * length if everything else ""
    names = a_fixture(home=letter * 120, away=letter * 120, competition=letter * 120, kick_off=KICK_OFF)
    image = folded([names], empty_image(letter * 128))
    refused = 0
    for n in range(1_200):
        number = str(n)
        record = a_broadcast(
            kinds[n % len(kinds)],
            (letter * length)[: 128 - len(number)] + number,
            revision=2**53 - 1,
            action=action,
            player=text,
            other_player=text,
            outcome=text[:64],
            reason=text,
            insert_before=text or None,
        )
        try:
            image = advance(image, record)
        except ImageFullError:
            refused += 1
        if n % 10 == 0:
            assert len(encode_image(image)) < MAX_IMAGE_BYTES
    assert bool(refused) == (not REMEMBERED.isdisjoint(kinds))


def test_the_fullest_image_stays_below_its_bound() -> None:
    """Every part at its own limit at once: incidents, corrections, names, counts."""
    image = folded(
        [a_fixture(WIDE * 128, home=WIDE * 120, away=WIDE * 120, competition=WIDE * 120, kick_off=KICK_OFF)],
        empty_image(WIDE * 128),
    )
    texts = dict.fromkeys(("player", "other_player", "reason"), WIDE * 120)
    image = filled(image, (a_goal(WIDE * 124 + f"{n:04}") for n in range(1_000)))
    larger = [a_change_of(a_goal(i.id, insert_before=WIDE * 128), **texts) for i in image.incidents]
    image = filled(image, larger)
    for n in range(200):
        image = advance(image, a_cancel_of(a_pass(WIDE * 123 + f"p{n:04}"), WIDE * 120))
    for n in range(100):
        kind = f"{n:02}".rjust(32, "x")
        image = advance(image, a_broadcast(kind, f"{n}"))
    grown = dict.fromkeys(image.counts, (10**15, -(10**15), 10**15))
    image = msgspec.structs.replace(image, seq=2**31, counts=grown)
    assert len(grown) == 65
    assert MAX_IMAGE_BYTES * 0.85 < len(encode_image(image)) < MAX_IMAGE_BYTES


def test_what_counts_can_be_cancelled_in_a_full_match() -> None:
    """New ids are refused before the bound is reached, so a correction still fits."""
    image = empty_image(MATCH)
    image = filled(image, (a_goal(f"goal-{n}", clock=n) for n in range(5_000)))
    goals = image.score.home
    for n in range(10):
        image = advance(image, a_cancel_of(a_goal(f"goal-{n}")))
    assert image.score == Score(goals - 10, 0)


@given(st.integers(65, 200))
@settings(max_examples=10)
def test_a_flood_of_corrections_forgets_the_oldest_only(count: int) -> None:
    """Corrections of passes never crowd out what counts, nor the latest corrections."""
    goal = a_goal()
    image = folded([goal])
    for n in range(count):
        change = msgspec.structs.replace(a_pass(f"pass-{n}"), action="modify", revision=1)
        image = advance(image, change)
    kept = [i.id for i in image.corrections]
    assert kept == [f"pass-{n}" for n in range(count - len(kept), count)]
    assert len(kept) >= 32
    assert image.score == Score(1, 0)


@given(st.integers(0, 30), st.timedeltas(timedelta(0), timedelta(days=1)))
@settings(max_examples=20)
def test_a_live_event_carries_the_score_of_its_own_prefix(goals: int, later: timedelta) -> None:
    image = empty_image(MATCH)
    for n in range(goals):
        image, live = fold(image, a_goal(f"g{n}"), "0" * 32, KICK_OFF + later, 9, "und")
        assert (live.seq, live.score) == (n + 1, Score(n + 1, 0))
