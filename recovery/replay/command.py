"""`python -m recovery replay`: the composition root of a replay."""

import gc
import sys
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import psycopg
from cyclopts import Parameter
from rich.console import Console

from recovery.audit.meter import Bar
from recovery.replay.candidate import INSTALLED, CodeUnusableError, load_code
from recovery.replay.run import NothingToReplayError, Plan, Wish, plan, run_replay
from recovery.replay.table import show
from settings import SettingsError, load
from storage import side_schema
from storage.range_reads import RangeReads

SAME, CHANGES, COULD_NOT_RUN = 0, 1, 2


class ContradictoryWishError(ValueError):
    """Options that do not go together."""


def replay(
    *,
    match: Annotated[str | None, Parameter(help="Only this match.")] = None,
    shard: Annotated[int | None, Parameter(help="Only this shard.")] = None,
    from_position: Annotated[int, Parameter(help="First position, of --shard or of the match's.")] = 1,
    to_position: Annotated[
        int | None, Parameter(help="Last position; by default the end of the log.")
    ] = None,
    code: Annotated[str, Parameter(help="MODULE:FUNCTION of the fold to try.")] = INSTALLED,
    keep: Annotated[bool, Parameter(negative=(), help="Leave the side schema, to be looked at.")] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be read and written.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Print the diff as JSON.")] = False,
    first: Annotated[int, Parameter(help="Differences shown of each kind.")] = 5,
    drop: Annotated[str | None, Parameter(help="Drop this side schema, and do nothing else.")] = None,
) -> int:
    """Fold a range of the log again with other code and show the diff; return the exit status."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    gc.set_threshold(100_000, 50, 50)
    try:
        settings = load()
        if drop is not None:
            return _drop(settings.postgres, drop, dry_run, errors)
        _check(match, shard, from_position, to_position)
        wish = Wish(load_code(code), match, shard, from_position, to_position, keep, first)
        with RangeReads(settings.postgres) as reads:
            planned = plan(reads, wish, datetime.now(UTC))
            _say(wish, planned, dry_run, side_schema.left_behind(settings.postgres), errors)
            if dry_run:
                return SAME
            with Bar(errors) as meter:
                report = run_replay(settings, reads, wish, planned, meter)
    except (CodeUnusableError, ContradictoryWishError, NothingToReplayError, SettingsError) as error:
        errors.print(f"The replay could not run: {error}", markup=False)
        return COULD_NOT_RUN
    except (psycopg.Error, msgspec.MsgspecError) as error:
        errors.print(f"The replay could not run: {str(error).strip()}", markup=False)
        if isinstance(error, psycopg.OperationalError):
            errors.print("Start the stack with ./dev up; elsewhere TOUCHLINE_POSTGRES holds its address.")
        return COULD_NOT_RUN
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        show(report, Console())
    return CHANGES if report.counts else SAME


def _check(match: str | None, shard: int | None, first: int, last: int | None) -> None:
    """Raise ContradictoryWishError for options that do not go together."""
    if match is not None and shard is not None:
        raise ContradictoryWishError("--match and --shard: give one of them; a match is in one shard.")
    if match is None and shard is None and (first != 1 or last is not None):
        raise ContradictoryWishError("positions are a shard's own: say --shard or --match too.")
    if last is not None and last < first:
        raise ContradictoryWishError(f"--from-position {first} lies behind --to-position {last}.")


def _say(wish: Wish, planned: Plan, is_dry: bool, left: list[str], errors: Console) -> None:
    """Say what is read and written, before it is."""
    would = "Would read" if is_dry else "Reading"
    version = "unknown" if wish.code.version is None else wish.code.version
    after = "and keep it" if wish.is_kept else "and drop it afterwards"
    write = "would write" if is_dry else "writing"
    errors.print(
        f"{would} {planned.total:,} events of {planned.matches:,} match{'' if planned.matches == 1 else 'es'}"
        f" ({'; '.join(map(str, planned.ranges))}), fold them with {wish.code.name} (version {version}),"
        f" {write} the result to the side schema {planned.side_schema} {after}. The log stays as it is.",
        markup=False,
    )
    for name in left:
        errors.print(f"{name} is there from before: --drop {name} removes it.", markup=False)


def _drop(dsn: str, name: str, is_dry: bool, errors: Console) -> int:
    is_there = name in side_schema.left_behind(dsn) if is_dry else side_schema.drop(dsn, name)
    if not is_there:
        names = ", ".join(side_schema.left_behind(dsn)) or "none"
        errors.print(f"There is no side schema {name}; there are: {names}.", markup=False)
        return COULD_NOT_RUN
    errors.print(f"{'Would drop' if is_dry else 'Dropped'} the side schema {name}.", markup=False)
    return SAME
