"""The cursor rule, by which every reader of the log lives. Pure.

Not above mine: drop. Next: take. Further: read the hole from the log and
require the exact count. Another generation: resync. With it repeats,
overlaps, several writers and lost messages are harmless.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Cursor(NamedTuple):
    """The last number taken, in one life of a log."""

    generation: int
    last: int


class Drop(NamedTuple):
    """All of it was taken before."""


class Take(NamedTuple):
    """It continues what was taken; its first `skip` events were taken before."""

    skip: int


class Hole(NamedTuple):
    """`first` to `last` are missing in front of it."""

    first: int
    last: int


class OtherLife(NamedTuple):
    """It belongs to another life of the log: its numbers mean nothing to this cursor."""

    generation: int


Verdict = Drop | Take | Hole | OtherLife


def judge(mine: Cursor, generation: int, first: int, last: int) -> Verdict:
    """What to do with the events numbered `first` to `last`."""
    if generation != mine.generation:
        return OtherLife(generation)
    if last <= mine.last:
        return Drop()
    if first > mine.last + 1:
        return Hole(mine.last + 1, first - 1)
    return Take(mine.last + 1 - first)


def continues(mine: Cursor, numbers: Sequence[int]) -> bool:
    """Whether these numbers, distinct and in order, are exactly the next ones: none missing."""
    return not numbers or (numbers[0] == mine.last + 1 and numbers[-1] - numbers[0] + 1 == len(numbers))
