"""Whatever a match had, its image stays small, and what decides it finds room."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fold import READINGS_KEPT, ImageFullError, advance, empty_image
from schemas.image import MAX_IMAGE_BYTES, REMEMBERED, encode_image
from schemas.live import Score
from schemas.raw import Action, BroadcastEvent
from tests.event_builders import (
    KICK_OFF,
    MATCH,
    Told,
    a_broadcast,
    a_cancel_of,
    a_card,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_substitution,
    a_var_review,
)
from tests.event_strategies import ACTIONS
from tests.folding import filled, folded

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
    """Every part at its own limit at once: incidents, corrections, names, counts, readings, what is owed."""
    image = folded(
        [a_fixture(WIDE * 128, home=WIDE * 120, away=WIDE * 120, competition=WIDE * 120, kick_off=KICK_OFF)],
        empty_image(WIDE * 128),
    )
    texts = dict.fromkeys(("player", "other_player", "reason"), WIDE * 120)
    image = filled(image, (a_goal(WIDE * 124 + f"{n:04}") for n in range(1_000)))
    image = filled(image, (a_var_review(WIDE * 124 + f"v{n:03}") for n in range(1_000)))
    larger = [
        a_change_of(a_broadcast(i.type, i.id, insert_before=WIDE * 128), **texts) for i in image.incidents
    ]
    image = folded(larger, image)
    for n in range(200):
        image = advance(image, a_cancel_of(a_pass(WIDE * 123 + f"p{n:04}"), WIDE * 120))
    for n in range(10):
        image = advance(image, a_pass(WIDE * 123 + f"r{n:04}", period=5, clock=14_000 + n))
    for n in range(100):
        kind = f"{n:02}".rjust(32, "x")
        image = advance(image, a_broadcast(kind, f"{n}"))
    assert len(image.counts) == 65
    assert len(image.readings) == READINGS_KEPT
    grown = dict.fromkeys(image.counts, (2**31, 0, 2**31))
    owed = dict.fromkeys(image.counts, (0, 2**31, 0))
    image = msgspec.structs.replace(image, seq=2**31, counts=grown, owed=owed)
    assert MAX_IMAGE_BYTES * 0.85 < len(encode_image(image)) < MAX_IMAGE_BYTES


FULL_NAMES = Told(player="Maximiliano Alessandro Hernández", other_player="Sebastião Wenceslau Figueiredo")


@pytest.mark.parametrize(
    "rest",
    [
        [a_substitution(f"substitution-{n:04}", **FULL_NAMES) for n in range(163)],
        [a_card(f"card-{n}", clock=n) for n in range(259)],
    ],
    ids=["substitutions with full names", "short cards"],
)
def test_goals_find_room_whatever_else_a_match_had(rest: list[BroadcastEvent]) -> None:
    """Names of the rest give way; no goal, no review and no correction of them is refused."""
    image = folded(rest)
    image = folded([a_var_review("review"), *(a_goal(f"goal-{n}", clock=n) for n in range(40))], image)
    assert image.score == Score(40, 0)
    long = {"player": "N" * 120, "other_player": "M" * 120, "reason": "R" * 120}
    image = folded([a_change_of(a_goal(f"goal-{n}"), **long) for n in range(40)], image)
    image = folded([a_change_of(r, **long) for r in rest[:60]], image)
    image = folded([a_cancel_of(a_var_review("review")), a_cancel_of(a_change_of(a_goal("goal-7")))], image)
    assert image.score == Score(39, 0)
    assert [i.action for i in image.incidents if i.id == "review"] == ["cancel"]
    assert len(encode_image(image)) < MAX_IMAGE_BYTES


def test_a_goal_is_refused_only_when_goals_alone_exceed_their_budget() -> None:
    """Periods, reviews, cards and substitutions at their own limits take nothing from it."""
    alone = filled(empty_image(MATCH), (a_goal(f"goal-{n:03}") for n in range(500))).score.home
    image = empty_image(MATCH)
    for kind in ("var", "red_card", "yellow_card", "substitution"):
        image = filled(image, (a_broadcast(kind, f"{kind}-{n}", **FULL_NAMES) for n in range(500)))
    image = filled(image, (a_goal(f"goal-{n:03}") for n in range(500)))
    assert image.score.home == alone >= 100


_sizes = st.sampled_from([1, 12, 36, 124])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["goal", "var", "yellow_card", "substitution", "pass"]),
            st.sampled_from(ACTIONS),
            st.integers(0, 400),
            _sizes,
            st.sampled_from(["", "n", "ñ", WIDE]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_a_correction_of_a_known_id_is_never_refused(
    script: list[tuple[str, Action, int, int, str]], times: int
) -> None:
    """Whatever the sizes; only what would make one goal more than the budget of goals is."""
    image = empty_image(MATCH)
    revision = 0
    for _ in range(times):
        for kind, action, number, size, letter in script:
            revision += 1
            name = f"{(number * revision) % 400:04}".rjust(size, "i")
            text = letter * 64
            known = {i.id: i for i in (*image.incidents, *image.corrections)}.get(name)
            record = a_broadcast(
                kind,
                name,
                revision=revision,
                action=action,
                player=text,
                other_player=text,
                outcome=text,
                reason=text,
                insert_before=text or None,
            )
            try:
                image = advance(image, record)
            except ImageFullError:
                assert known is None or (action in ("add", "modify") and known.type != kind)
            assert len(encode_image(image)) < MAX_IMAGE_BYTES


def test_what_counts_can_be_cancelled_in_a_full_match() -> None:
    """Each id is charged at its longest when it comes, so a correction always fits."""
    image = empty_image(MATCH)
    image = filled(image, (a_goal(f"goal-{n}", clock=n) for n in range(5_000)))
    goals = image.score.home
    for n in range(goals):
        image = advance(image, a_cancel_of(a_goal(f"goal-{n}"), "R" * 120))
    assert image.score == Score(0, 0)


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
