"""A dead letter of the fold is refused again at its place, or it is none."""

from datetime import UTC, datetime

import pytest

from recovery.audit.findings import Findings
from recovery.audit.refused_check import RefusedCheck
from schemas import letters
from schemas.fold import FOLD_VERSION, ImageFullError, advance, empty_image
from schemas.identity import body_hash, key_of
from schemas.image import MatchImage
from schemas.raw import RawEvent, source_of
from storage.audit_reads import LetterRow, LogRow
from tests.event_builders import MATCH, a_card, a_goal, a_pass, a_reading, encoded

AT = datetime(2026, 5, 30, 20, tzinfo=UTC)
BROADCAST, SENSORS = 2, 1


def a_full_image() -> MatchImage:
    """With no room for another incident."""
    image = empty_image(MATCH)
    try:
        for number in range(10_000):
            image = advance(image, a_card(f"card-{number}", player="x" * 100))
    except ImageFullError:
        return image
    raise AssertionError("it never filled")


FULL = a_full_image()
EMPTY = empty_image(MATCH)


def a_letter(offset: int, event: RawEvent | None = None, topic: int = BROADCAST) -> LetterRow:
    value = encoded(event or a_card("late", player="y" * 100))
    return LetterRow(offset, topic, offset, letters.IMAGE_FULL, MATCH, value)


def a_row(offset: int, event: RawEvent, fold_version: int = FOLD_VERSION) -> LogRow:
    topic = BROADCAST if source_of(event) == "broadcast" else SENSORS
    key, body = key_of(event), body_hash(event)
    return LogRow(1, MATCH, 1, key, body, bytes(16), topic, offset, 0, 0, True, fold_version, b"")


class Rows:
    """Rows of one match go by, each onto an image that a test gives."""

    def __init__(self, *waiting: LetterRow, redriven: frozenset[tuple[int, int]] = frozenset()) -> None:
        self.findings = Findings(9)
        self.check = RefusedCheck(0, waiting, redriven)

    def see(
        self,
        offset: int,
        image: MatchImage,
        event: RawEvent | None = None,
        fold_version: int = FOLD_VERSION,
    ) -> None:
        self.check.see(a_row(offset, event or a_pass(), fold_version), image, AT, self.findings)

    def end(self, image: MatchImage | None) -> dict[str, int]:
        self.check.finish({} if image is None else {MATCH: image}, AT, self.findings)
        return self.findings.counts


@pytest.mark.parametrize(("image", "told"), [(FULL, {}), (EMPTY, {"letter_fold": 1})])
def test_a_letter_between_two_rows_met_the_image_between_them(
    image: MatchImage, told: dict[str, int]
) -> None:
    rows = Rows(a_letter(5))
    rows.see(4, EMPTY)
    rows.see(6, image)
    assert rows.end(FULL if image is EMPTY else EMPTY) == told


def test_an_image_before_the_row_in_front_of_it_is_no_place_of_a_letter() -> None:
    rows = Rows(a_letter(5))
    rows.see(4, FULL)
    assert rows.end(EMPTY) == {"letter_fold": 1}


def test_rows_of_other_topics_may_stand_on_either_side() -> None:
    """Refused by one of the images is refused rightly: offsets of two topics say nothing of each other."""
    rows = Rows(a_letter(5))
    rows.see(4, EMPTY)
    rows.see(900, FULL, a_reading())
    rows.see(6, EMPTY)
    assert rows.end(EMPTY) == {}


def test_a_letter_behind_the_last_row_met_the_image_of_now() -> None:
    rows = Rows(a_letter(5))
    rows.see(4, EMPTY)
    assert rows.end(FULL) == {}


def test_a_letter_of_a_match_without_a_row_met_an_empty_image() -> None:
    assert Rows(a_letter(5)).end(None) == {"letter_fold": 1}


def test_a_redriven_row_in_front_closes_no_place() -> None:
    """It stands before what waited behind it, with an offset above theirs."""
    rows = Rows(a_letter(5), redriven=frozenset({(BROADCAST, 90)}))
    rows.see(4, EMPTY)
    rows.see(90, EMPTY)
    rows.see(6, FULL)
    assert rows.end(EMPTY) == {}


def test_a_redriven_record_that_was_refused_again_may_have_stood_anywhere() -> None:
    rows = Rows(a_letter(90), redriven=frozenset({(BROADCAST, 90)}))
    rows.see(4, EMPTY)
    rows.see(5, FULL)
    rows.see(6, EMPTY)
    assert rows.end(EMPTY) == {}
    rows = Rows(a_letter(90), redriven=frozenset({(BROADCAST, 90)}))
    rows.see(4, EMPTY)
    assert rows.end(EMPTY) == {"letter_fold": 1}


def test_each_letter_is_told_once_and_what_is_no_record_is_left_to_others() -> None:
    broken = LetterRow(7, BROADCAST, 7, letters.FOLD_FAILED, MATCH, b"{")
    rows = Rows(a_letter(5), a_letter(8, a_goal("g9")), broken)
    for offset in (4, 6, 9, 10):
        rows.see(offset, EMPTY)
    assert rows.end(EMPTY) == {"letter_fold": 2}


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ((1, 1, 1), {}),
        ((1, 2, 2), {}),  # the release came between the two rows: before or behind the letter
        ((1, 1, 2), {}),
        ((2, 2, 2), {"letter_fold": 1}),
    ],
)
def test_a_letter_beside_a_row_of_an_older_fold_was_refused_by_its_rules(
    versions: tuple[int, int, int], told: dict[str, int]
) -> None:
    """A match was full at other bounds then; a reading beside it tells the fold as well."""
    rows = Rows(a_letter(5))
    rows.see(4, EMPTY, fold_version=versions[0])
    rows.see(70, EMPTY, a_reading(), versions[1])
    rows.see(6, EMPTY, fold_version=versions[2])
    assert rows.end(EMPTY) == told


def test_a_letter_behind_the_last_row_of_an_older_fold_is_not_judged() -> None:
    rows = Rows(a_letter(5))
    rows.see(4, EMPTY, fold_version=1)
    assert rows.end(EMPTY) == {}


def test_behind_a_row_of_this_fold_letters_are_judged_again() -> None:
    rows = Rows(a_letter(5), a_letter(9))
    rows.see(4, EMPTY, fold_version=1)
    rows.see(6, EMPTY)
    rows.see(10, EMPTY)
    assert rows.end(EMPTY) == {"letter_fold": 1}
