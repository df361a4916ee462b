"""`python -m recovery audit`: the composition root of the audit."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from recovery.answers import COULD_NOT_RUN, remark
from recovery.audit.follow_command import follow as follow_log
from recovery.audit.ledger import LedgerUnreadableError
from recovery.audit.meter import Bar
from recovery.audit.run import Asked, run_audit
from recovery.audit.servers import CannotRunError
from recovery.audit.table import show
from recovery.moments import read_length
from recovery.refusals import refuse
from settings import SettingsError, load

CLEAN, DIFFERENT = 0, 1


def audit(
    *,
    ledger: Annotated[Path | None, Parameter(help="What the simulator says it sent (JSONL).")] = None,
    settle: Annotated[
        str | None, Parameter(help="Wait so long (60s, 2m) for everything under way to arrive.")
    ] = None,
    json: Annotated[bool, Parameter(negative=(), help="Print the receipt as JSON.")] = False,
    match: Annotated[str | None, Parameter(help="Only this match; its whole shard is read.")] = None,
    first: Annotated[int, Parameter(help="Differences shown of each kind.")] = 10,
    outlets: Annotated[
        bool, Parameter(negative=(), help="Also what the relay copies to Kafka: live-events, <topic>-dlq.")
    ] = False,
    follow: Annotated[bool, Parameter(negative=(), help="Go on for ever with what is appended.")] = False,
    lasting: Annotated[
        str | None, Parameter(name="--for", help="Follow for so long (30s, 5m) instead of for ever.")
    ] = None,
) -> int:
    """Compare Kafka, Postgres and Redis, match by match; return the exit status."""
    errors = Console(stderr=True)
    if follow:
        if ledger is not None or settle or match is not None or outlets:
            errors.print("--follow looks at all that is appended: --ledger, --settle, --match and --outlets")
            errors.print("belong to an audit that ends.")
            return COULD_NOT_RUN
        return _follow(errors, json, lasting)
    # Lists of rows come and go by the ten thousand; there are no cycles to find.
    gc.set_threshold(100_000, 50, 50)
    try:
        if first < 0:
            raise ValueError(f"--first {first}: show none (0) or more")
        if lasting is not None:
            raise ValueError(f"--for {lasting}: belongs to --follow; an audit that ends takes --settle")
        within = read_length("--settle", settle) if settle else None
        asked = Asked(ledger, within, match, first, outlets)
        with Bar(errors) as meter:
            receipt = run_audit(load(), asked, meter)
    except (CannotRunError, SettingsError, LedgerUnreadableError, OSError, ValueError) as error:
        return _refuse(error, json)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode() + "\n")
    else:
        show(receipt, Console())
    return CLEAN if receipt.verdict == "clean" else DIFFERENT


def _follow(errors: Console, json: bool, lasting: str | None) -> int:
    try:
        length = read_length("--for", lasting) if lasting is not None else None
        return follow_log(load(), json, errors, length)
    except (SettingsError, ValueError) as error:
        return _refuse(error, json)


def _refuse(error: Exception, json: bool) -> int:
    remark("The audit could not run.")
    return refuse(error, json)
