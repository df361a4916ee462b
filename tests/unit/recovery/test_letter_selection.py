"""Which letters a command line is about."""

from datetime import UTC, datetime, timedelta

import pytest

from recovery.deadletters.selection import Selection, SelectionError, wanted_by
from recovery.moments import UnreadableMomentError

NOW = datetime(2024, 3, 16, 22, 0, tzinfo=UTC)


def test_times_are_durations_back_or_instants() -> None:
    wanted = wanted_by(Selection(since="2h", until="2024-03-16T22:30:00+01:00"), (), NOW)
    assert wanted.since == NOW - timedelta(hours=2)
    assert wanted.until == NOW - timedelta(minutes=30)


def test_a_source_may_be_named_by_its_topic_or_its_tag() -> None:
    wanted = wanted_by(Selection(source=("broadcast", "sensor-events")), (), NOW)
    assert wanted.topics == ["broadcast-events", "sensor-events"]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(reason=("unknown",)), "malformed_json"),
        (Selection(source=("unknown",)), "sensor-events"),
        (Selection(since="yesterday"), "10m"),
        (Selection(since="1000000d"), "before the year 1"),
        (Selection(until="2024-03-16T22:00:00"), "whose time"),
    ],
)
def test_what_cannot_be_there_is_refused_with_what_can(selection: Selection, said: str) -> None:
    with pytest.raises((SelectionError, UnreadableMomentError), match=said):
        wanted_by(selection, (), NOW)


@pytest.mark.parametrize("letter", [0, -1, 2**63])
def test_what_no_letter_can_have_as_its_number_is_refused(letter: int) -> None:
    with pytest.raises(SelectionError, match=f"letter {letter}: say a number"):
        wanted_by(Selection(), (1, letter), NOW)


def test_only_options_that_say_something_select() -> None:
    assert Selection().is_empty
    assert not Selection(match="m").is_empty
