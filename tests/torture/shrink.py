"""Shrink a failing plan: leave out what it does not need to fail (delta debugging)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

Fails = Callable[[Sequence[T]], Awaitable[bool]]


async def shrink(steps: Sequence[T], fails: Fails[T], may_go_on: Callable[[], bool]) -> list[T]:
    """A small list that still fails: no single part of it, as tried, could be left out.

    Zeller's ddmin without the test of subsets. Stops early when `may_go_on`
    says so, with the smallest list so far.
    """
    kept = list(steps)
    parts = 2
    while len(kept) > 1:
        size = max(1, len(kept) // parts)
        for start in range(0, len(kept), size):
            if not may_go_on():
                return kept
            fewer = kept[:start] + kept[start + size :]
            if fewer and await fails(fewer):
                kept, parts = fewer, max(2, parts - 1)
                break
        else:
            if size == 1:
                return kept
            parts = min(len(kept), 2 * parts)
    return kept
