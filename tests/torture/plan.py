"""The list of actions of a run: made from its seed before anything starts. Pure."""

import random
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

# Faults that meet: this share of the actions is not waited for, and the next begins within this share.
_UNAWAITED = 0.2
_OVERLAPPING = 0.4
_BEGINS_WITHIN_SECONDS = (0.1, 4.0)  # of the one before

# Action -> what it needs for itself: two that share something never run at the same time.
Needs = Mapping[str, Set[str]]


class Step(NamedTuple):
    """One action: not before `at` seconds, with its own source of chance."""

    number: int
    at: float
    action: str
    seed: int
    is_awaited: bool  # the next one comes only when events flow again
    next_after: float | None = None  # the next one begins so many seconds after this one began

    def __str__(self) -> str:
        return f"{self.number:3}. {self.at:6.1f} s  {self.action}{self._what_follows()}"

    def _what_follows(self) -> str:
        if self.next_after is not None:
            return f"  (the next one begins {self.next_after:.1f} s into it)"
        return "" if self.is_awaited else "  (the next one does not wait)"


def make_plan(
    seed: int, actions: int, seconds: float, weights: Mapping[str, float], needs: Needs | None = None
) -> list[Step]:
    """Draw `actions` steps over `seconds`; each kind comes once before any comes twice.

    The same arguments give the same plan. The last step is always awaited.
    Without `needs` no step begins while another one is under way.
    """
    draw = random.Random(seed)
    chosen = _choose(draw, actions, weights)
    times = sorted(draw.uniform(0, seconds) for _ in chosen)
    plan: list[Step] = []
    taken: Set[str] = frozenset()  # by those under way when the next one begins
    for number, (at, action) in enumerate(zip(times, chosen, strict=True), 1):
        step_seed, chance, into = draw.randrange(2**32), draw.random(), draw.uniform(*_BEGINS_WITHIN_SECONDS)
        follows = chosen[number] if number < len(chosen) else None
        taken = taken | needs[action] if needs is not None else taken
        overlaps = (
            needs is not None
            and follows is not None
            and _UNAWAITED <= chance < _UNAWAITED + _OVERLAPPING
            and not taken & needs[follows]
        )
        is_awaited = follows is None or not (overlaps or chance < _UNAWAITED)
        plan.append(
            Step(number, round(at, 2), action, step_seed, is_awaited, round(into, 2) if overlaps else None)
        )
        if not overlaps:
            taken = frozenset()
    return plan


def groups(plan: Sequence[Step], needs: Needs) -> Iterator[list[Step]]:
    """Steps that run at the same time, together; of a part of a plan, those that may."""
    group: list[Step] = []
    taken: Set[str] = frozenset()
    for step in plan:
        if group and (group[-1].next_after is None or taken & needs[step.action]):
            yield group
            group, taken = [], frozenset()
        group.append(step)
        taken = taken | needs[step.action]
    if group:
        yield group


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
    return [*steps[:-1], steps[-1]._replace(is_awaited=True, next_after=None)]


def seeds_of(text: str) -> Sequence[int]:
    """Read "7" or "1..10"; raise ValueError."""
    first, dots, last = text.partition("..")
    seeds = range(int(first), int(last if dots else first) + 1)
    if not seeds:
        raise ValueError(f"{text} names no seed: the first is greater than the last")
    return seeds
