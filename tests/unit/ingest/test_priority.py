"""What no limit may hold back."""

import pytest

from ingest.priority import always_passes
from schemas.raw import RawEvent
from tests.event_builders import (
    a_broadcast,
    a_cancel_of,
    a_card,
    a_change_of,
    a_confirm_of,
    a_goal,
    a_pass,
    a_post,
    a_reading,
    a_substitution,
    a_var_review,
    an_own_goal,
)


@pytest.mark.parametrize(
    "event",
    [
        a_goal(),
        an_own_goal(),
        a_card(),
        a_card(kind="second_yellow_card"),
        a_card(kind="red_card"),
        a_var_review(),
        a_broadcast("penalty", "p-1"),
        a_broadcast("penalty_missed", "p-2"),
        a_cancel_of(a_pass()),
        a_change_of(a_pass(), outcome="incomplete"),
        a_confirm_of(a_pass()),
        a_pass(insert_before="pass-0"),
    ],
    ids=lambda event: f"{event.action}-{event.type}",
)
def test_what_decides_or_corrects_always_passes(event: RawEvent) -> None:
    assert always_passes(event)


@pytest.mark.parametrize(
    "event", [a_reading(), a_pass(), a_post(), a_substitution()], ids=lambda event: event.type
)
def test_everything_else_may_be_held_back(event: RawEvent) -> None:
    assert not always_passes(event)
