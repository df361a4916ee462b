"""`python -m recovery restore` and `rewind`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from recovery.answers import DONE, print_json
from recovery.audit.meter import Bar
from recovery.backup.errors import NotABackupError
from recovery.backup.place import BackupPlace
from recovery.backup.selection import choose, moment_of_match
from recovery.lanes.holders import refuse_held
from recovery.moments import FORMS, read_moment
from recovery.refusals import EXPECTED, refuse
from recovery.signatures import Keyring
from recovery.stores import restore as work
from recovery.stores.asides import KEPT
from recovery.stores.finding import store_path, stores_folder
from recovery.stores.restore import Plan, Put, plan_put
from settings import load
from storage.recovery_store import read_store
from storage.store_errors import PointGoneError


def restore(
    name: Annotated[str | None, Parameter(help="Of a backup. Without one: the newest.")] = None,
    *,
    as_of: Annotated[
        str | None,
        Parameter(help=f"The newest backup not after this moment: {FORMS}."),
    ] = None,
    match: Annotated[
        str | None, Parameter(help="The newest backup not after a moment of this match: --at.")
    ] = None,
    at: Annotated[str | None, Parameter(help="A reading of the match clock, 63:12.")] = None,
    store: Annotated[tuple[str, ...], Parameter(help="Only this store (enrich-0); may be given again.")] = (),
    accept_unsigned: Annotated[
        bool,
        Parameter(negative=(), help="Use one that is not signed, although there is a key."),
    ] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Print plan and result as JSON.")] = False,
) -> int:
    """Put recovery stores of a backup in their place; return the exit status."""
    errors = Console(stderr=True)
    try:
        settings, now = load(), datetime.now(UTC)
        refuse_path(name)
        if sum(given is not None for given in (name, as_of, match)) > 1 or (match is None) != (at is None):
            raise ValueError("give a name, or --as-of, or --match together with --at")
        moment = read_moment("--as-of", as_of, now) if as_of else None
        if match is not None and at is not None:
            moment = moment_of_match(settings.postgres, match, at)
        place = BackupPlace(settings.backup_place, Keyring.of(settings, accept_unsigned))
        manifest = choose(place, name, moment)
        plan = work.plan_restore(
            settings, manifest, place.standing(manifest), store, stores_folder(settings), now
        )
        _say(plan, errors, now)
        if dry_run:
            refuse_held(Path(put.path) for put in plan.puts)
            errors.print("Dry run: nothing was changed.")
        else:
            with Bar(errors) as meter:
                puts = work.restore(place, manifest, store, stores_folder(settings), now, meter)
            plan = msgspec.structs.replace(plan, puts=puts, is_done=True)
            errors.print("Restored. Start the lanes; each prepares its store by itself.")
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(plan)
    return DONE


def refuse_path(name: str | None) -> None:
    """A path is no backup: say what is wrong with what it leads to, or that it is a store."""
    if name is not None and ("/" in name or Path(name).exists()):
        read_store(Path(name).absolute(), check=True)
        raise NotABackupError(name)


def _say(plan: Plan, console: Console, now: datetime) -> None:
    age = (now - plan.cut_at).total_seconds()
    console.print(f"Backup {plan.backup}, cut {age:,.0f} s ago:", markup=False)
    console.print(plan.signature.sentence, markup=False, soft_wrap=True)
    for put in plan.puts:
        kept = f"; the old one goes to {put.aside}" if put.aside else "; there is none now"
        console.print(
            f"  {put.store} -> {put.path}, resumes at flow epoch {put.resume_epoch}{kept}",
            markup=False,
            soft_wrap=True,
        )
        _say_pruned(put, console)
    cost = plan.cost
    if cost.records_since is not None:
        console.print(f"{cost.records_since:,} records came to Kafka since the backup.")
    if cost.records_to_read is not None:
        console.print(
            f"A lane of enrich reads on where the log says: {cost.records_to_read:,} records, about"
            f" {cost.seconds:,.1f} s. Nothing is lost, and repeats are found in the log."
        )
    for remark in cost.remarks:
        console.print(f"Mind: {remark}", markup=False, soft_wrap=True)


def _say_pruned(put: Put, console: Console) -> None:
    if put.pruned:
        names = ", ".join(Path(path).name for path in put.pruned)
        console.print(f"  {KEPT} that were put aside stay, and so goes {names}", markup=False, soft_wrap=True)


def rewind(
    store: Annotated[str, Parameter(help="Name (enrich-0) or path.")],
    *,
    to_epoch: Annotated[int | None, Parameter(help="The flow epoch to resume at.")] = None,
    to_oldest: Annotated[bool, Parameter(negative=(), help="As far back as the store goes.")] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be done, and do nothing.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Print the result as JSON.")] = False,
) -> int:
    """Make a store resume at an earlier point that it still has; return the exit status."""
    errors = Console(stderr=True)
    try:
        settings, now = load(), datetime.now(UTC)
        path = store_path(settings, store)
        found = read_store(path, check=True)
        oldest, newest = found.oldest_epoch, found.resume_epoch
        errors.print(
            f"{path.name} resumes at flow epoch {newest}, and can go back to any from {oldest} on.",
            markup=False,
            soft_wrap=True,
        )
        if to_epoch is not None and to_oldest:
            raise ValueError("give --to-epoch or --to-oldest, not both")
        epoch = oldest if to_oldest else to_epoch
        put, is_done = Put(store=path.name, path=str(path), resume_epoch=newest, aside=None), False
        if epoch is not None and not oldest <= epoch <= newest:
            raise PointGoneError(path, epoch, oldest, newest)
        if epoch is None:
            errors.print("Choose one with --to-epoch, or --to-oldest.")
        elif dry_run:
            refuse_held([path])
            put = plan_put(path, epoch, now)
            errors.print(
                f"Dry run: it would resume at {epoch}, and the store as it is would go to {put.aside}."
            )
            _say_pruned(put, errors)
        else:
            errors.print(f"It will resume at {epoch}; the store as it is goes aside.")
            put, is_done = work.rewind(path, epoch, now), True
            errors.print(f"Done; as it was: {put.aside}", markup=False, soft_wrap=True)
            _say_pruned(put, errors)
    except EXPECTED as error:
        return refuse(error, json)
    if json:
        print_json(msgspec.structs.asdict(put) | {"is_done": is_done})
    return DONE
