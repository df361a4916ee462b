"""The page's fold and ours: the same image for the same records."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fold import ImageFullError, advance, advance_logged, display_minute, empty_image
from schemas.image import MatchImage, decode_image, encode_image, goal_timeline
from schemas.raw import RawEvent, Side
from settings import ROOT
from tests.event_builders import (
    MATCH,
    Told,
    a_broadcast,
    a_cancel_of,
    a_change_of,
    a_fixture,
    a_goal,
    a_pass,
    a_substitution,
    a_var_review,
)
from tests.event_strategies import any_record, contending_record
from tests.unit.web.node import node_argv

HERE = Path(__file__).parent


class PageFold:
    """web/fold.js in a Node process that folds one list of records per line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def fold(
        self, records: Sequence[RawEvent], start: MatchImage | None = None
    ) -> tuple[MatchImage, list[tuple[str, dict[str, int]]]]:
        """The page's image, and the running score after each goal that stands."""
        asked = {"match": MATCH, "start": start, "records": records}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(msgspec.json.encode(asked).decode() + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        return decode_image(json.dumps(answer["image"])), [(name, score) for name, score in answer["running"]]


@pytest.fixture(scope="module")
def page() -> Iterator[PageFold]:
    with subprocess.Popen(
        node_argv(HERE / "fold_lines.mjs"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield PageFold(process)
        assert process.stdin is not None
        process.stdin.close()


def accepted(records: Sequence[RawEvent]) -> tuple[list[RawEvent], MatchImage]:
    """The records that reach the log, and their image: one too many is a dead letter."""
    taken, image = [], empty_image(MATCH)
    for record in records:
        try:
            image = advance(image, record)
        except ImageFullError:
            continue
        taken.append(record)
    return taken, image


def assert_page_agrees(page: PageFold, records: Sequence[RawEvent]) -> None:
    taken, image = accepted(records)
    seen, running = page.fold(taken)
    assert seen == image
    assert running == [
        (line.id, {"home": line.score.home, "away": line.score.away}) for line in goal_timeline(image)
    ]


@settings(max_examples=80)
@given(records=st.lists(contending_record, max_size=25))
def test_page_folds_contending_records_like_the_log(page: PageFold, records: list[RawEvent]) -> None:
    """Ties, circles of insert_before, cancels without an add, goals that become shots."""
    assert_page_agrees(page, records)


@settings(max_examples=25)
@given(records=st.lists(any_record, max_size=12))
def test_page_folds_any_record_like_the_log(page: PageFold, records: list[RawEvent]) -> None:
    """Every source, every script, every instant that decode lets through."""
    assert_page_agrees(page, records)


@settings(max_examples=40)
@given(records=st.lists(contending_record, max_size=25), cut=st.integers(0, 25))
def test_page_goes_on_from_an_image(page: PageFold, records: list[RawEvent], cut: int) -> None:
    """A fan who joins in the middle ends where the log ends; the image leaves defaults out."""
    taken, image = accepted(records)
    start = decode_image(encode_image(accepted(taken[:cut])[1]))
    assert page.fold(taken[cut:], start)[0] == image


def test_page_lets_the_same_types_go_into_other(page: PageFold) -> None:
    """Beyond 64 types the last by name is not counted by itself; `constructor` is a type like any."""
    kinds = [f"kind_{number % 90:02d}" for number in range(0, 900, 7)]
    records = [a_broadcast(kind, f"{n}") for n, kind in enumerate([*kinds, "constructor", "other", *kinds])]
    assert_page_agrees(page, [*records, a_cancel_of(records[3]), a_cancel_of(records[70])])


def test_page_forgets_the_same_corrections(page: PageFold) -> None:
    """Bounded by number and by encoded bytes, which escapes and long letters make more."""
    short = [a_cancel_of(a_pass(f"pass-{n}")) for n in range(70)]
    long = [a_cancel_of(a_pass(f"{n}" + 'ö"\n🏟\u0001' * 20), reason="\u0002é" * 50) for n in range(70)]
    assert_page_agrees(page, [*short, *long[:3], *short[:9], *long])


def test_page_gives_up_the_same_texts_and_incidents_of_a_full_match(page: PageFold) -> None:
    """Names of the rest first, then the rest itself, for goals and reviews that come later."""
    names = Told(player="Maximiliano Hernández " * 2, other_player='Sebastião "Zé" \u0001' * 2)
    rest = [a_substitution(f"substitution-{n * 7 % 200:04}", **names) for n in range(200)]
    goals = [a_goal(f"goal-{n:03}", clock=n, player="N" * 100, insert_before=f"goal-{n + 1:03}") for n in range(60)]
    reviews = [a_var_review(f"review-{n:03}", reason="R" * 100) for n in range(40)]
    assert_page_agrees(page, [*rest, *goals, *reviews, *(a_cancel_of(r, "W" * 110) for r in rest[:90])])


def test_page_takes_what_an_older_fold_accepted(page: PageFold) -> None:
    """What finds no room in an image moves its seq alone, here as there."""
    image = empty_image(MATCH)
    records = [a_goal(f"goal-{n:03}") for n in range(200)]
    for record in records:
        image = advance_logged(image, record)
    assert image.score.home < 200 == image.seq
    assert page.fold(records)[0] == image


def test_page_counts_cancels_like_the_log(page: PageFold) -> None:
    """Twice, without a side, before what they cancel, beyond the types that are counted apart."""
    sides: tuple[Side | None, ...] = ("home", "away", None, "home")
    passes = [a_pass(f"p{n}", side=side) for n, side in enumerate(sides)]
    once = [a_cancel_of(p) for p in passes]
    sideless = [a_cancel_of(a_broadcast(f"kind_{n:02}", f"k{n}", side=None)) for n in range(70)]
    kinds = [a_broadcast(f"kind_{n:02}", f"k{n}") for n in range(70)]
    twice = [a_cancel_of(c) for c in once]
    assert_page_agrees(page, [*once, *passes, *twice, *sideless, *kinds, a_pass("x"), *once])


def test_page_orders_ids_by_code_point(page: PageFold) -> None:
    """UTF-16 sorts an emoji in front of a full-width letter; the log does not."""
    assert_page_agrees(page, [a_goal(name) for name in ("\uff21", "🏟", "z", "🏟a", "A", "é")])


def test_page_takes_a_fixture_cancelled_and_put_on_again(page: PageFold) -> None:
    fixture = a_fixture()
    called_off = a_cancel_of(fixture)
    assert_page_agrees(page, [called_off, fixture])
    assert_page_agrees(page, [fixture, called_off, a_change_of(called_off, home="Barça", away="Girona")])


def test_page_writes_minutes_like_the_log() -> None:
    """`18'` and `45+2'`, each clock reading of each period."""
    readings = [(period, clock) for period in range(1, 6) for clock in range(0, 8000, 59)]
    module = f"import {{ displayMinute }} from {json.dumps((ROOT / 'web' / 'fold.js').as_uri())};"
    code = (
        f"{module} console.log(JSON.stringify({json.dumps(readings)}.map(([p, c]) => displayMinute(p, c))));"
    )
    written = subprocess.run(node_argv("--input-type=module", "-e", code), capture_output=True, check=True)
    assert json.loads(written.stdout) == [display_minute(*reading) for reading in readings]
