"""Delays between tries grow, stay bounded, and differ between callers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from resilience.backoff import Backoff

FIRST, LONGEST = timedelta(milliseconds=100), timedelta(seconds=5)


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(FIRST, LONGEST, lambda: 1.0)
    delays = [backoff.next_delay() for _ in range(8)]
    assert delays[:6] == [FIRST * 2**n for n in range(6)]
    assert delays[6:] == [LONGEST, LONGEST]


def test_a_success_begins_again() -> None:
    backoff = Backoff(FIRST, LONGEST, lambda: 1.0)
    backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == FIRST


@given(chance=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 200))
def test_jitter_stays_in_the_upper_half_of_the_bound(chance: float, failures: int) -> None:
    """Nobody asks at once, however long the outage lasts."""
    backoff = Backoff(FIRST, LONGEST, lambda: chance)
    for _ in range(failures):
        delay = backoff.next_delay()
        assert FIRST / 2 <= delay <= LONGEST
