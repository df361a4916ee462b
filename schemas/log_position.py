"""A place in a shard's log, and the cursor rule, by which every reader of the log lives. Pure.

Not above mine: drop. Next: take. Further: read the gap from the log. Another
generation, or another chain where I stand: it continues something else than
what I have. With it repeats, overlaps, several writers, lost messages and a
log that lost its end and grew another one are harmless.
"""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.identity import CHAIN_BYTES


class LogPosition(NamedTuple):
    """A position of one generation, and the chain there: two logs that both have it agree up to it."""

    generation: int
    position: int
    chain: bytes


class Span(NamedTuple):
    """Consecutive positions of one generation, as they were read from a copy of the log or from the log."""

    generation: int
    first: int
    chains: bytes  # CHAIN_BYTES each: before `first`, then after each position

    @property
    def last(self) -> int:
        return self.first + len(self.chains) // CHAIN_BYTES - 2

    def chain_at(self, position: int) -> bytes:
        """The chain after a position, which is `first - 1` at least and `last` at most."""
        at = (position - self.first + 1) * CHAIN_BYTES
        return self.chains[at : at + CHAIN_BYTES]


class Drop(NamedTuple):
    """All of it was taken before."""


class Take(NamedTuple):
    """It continues what was taken; its first `skip` events were taken before."""

    skip: int


class Gap(NamedTuple):
    """`first` to `last` are missing in front of it."""

    first: int
    last: int


class OtherGeneration(NamedTuple):
    """It belongs to another generation: its numbers mean nothing to this cursor."""

    generation: int


class OtherHistory(NamedTuple):
    """It has another chain where the cursor stands: one of both was taken away by a failover."""

    position: int


Verdict = Drop | Take | Gap | OtherGeneration | OtherHistory


def judge(mine: LogPosition, span: Span) -> Verdict:
    """What to do with a span. One that ends before the cursor says nothing about where the cursor stands."""
    if span.generation != mine.generation:
        return OtherGeneration(span.generation)
    if span.first > mine.position + 1:
        return Gap(mine.position + 1, span.first - 1)
    if span.last < mine.position:
        return Drop()
    if span.chain_at(mine.position) != mine.chain:
        return OtherHistory(mine.position)
    return Drop() if span.last == mine.position else Take(mine.position + 1 - span.first)


def chained(before: bytes, after: Iterable[bytes]) -> bytes:
    """The chains of a span: the one before its first position, then one after each."""
    return b"".join([before, *after])
