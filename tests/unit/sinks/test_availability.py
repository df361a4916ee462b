"""Outages are said once, and asked about less and less."""

import logging
from datetime import timedelta

import pytest

from sinks.availability import LOST, REGAINED, Availability
from telemetry.log import Log
from tests.clocks import FakeClock


def test_a_long_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    availability = Availability("redis", Log("test"), clock, lambda: 0.0)
    with caplog.at_level(logging.INFO):
        availability.regained()
        for _ in range(50):
            availability.lost("refused")
        clock.advance(12.5)
        availability.regained()
        availability.regained()
    assert [record.getMessage() for record in caplog.records] == [LOST, REGAINED]


def test_pauses_grow_to_a_bound_and_begin_anew_after_a_success() -> None:
    clock = FakeClock()
    availability = Availability("redis", Log("test"), clock, lambda: 0.0)
    pauses = [availability.lost("refused") for _ in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= timedelta(seconds=2)
    availability.regained()
    assert availability.lost("refused") == pauses[0]


def test_a_neighbour_rests_for_the_pause_after_a_failure() -> None:
    clock = FakeClock()
    availability = Availability("redis", Log("test"), clock, lambda: 0.0)
    assert not availability.is_resting
    pause = availability.lost("refused")
    resting = [availability.is_resting]
    clock.advance(pause.total_seconds())
    resting.append(availability.is_resting)
    assert resting == [True, False]
