"""Dead letters on a terminal: whatever others wrote is shown as text."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rich.console import Console

from recovery.deadletters.plan import REFUSED, Step
from recovery.deadletters.printing import show_list, show_parked, show_plan
from storage.dead_letters import Group, Line
from storage.parking import ParkedMatch
from storage.store_errors import printable

AT = datetime(2026, 5, 30, 20, tzinfo=UTC)
Show = Callable[[str, Console], None]


def a_list(told: str, console: Console) -> None:
    line = Line(1, "oversized", told, told, "broadcast-events", 0, 7, AT, "waiting")
    show_list([Group("oversized", "broadcast-events", 1, 1, AT, AT)], [line], console)


def the_parked(told: str, console: Console) -> None:
    show_parked([ParkedMatch(told, 0, "parked", told, told, AT, 1, AT)], console)


def a_plan(told: str, console: Console) -> None:
    show_plan([Step(1, told, "broadcast-events", 0, None, b"{}", None, REFUSED, told, False)], console)


@pytest.mark.parametrize("show", [a_list, the_parked, a_plan])
@pytest.mark.parametrize("told", ["[/red]", "[b]m[/b]", "m\x1b[2J", "m\x9b2J"])
def test_what_others_wrote_is_neither_markup_nor_obeyed(show: Show, told: str) -> None:
    screen = io.StringIO()
    show(told, Console(file=screen, width=200))
    text = screen.getvalue()
    assert printable(told) in text
    assert printable(text.replace("\n", "")) == text.replace("\n", "")
