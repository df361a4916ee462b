"""How long to wait before the next try: doubling, bounded, with jitter. Pure but for its injected chance."""

from collections.abc import Callable
from datetime import timedelta

# 2**16 times the first delay is beyond any bound that makes sense.
_MOST_DOUBLINGS = 16


class Backoff:
    """Delays between tries of one caller.

    Each is at least half of its bound, so that a neighbour that comes back
    is not asked by everyone at the same moment, and nobody asks at once.
    """

    def __init__(self, first: timedelta, longest: timedelta, chance: Callable[[], float]) -> None:
        """`chance` returns a number in [0, 1), as random.random does."""
        self._first = first
        self._longest = longest
        self._chance = chance
        self._failures = 0

    def next_delay(self) -> timedelta:
        """The delay after one more failure."""
        bound = min(self._longest, self._first * (1 << self._failures))
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return bound * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """A try succeeded: begin with the first delay again."""
        self._failures = 0
