"""Token bucket: a sustained rate, and a burst saved up in quiet times. Pure but for its injected clock."""

from collections.abc import Callable
from datetime import timedelta

NO_WAIT = timedelta(0)
# A debt can never be paid at a rate of 0; asking again tomorrow is soon enough.
_LONGEST_WAIT_SECONDS = 86_400.0


class TokenBucket:
    """Admits `rate` tokens a second, and up to `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back; the bucket starts full."""
        if rate < 0 or burst <= 0:
            raise ValueError(f"a rate of {rate} a second with a burst of {burst} admits nothing")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def try_take(self, tokens: float) -> timedelta:
        """Take all the tokens, or none: zero when taken, else how long until they are there.

        More than a burst is admitted when the bucket is full, and paid back
        afterwards: it would otherwise be refused for ever.
        """
        self._refill()
        wanted = min(tokens, self._burst)
        if self._tokens >= wanted:
            self._tokens -= tokens
            return NO_WAIT
        return self._time_until(wanted)

    def take(self, tokens: float) -> timedelta:
        """Take the tokens even if that makes a debt; return how long until it is paid.

        For a caller that has the records already and can slow down instead.
        """
        self._refill()
        self._tokens -= tokens
        return NO_WAIT if self._tokens >= 0 else self._time_until(0.0)

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _time_until(self, tokens: float) -> timedelta:
        missing = tokens - self._tokens
        if missing >= self._rate * _LONGEST_WAIT_SECONDS:
            return timedelta(seconds=_LONGEST_WAIT_SECONDS)
        return timedelta(seconds=missing / self._rate)
