"""`python -m recovery drill`: the composition root of the drill."""

import gc
import signal
import sys
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from recovery.answers import COULD_NOT_RUN, DONE, REFUSED, print_json, remark, tell
from recovery.audit.meter import Bar
from recovery.audit.servers import CannotRunError
from recovery.drill.beside import BesideFailedError
from recovery.drill.receipt import answer_of, lines
from recovery.drill.receipt import keep as keep_receipt
from recovery.drill.run import Drill
from recovery.refusals import concluded, refuse
from settings import load, parse_duration


def drill(
    *,
    within: Annotated[str, Parameter(help="How long the lanes may take to read Kafka to its end.")] = "10m",
    keep: Annotated[bool, Parameter(negative=(), help="Keep the restored stack's files.")] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be restored.")] = False,
    json: Annotated[
        bool, Parameter(negative=(), help="Print the receipt, or with --dry-run the plan, as JSON.")
    ] = False,
) -> int:
    """Restore beside the live stack, audit, compare, measure; return the exit status."""
    gc.set_threshold(100_000, 50, 50)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(COULD_NOT_RUN))

    def work() -> int:
        live = load()
        folder = live.data / "drills" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with Bar(Console(stderr=True)) as meter:
            planned = Drill(live, folder, parse_duration(within), remark, meter)
            if dry_run:
                plan = planned.plan()
                for line in plan.lines():
                    remark(line)
                if json:
                    print_json(answer_of(plan))
                return DONE
            try:
                receipt = planned.run(keep)
            except (BesideFailedError, CannotRunError) as error:
                return refuse(error, json)
        path = keep_receipt(receipt, folder)
        if json:
            print_json(receipt)
        else:
            for line in lines(receipt):
                tell(line)
        remark(f"receipt: {path}")
        return REFUSED if receipt.reasons else DONE

    return concluded(work, json)
