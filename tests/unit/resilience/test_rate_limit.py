"""The token bucket admits its rate and its burst, and says how long to wait."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.rate_limit import NO_WAIT, TokenBucket
from tests.clocks import FakeClock


def a_bucket(rate: float = 10.0, burst: float = 20.0) -> tuple[TokenBucket, FakeClock]:
    clock = FakeClock()
    return TokenBucket(rate, burst, clock), clock


def test_a_burst_is_admitted_at_once_and_the_next_token_is_not() -> None:
    bucket, _ = a_bucket(rate=10, burst=20)
    assert bucket.try_take(20) == NO_WAIT
    assert bucket.try_take(1) == timedelta(seconds=0.1)


def test_after_the_named_wait_the_tokens_are_there() -> None:
    bucket, clock = a_bucket(rate=10, burst=20)
    bucket.try_take(20)
    wait = bucket.try_take(5)
    clock.advance(wait.total_seconds())
    assert bucket.try_take(5) == NO_WAIT


def test_a_refused_take_takes_nothing() -> None:
    bucket, _ = a_bucket(rate=10, burst=20)
    bucket.try_take(15)
    assert bucket.try_take(10) > NO_WAIT
    assert bucket.try_take(5) == NO_WAIT


def test_a_long_quiet_time_saves_up_no_more_than_a_burst() -> None:
    bucket, clock = a_bucket(rate=10, burst=20)
    clock.advance(3_600)
    assert bucket.try_take(20) == NO_WAIT
    assert bucket.try_take(1) > NO_WAIT


def test_more_than_a_burst_is_admitted_when_full_and_paid_back_afterwards() -> None:
    """Else a batch larger than the burst could never pass."""
    bucket, _ = a_bucket(rate=10, burst=20)
    assert bucket.try_take(50) == NO_WAIT
    assert bucket.try_take(1) == timedelta(seconds=3.1)


def test_a_debt_is_named_to_who_must_take_all_the_same() -> None:
    bucket, clock = a_bucket(rate=10, burst=20)
    assert bucket.take(20) == NO_WAIT
    assert bucket.take(10) == timedelta(seconds=1)
    clock.advance(1)
    assert bucket.take(0) == NO_WAIT


def test_nothing_costs_nothing_even_in_debt() -> None:
    bucket, _ = a_bucket()
    bucket.take(20)
    assert bucket.try_take(0) == NO_WAIT


def test_a_rate_of_zero_waits_a_day_and_not_for_ever() -> None:
    bucket, _ = a_bucket(rate=0, burst=1)
    bucket.try_take(1)
    assert bucket.try_take(1) == timedelta(days=1)


@pytest.mark.parametrize(("rate", "burst"), [(-1.0, 5.0), (5.0, 0.0)])
def test_a_bucket_that_admits_nothing_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="admits nothing"):
        TokenBucket(rate, burst, FakeClock())


@given(
    rate=st.floats(1, 1_000),
    burst=st.floats(1, 1_000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), max_size=50),
)
def test_no_more_is_admitted_than_rate_and_burst_allow(
    rate: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    """Whatever the pattern of asking; only a request above the burst may overdraw, once."""
    bucket, clock = a_bucket(rate, burst)
    admitted = 0
    for pause, tokens in steps:
        clock.advance(pause)
        if bucket.try_take(tokens) == NO_WAIT:
            admitted += tokens
    elapsed = sum(pause for pause, _ in steps)
    assert admitted <= burst + elapsed * rate + 50 + 1e-6
