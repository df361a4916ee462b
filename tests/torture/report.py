"""What a run says at its end: a table for people, a receipt for programs."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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

    def __str__(self) -> str:
        state = f"not reached: {self.not_reached}" if self.not_reached else f"took {self.took:.1f} s"
        back = "" if self.recovered is None else f", events flow again after {self.recovered:.1f} s"
        return f"{self.step.number:3}. {self.step.action}  {state}{back}"


class Outcome:
    """A whole run."""

    def __init__(self, seed: int, brokers: int = 1) -> None:
        self.seed = seed
        self.brokers = brokers
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
            "brokers": self.brokers,
            "seconds": round(self.seconds, 1),
            "steps": [str(done) for done in self.done],
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


def keep(outcome: Outcome, folder: Path) -> None:
    """Write a run's receipt into a folder, and what all receipts there say together into its summary.md."""
    folder.mkdir(parents=True, exist_ok=True)
    of_brokers = "" if outcome.brokers == 1 else f"-{outcome.brokers}-brokers"
    (folder / f"seed-{outcome.seed:02}{of_brokers}.json").write_text(outcome.as_json() + "\n")
    receipts = [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]
    (folder / "summary.md").write_text(summary(receipts))


def summary(receipts: Iterable[dict[str, Any]]) -> str:
    """Runs side by side and faults by kind, as Markdown."""
    lines = [
        "| seed | brokers | faults | not reached | records acknowledged | broken promises | minutes |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    kinds: dict[str, tuple[int, float | None]] = {}
    for receipt in receipts:
        actions = receipt["actions"]
        for name, of_kind in actions.items():
            ran, longest = kinds.get(name, (0, None))
            took = of_kind["longest_recovery_s"]
            longest = took if longest is None else max(longest, took or 0.0)
            kinds[name] = (ran + of_kind["ran"], longest)
        cells = (
            receipt["seed"],
            receipt["brokers"],
            sum(of_kind["ran"] for of_kind in actions.values()),
            sum(of_kind["not_reached"] for of_kind in actions.values()),
            f"{receipt['acknowledged']:,}",
            len(receipt["violations"]),
            f"{receipt['seconds'] / 60:.1f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    total = sum(ran for ran, _ in kinds.values())
    lines += [
        "",
        f"{total:,} faults of {len(kinds)} kinds. The longest recovery is from the end of the fault to an"
        " event of every shard, sent after it, at a connected fan; it is empty where the next fault did not"
        " wait.",
        "",
        "| fault | ran | longest recovery |",
        "|---|---:|---:|",
    ]
    for name, (ran, longest) in sorted(kinds.items()):
        lines.append(f"| `{name}` | {ran} | {'' if longest is None else f'{longest:.1f} s'} |")
    return "\n".join(lines) + "\n"


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
