"""Readings of the match clock: what a person may write, and which moment it is."""

import re
from datetime import UTC, datetime

import pytest

from recovery.matches.clock import AmbiguousClockError, Reading, UnreadableClockError, read_clock, settle
from recovery.matches.command import UnreadableCutError, read_cut
from recovery.moments import UnreadableMomentError

READ = {
    "0:00": (1, 0),
    "18:21": (1, 1101),
    "44:59": (1, 2699),
    "45:00": (2, 2700),
    "46:30": (2, 2790),
    "45+1:30": (1, 2790),
    "1/46:30": (1, 2790),
    "2/46:30": (2, 2790),
    "2/47:00": (2, 2820),
    "90+4:05": (2, 5645),
    "94:05": (2, 5645),
    "3/94:05": (3, 5645),
    "105+0:10": (3, 6310),
    "120+0:00": (4, 7200),
    "5/121:00": (5, 7260),
    "1/45+2:10": (1, 2830),
}


@pytest.mark.parametrize("text", READ)
def test_reading_belongs_to_the_period_that_the_rule_gives_it(text: str) -> None:
    """Below 45:00 the first half, from there the second, unless stoppage time or period is written."""
    assert read_clock(text).reading == READ[text]


@pytest.mark.parametrize("text", READ)
def test_reading_is_written_so_that_it_reads_back(text: str) -> None:
    reading = read_clock(text).reading
    assert read_clock(str(reading)).reading == reading


def test_first_half_stoppage_time_comes_before_the_second_half() -> None:
    """Clock readings overlap there; moments do not."""
    assert read_clock("45+3:00").reading < read_clock("45:00").reading < read_clock("46:30").reading


@pytest.mark.parametrize(
    "text",
    [
        "63",
        "63:7",
        "63:60",
        "44+1:00",
        "2/45+1:00",
        "2/44:59",
        "3/89:00",
        "6/1:00",
        "0/1:00",
        "240:01",
        "-1:00",
    ],
)
def test_what_is_no_reading_is_refused_with_the_forms_to_write(text: str) -> None:
    with pytest.raises(UnreadableClockError, match=r"45\+2:10"):
        read_clock(text)


def test_plain_reading_in_extra_time_is_refused_because_it_was_shown_twice() -> None:
    """Only a match that came that far shows it twice."""
    plain, named = read_clock("92:10"), read_clock("90+2:10")
    assert settle(plain, Reading(2, 5600)) == (2, 5530)
    assert settle(named, Reading(4, 7300)) == (2, 5530)
    with pytest.raises(AmbiguousClockError, match="2/92:10"):
        settle(plain, Reading(3, 5600))


@pytest.mark.parametrize(
    ("at", "as_of", "seq", "said"),
    [
        ("1:00", None, 1, "give one of them"),
        (None, "yesterday", None, "write 10m (ago)"),
        (None, "2024-03-16T20:00:00", None, "+02:00"),
        (None, None, -1, "seq 1"),
    ],
    ids=["two-moments", "no-time", "nobodys-time", "below-the-log"],
)
def test_command_line_that_names_no_moment_is_refused(
    at: str | None, as_of: str | None, seq: int | None, said: str
) -> None:
    with pytest.raises((UnreadableCutError, UnreadableMomentError), match=re.escape(said)):
        read_cut(at, as_of, seq, datetime(2026, 5, 30, tzinfo=UTC))
