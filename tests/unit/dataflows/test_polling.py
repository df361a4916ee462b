"""A polling source never waits for its neighbour, and never hides what broke."""

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from dataflows.polling import Found, PollingSource
from sinks.serial_executor import SerialExecutor
from tests.fixtures.waiting import eventually

NOW = datetime(2024, 3, 16, 20, 0, tzinfo=UTC)
PAUSE = timedelta(seconds=3)


class Waits:
    """A neighbour that answers when the test says so."""

    def __init__(self) -> None:
        self.may_answer = Event()
        self.looks = 0

    def look(self) -> Found[int]:
        self.may_answer.wait(10)
        self.looks += 1
        return Found((self.looks,), PAUSE)


class Breaks:
    def look(self) -> Found[int]:
        raise ZeroDivisionError


def test_a_look_that_hangs_holds_nobody_up() -> None:
    executor, looker = SerialExecutor("test"), Waits()
    part = PollingSource(executor, looker, lambda: NOW).build_part("step", "only", None)
    assert part.next_batch() == []
    assert part.next_batch() == []
    awake = part.next_awake()
    assert awake is not None
    assert NOW < awake < NOW + timedelta(milliseconds=10)
    looker.may_answer.set()
    assert eventually(part.next_batch) == (1,)
    assert part.next_awake() == NOW + PAUSE
    assert looker.looks == 1
    executor.close()


def test_work_is_done_in_the_order_in_which_it_was_given() -> None:
    """A look that was asked for after a write sees that write."""
    executor = SerialExecutor("test")
    done: list[int] = []
    for number in range(50):
        last = executor.start(lambda number=number: done.append(number))  # type: ignore[misc]
    last.result(10)
    assert done == list(range(50))
    executor.close()


def test_a_bug_in_a_look_stops_the_flow() -> None:
    """Only outages are waited for; anything else must not look like a quiet neighbour."""
    executor = SerialExecutor("test")
    part = PollingSource(executor, Breaks(), lambda: NOW).build_part("step", "only", None)
    with pytest.raises(ZeroDivisionError):
        eventually(part.next_batch)
    executor.close()


def test_a_bug_in_a_write_stops_the_flow_at_a_later_look() -> None:
    executor = SerialExecutor("test")
    executor.start(Breaks().look)

    def look_again() -> bool:
        executor.start(lambda: None)
        return False

    with pytest.raises(ZeroDivisionError):
        eventually(look_again)
    executor.close()
