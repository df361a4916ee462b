"""Plans and their shrinking: pure, so that a seed is worth printing."""

import asyncio
import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.torture.__main__ import COULD_NOT_RUN, app
from tests.torture.actions.catalogue import EVERY_ACTION
from tests.torture.crash_points import POINTS
from tests.torture.plan import Step, groups, make_plan, part_of_plan, seeds_of
from tests.torture.report import Done, Outcome, keep
from tests.torture.shrink import shrink

WEIGHTS = {"kill": 3.0, "pause": 1.0, "cut": 1.0, "flush": 0.5}
NEEDS = {
    "kill": frozenset({"lanes"}),
    "pause": frozenset({"lanes", "clock"}),
    "cut": frozenset({"edges"}),
    "flush": frozenset({"redis"}),
}


def test_the_same_seed_makes_the_same_plan() -> None:
    assert make_plan(7, 20, 60, WEIGHTS) == make_plan(7, 20, 60, dict(reversed(WEIGHTS.items())))
    assert make_plan(7, 20, 60, WEIGHTS) != make_plan(8, 20, 60, WEIGHTS)


def test_a_plan_is_in_order_of_time_and_its_last_step_is_awaited() -> None:
    for seed in range(50):
        plan = make_plan(seed, 9, 30, WEIGHTS)
        assert [step.number for step in plan] == list(range(1, 10))
        assert [step.at for step in plan] == sorted(step.at for step in plan)
        assert 0 <= plan[0].at <= plan[-1].at <= 30
        assert plan[-1].is_awaited


def test_each_kind_comes_once_before_any_comes_twice() -> None:
    for seed in range(50):
        assert set(Counter(step.action for step in make_plan(seed, 4, 9, WEIGHTS)).values()) == {1}
        assert set(Counter(step.action for step in make_plan(seed, 9, 9, WEIGHTS))) == set(WEIGHTS)


def test_a_part_of_a_plan_keeps_what_its_steps_do() -> None:
    plan = make_plan(3, 12, 60, WEIGHTS)
    part = part_of_plan(plan[2:7])
    assert part[:-1] == plan[2:6]
    assert part[-1] == plan[6]._replace(is_awaited=True)


def test_steps_that_need_the_same_never_run_at_the_same_time() -> None:
    """Others overlap, now and then three of them; who is in the way waits until all are done."""
    sizes: Counter[int] = Counter()
    for seed in range(200):
        plan = make_plan(seed, 12, 60, WEIGHTS, NEEDS)
        together = list(groups(plan, NEEDS))
        assert [step for group in together for step in group] == plan
        for group in together:
            needed = Counter(word for step in group for word in NEEDS[step.action])
            assert set(needed.values()) <= {1}
            assert [step.next_after is None for step in group] == [False] * (len(group) - 1) + [True]
            assert not any(step.is_awaited for step in group[:-1])
            sizes[len(group)] += 1
    assert sizes[1] > sizes[2] > sizes[3] > 0


def test_a_part_of_a_plan_keeps_apart_what_the_whole_one_kept_apart() -> None:
    """What is left out stood between two that need the same: they follow one another."""
    steps = [
        Step(1, 0.0, "kill", 1, is_awaited=False, next_after=0.5),
        Step(2, 1.0, "flush", 1, is_awaited=False, next_after=0.5),
        Step(3, 2.0, "kill", 1, is_awaited=True),
    ]
    assert [len(group) for group in groups(steps, NEEDS)] == [2, 1]
    assert [len(group) for group in groups(part_of_plan([steps[0], steps[2]]), NEEDS)] == [1, 1]
    assert [len(group) for group in groups(part_of_plan(steps[:2]), NEEDS)] == [2]


def test_without_needs_no_step_begins_while_another_is_under_way() -> None:
    assert all(step.next_after is None for step in make_plan(7, 40, 60, WEIGHTS))


def test_shrinking_finds_the_few_that_are_to_blame() -> None:
    """Two of twenty fail together: exactly these are left."""
    runs = 0

    async def fails(steps: Sequence[int]) -> bool:
        nonlocal runs
        runs += 1
        return {4, 13} <= set(steps)

    assert asyncio.run(shrink(range(20), fails, lambda: True)) == [4, 13]
    assert runs < 80


def test_shrinking_stops_when_its_time_is_over() -> None:
    """What it has by then still fails."""
    left = 5

    async def fails(steps: Sequence[int]) -> bool:
        nonlocal left
        left -= 1
        return 13 in steps

    small = asyncio.run(shrink(range(20), fails, lambda: left > 0))
    assert 13 in small
    assert len(small) < 20


def test_every_crash_point_belongs_to_an_action() -> None:
    """Most are actions of their own; what a process passes only then is armed by the action that does it."""
    armed_by = {
        "migration": "crash_in_a_migration",
        "restore": "crash_in_a_restore",
        "enrich.within_a_release": "park_and_release",
    }
    for point in POINTS:
        own = armed_by.get(point.key, armed_by.get(point.part, f"crash:{point.key}"))
        assert own in EVERY_ACTION, point


def test_every_crash_point_is_a_function_of_its_module() -> None:
    """A point whose function was renamed would never be come by."""
    for point in POINTS:
        owner: object = importlib.import_module(point.module)
        for name in point.function.split("."):
            owner = getattr(owner, name)
        assert callable(owner), point


def test_seeds_are_one_or_a_range() -> None:
    assert list(seeds_of("7")) == [7]
    assert list(seeds_of("1..3")) == [1, 2, 3]
    for nothing in ("3..1", "", "a", "1..", "1-3"):
        with pytest.raises(ValueError, match=r"."):
            seeds_of(nothing)


def test_receipts_add_up_in_their_summary(tmp_path: Path) -> None:
    for seed, recovered in ((1, 2.5), (2, None), (3, 1.0)):
        outcome = Outcome(seed)
        done = Done(Step(1, 0.0, "kill", 1, is_awaited=True))
        done.recovered = recovered
        missed = Done(Step(2, 0.0, "cut", 1, is_awaited=True))
        missed.not_reached = "no edge"
        outcome.done += [done, missed]
        keep(outcome, tmp_path)
        keep(outcome, tmp_path)  # a seed that runs again replaces its receipt
    said = (tmp_path / "summary.md").read_text()
    assert "3 faults of 2 kinds" in said
    assert "| `kill` | 3 | 2.5 s |" in said
    assert "| `cut` | 0 |  |" in said
    assert said.count("| 1 | 1 | 0 | 0 | 0.0 |") == 3


@pytest.mark.parametrize(
    ("option", "said"),
    [("--step=a", "no list of numbers"), ("--step=99", "none with the number 99"), ("--seed=x", "say 7, or")],
)
def test_what_cannot_be_run_is_said(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app([option, "--dry-run"], result_action="return_value") == COULD_NOT_RUN
    assert said in capsys.readouterr().err
