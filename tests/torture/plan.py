"""The list of actions of a run: made from its seed before anything starts. Pure."""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Faults that meet: this share of the actions is not waited for.
_OVERLAPPING = 0.2


class Step(NamedTuple):
    """One action: not before `at` seconds, with its own source of chance."""

    number: int
    at: float
    action: str
    seed: int
    is_awaited: bool  # the next one comes only when events flow again

    def __str__(self) -> str:
        waits = "" if self.is_awaited else "  (the next one does not wait)"
        return f"{self.number:3}. {self.at:6.1f} s  {self.action}{waits}"


def make_plan(seed: int, actions: int, seconds: float, weights: Mapping[str, float]) -> list[Step]:
    """Draw `actions` steps over `seconds`; each kind comes once before any comes twice.

    The same arguments give the same plan. The last step is always awaited.
    """
    draw = random.Random(seed)
    chosen = _choose(draw, actions, weights)
    times = sorted(draw.uniform(0, seconds) for _ in chosen)
    return [
        Step(
            number,
            round(at, 2),
            action,
            draw.randrange(2**32),
            number == len(chosen) or draw.random() >= _OVERLAPPING,
        )
        for number, (at, action) in enumerate(zip(times, chosen, strict=True), 1)
    ]


def _choose(draw: random.Random, actions: int, weights: Mapping[str, float]) -> list[str]:
    """By weight without replacement while kinds are left, then by weight alone."""
    names = sorted(weights)
    # Efraimidis and Spirakis: the largest u ** (1 / w) are a weighted sample.
    once = sorted(names, key=lambda name: draw.random() ** (1 / weights[name]), reverse=True)[:actions]
    more = draw.choices(names, [weights[name] for name in names], k=max(0, actions - len(once)))
    chosen = [*once, *more]
    draw.shuffle(chosen)
    return chosen


def part_of_plan(steps: Sequence[Step]) -> list[Step]:
    """Some steps of a plan as a plan: numbers, times and what they draw stay, the last is awaited."""
    return [*steps[:-1], steps[-1]._replace(is_awaited=True)]


def seeds_of(text: str) -> Sequence[int]:
    """Read "7" or "1..10"; raise ValueError."""
    first, dots, last = text.partition("..")
    seeds = range(int(first), int(last if dots else first) + 1)
    if not seeds:
        raise ValueError(f"{text} names no seed: the first is greater than the last")
    return seeds
