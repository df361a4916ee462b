"""What a run says at its end: a table for people, a receipt for programs."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.torture.checker import Violation
from tests.torture.plan import Step

RECEIPT_VERSION = 1


class Done:
    """What became of one step; `recovered` in seconds, None while nobody waited for it."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.not_reached = ""
        self.took = 0.0
        self.recovered: float | None = None


class Outcome:
    """A whole run."""

    def __init__(self, seed: int, plan: Sequence[Step]) -> None:
        self.seed = seed
        self.plan = plan
        self.done: list[Done] = []
        self.violations: list[Violation] = []
        self.acknowledged = 0
        self.compared: object = None
        self.fans: dict[str, dict[str, int]] = {}
        self.seconds = 0.0

    @property
    def is_clean(self) -> bool:
        return not self.violations

    def kinds(self) -> dict[str, tuple[int, int, float | None]]:
        """Action -> times run, times not reached, longest recovery in seconds."""
        kinds: dict[str, tuple[int, int, float | None]] = {}
        for done in self.done:
            ran, missed, longest = kinds.get(done.step.action, (0, 0, None))
            if done.recovered is not None:
                longest = max(longest or 0.0, done.recovered)
            reached = not done.not_reached
            kinds[done.step.action] = (ran + reached, missed + (not reached), longest)
        return dict(sorted(kinds.items()))

    def receipt(self) -> dict[str, object]:
        return {
            "receipt": RECEIPT_VERSION,
            "verdict": "clean" if self.is_clean else "broken",
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "plan": [step._asdict() for step in self.plan],
            "actions": {
                name: {"ran": ran, "not_reached": missed, "longest_recovery_s": longest and round(longest, 2)}
                for name, (ran, missed, longest) in self.kinds().items()
            },
            "acknowledged": self.acknowledged,
            "compared": self.compared,
            "fans": self.fans,
            "violations": [violation._asdict() for violation in self.violations],
        }

    def as_json(self) -> str:
        return json.dumps(self.receipt(), indent=2)


def show(outcome: Outcome, console: Console) -> None:
    """Print the table, what was compared, and each broken promise."""
    table = Table("action", "ran", "not reached", "longest recovery")
    for name, (ran, missed, longest) in outcome.kinds().items():
        table.add_row(name, str(ran), str(missed or ""), "" if longest is None else f"{longest:.1f} s")
    console.print(table)
    ran = sum(ran for ran, _, _ in outcome.kinds().values())
    console.print(
        f"seed {outcome.seed}: {ran} actions in {outcome.seconds:.0f} s, {outcome.acknowledged} records"
        f" acknowledged, compared {outcome.compared}, fans {outcome.fans}",
        highlight=False,
    )
    for violation in outcome.violations:
        console.print(f"BROKEN  {violation.promise}: {violation.detail}", style="red", markup=False)
    console.print("clean: every promise held" if outcome.is_clean else "broken", style="bold")
